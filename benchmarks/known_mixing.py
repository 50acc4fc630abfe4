"""Bars of mixing laws on published runs: mixture -> loss."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import polars as pl
from scipy.optimize import minimize
from scipy.stats import spearmanr

from benchmarks.known_bar import (
    Bar,
    loss_columns,
    losses_of,
    shares,
    validation_weights,
    with_weighted_loss,
)
from benchmarks.lightgbm_law import published_tables
from training.arrays import Floats
from training.critical_share import critical_share
from training.fitted_laws import fit_laws, predict_left_out
from training.mixing_laws.interface import Runs
from training.mixing_laws.log_linear import (
    LogLinearLaw,
    fit_log_linear,
    refit_each_log_linear,
)
from training.robust_fit import huber_loss
from training.run_table import RunTable

PILE = "regmix, 17 domains"
TARGET = "pile_cc"
RANDOM_STARTS = 60
SEEDS = 20
NOISE_NATS = 0.005


def regmix(reference: Path) -> list[Bar]:
    """512 runs, 13 losses: rank on runs that no fit saw, objective, time, pick."""
    train, test = published_tables(reference)
    column = train.eval_domains.index(TARGET)
    bars = []
    for method, least in (("lightgbm", 0.988), ("log_linear", 0.973)):
        began = time.process_time()
        laws = fit_laws(train, method=method)
        seconds = time.process_time() - began
        predicted = laws.predict(test.weights)
        ranks = [spearmanr(a, b).statistic for a, b in zip(predicted.T, test.losses.T, strict=True)]
        observed = test.losses[:, column]
        place = 1 + int((observed < observed[predicted[:, column].argmin()]).sum())
        what = f"{method}, mean Spearman of {len(ranks)} losses on {len(observed)} other runs"
        bars.append(
            Bar(runs=PILE, what=what, limit=least, measured=float(np.mean(ranks)), at_least=True)
        )
        bars.append(
            Bar(runs=PILE, what=f"{method}, CPU-s for all losses", limit=10, measured=seconds)
        )
        bars.append(
            Bar(
                runs=PILE,
                what=f"{method}, place of its pick by Pile-CC among {len(observed)}",
                limit=3,
                measured=place,
                note="the bar of 2 is for 64 runs of 1B",
            )
        )
        if method == "log_linear":
            fitted = laws.predict(train.weights)[:, column] - train.losses[:, column]
            bars.append(
                Bar(
                    runs=PILE,
                    what="log_linear, Huber loss of Pile-CC (0.02)",
                    limit=0.6425,
                    measured=float(huber_loss(fitted, 0.02).sum()),
                )
            )
    return bars


def data_mixing_laws(reference: Path) -> list[Bar]:
    """Two, three and five domains: objective beside many random starts, errors, time."""
    rng = np.random.default_rng(0)
    bars = []
    for name, threshold, chosen in (
        ("dml_2mix", 0.02, pl.col("step") > 0),
        ("dml_3mix", 0.05, (pl.col("model_size") == "410M") & (pl.col("step") == 60000)),
        ("dml_5mix", 0.05, pl.col("step") == 30000),
    ):
        table = pl.read_csv(reference / f"{name}.csv").filter(chosen)
        worst, longest, number = 0.0, 0.0, 0
        for weights, losses in _fits(table):
            began = time.process_time()
            law = fit_log_linear(weights, losses, huber=threshold)
            longest = max(longest, time.process_time() - began)
            ours = float(huber_loss(law.predict(weights) - losses, threshold).sum())
            theirs = _random_search(weights, losses, threshold, rng)
            worst, number = max(worst, ours / theirs), number + 1
        runs = f"data mixing laws, {name[4]} domains"
        what = f"largest of {number} objectives over the best of {RANDOM_STARTS} random starts"
        bars.append(Bar(runs=runs, what=what, limit=1.001, measured=worst))
        bars.append(Bar(runs=runs, what="CPU-s of the longest fit", limit=2, measured=longest))
    return [*bars, *_github(reference), *_five_domains(reference)]


def continual(reference: Path) -> list[Bar]:
    """Continued pre-training: share of the old data that keeps its loss."""
    table = with_weighted_loss(pl.read_csv(reference / "dml_continual.csv"), reference)
    base = float(table.filter(pl.col("step") == 0)["weighted"][0])
    runs = table.filter(pl.col("step") == 10000)
    law = fit_log_linear(shares(runs), runs["weighted"].to_numpy())
    share = critical_share(law, base, domain=0, others=np.array([0.0, 1.0]))
    measured = float("nan") if share is None else share
    what, which = "critical share", "continued pre-training"
    return [
        Bar(runs=which, what=what, limit=0.283, measured=measured, at_least=True),
        Bar(runs=which, what=what, limit=0.2865, measured=measured),
    ]


def synthetic(reference: Path) -> list[Bar]:
    """Fits of noisy losses of known laws, compared with the laws on fresh mixtures.

    The laws are fits of the published noisy losses: of the size and kind that they came from. Each
    is asked again with fresh noise.
    """
    table = pl.read_csv(reference / "aioli_synthetic_static.csv")
    rng = np.random.default_rng(0)
    errors: dict[int, list[float]] = {}
    sizes: dict[int, int] = {}
    noise_free = 0.0
    for _, rows in sorted(table.group_by("dataset", "target", "seed")):
        used = rows.select([c for c in rows.columns if rows[c].null_count() < len(rows)])
        weights = shares(used)
        truth = fit_log_linear(weights, used["loss_noisy"].to_numpy())
        num_runs, num_domains = weights.shape
        fresh = rng.dirichlet(np.ones(num_domains), size=500)
        clean = truth.predict(weights)
        losses = clean[:, None] + rng.normal(0, NOISE_NATS, (num_runs, SEEDS))
        laws = _fit_columns(weights, np.column_stack([clean, losses]))
        off = [float(np.abs(law.predict(fresh) - truth.predict(fresh)).mean()) for law in laws]
        noise_free = max(noise_free, off[0])
        errors.setdefault(num_domains, []).extend(off[1:])
        sizes[num_domains] = num_runs
    bars = [
        Bar(
            runs=f"synthetic static laws, {num_domains} domains, {sizes[num_domains]} runs",
            what=f"mean absolute error to the law over {len(found)} fits",
            limit=0.0036 if num_domains == 3 else 0.0021,
            measured=float(np.mean(found)),
            note="laws: fits of the published noisy losses; fresh mixtures: uniform on the simplex",
        )
        for num_domains, found in sorted(errors.items())
    ]
    return [
        *bars,
        Bar(
            runs="synthetic static laws",
            what="largest error without noise",
            limit=1e-6,
            measured=noise_free,
        ),
    ]


MIXING: Mapping[str, Callable[[Path], list[Bar]]] = {
    "regmix": regmix,
    "data mixing laws": data_mixing_laws,
    "continued pre-training": continual,
    "synthetic static laws": synthetic,
}


def _fit_columns(weights: Floats, losses: Floats) -> tuple[LogLinearLaw, ...]:
    own = (None,) * losses.shape[1]
    runs = Runs(weights=weights, losses=losses, own_columns=own)
    return refit_each_log_linear(runs, np.ones((1, len(weights))))[0]


def _fits(table: pl.DataFrame) -> Iterator[tuple[Floats, Floats]]:
    """Weights and losses of each size, step and target; runs that lack the loss are left out."""
    for _, rows in sorted(table.group_by("model_size", "step")):
        for name in loss_columns(rows):
            losses = rows[name].to_numpy().astype(np.float64)
            seen = np.isfinite(losses)
            yield shares(rows)[seen], losses[seen]


def _random_search(
    weights: Floats, losses: Floats, threshold: float, rng: np.random.Generator
) -> float:
    """Lowest objective of L-BFGS from random starts of two widths."""

    def function(params: Floats) -> tuple[float, Floats]:
        with np.errstate(over="ignore"):
            constant, curve = np.exp(params[0]), np.exp(np.minimum(weights @ params[1:], 30.0))
            residuals = constant + curve - losses
            slope = np.clip(residuals, -threshold, threshold)
            value = 1e3 * float(huber_loss(residuals, threshold).sum())
            gradient = 1e3 * np.r_[slope.sum() * constant, weights.T @ (slope * curve)]
        return value, gradient

    best = np.inf
    for number in range(RANDOM_STARTS):
        t = rng.normal(0, 1 if number % 2 else 4, weights.shape[1])
        start = np.r_[rng.uniform(-2, 1.5), t]
        options = {"maxiter": 300, "ftol": 1e-14, "gtol": 1e-9}
        found = minimize(function, start, jac=True, method="L-BFGS-B", options=options)
        best = min(best, float(found.fun)) if np.isfinite(found.fun) else best
    return best / 1e3


def _run_table(table: pl.DataFrame, losses: Floats, names: tuple[str, ...]) -> RunTable:
    domains = tuple(name[2:] for name in table.columns if name.startswith("p_"))
    return RunTable(
        run_ids=tuple(map(str, range(len(table)))),
        domains=domains,
        eval_domains=names,
        weights=shares(table),
        losses=losses,
    )


def _github(reference: Path) -> list[Bar]:
    """Shares of zero: the additive law beside the exponential form, each run left out once."""
    table = pl.read_csv(reference / "dml_3mix.csv").filter(
        (pl.col("model_size") == "410M") & (pl.col("step") == 60000)
    )
    names = [name for name in loss_columns(table) if "Github" in name]
    runs = _run_table(table, losses_of(table, names), ("Github",))
    folds = np.arange(len(table))
    error = {
        method: float(np.abs(predict_left_out(runs, folds, method=method) - runs.losses).mean())
        for method in ("additive", "log_linear")
    }
    return [
        Bar(
            runs="data mixing laws, 3 domains",
            what="GitHub, left-out error of the additive law over that of the exponential",
            limit=0.75,
            measured=error["additive"] / error["log_linear"],
        )
    ]


def _five_domains(reference: Path) -> list[Bar]:
    """Six runs at a time left out, error of the weighted loss, mean over sizes and draws."""
    names, importance = validation_weights(reference)
    table = pl.read_csv(reference / "dml_5mix.csv").filter(pl.col("step") == 30000)
    errors: dict[str, list[float]] = {"log_linear": [], "additive": [], "soft_minimum": []}
    rng = np.random.default_rng(0)
    for _, rows in sorted(table.group_by("model_size")):
        losses = losses_of(rows, names)
        seen = np.isfinite(losses).all(axis=1)
        runs = _run_table(rows.filter(pl.Series(seen)), losses[seen], tuple(names))
        folds = rng.permutation(len(runs.run_ids)) * 5 // len(runs.run_ids)
        for method, found in errors.items():
            off = (predict_left_out(runs, folds, method=method) - runs.losses) @ importance
            found.append(float(np.abs(off).mean()))
    return [
        Bar(
            runs="data mixing laws, 5 domains",
            what=f"{method}, left-out error of the weighted loss, mean over sizes, nats",
            limit=0.019,
            measured=float(np.mean(found)),
            note="a fifth of the runs left out; the bar is for six others",
        )
        for method, found in errors.items()
    ]
