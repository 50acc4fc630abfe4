"""The sections of the report about training runs, as values for the template.

A section without its artifact has only the entry `missing`, a sentence.
"""

from collections.abc import Sequence
from typing import TypedDict

from assets import plots
from assets.lake import Lake
from orchestration import findings
from orchestration.pages import picture
from orchestration.report_sections import Section
from orchestration.results import (
    BASELINE,
    MEAN,
    MIN_SEEDS,
    Evaluations,
    PairedDifference,
    best_method,
    differences_to_baseline,
    mean_over_seeds,
)
from orchestration.run_facts import read_run, read_weights


class MethodRow(TypedDict):
    """One cell row of the table of losses."""

    domain: str
    cells: list[object]
    best: str | None


def runs_section(lake: Lake, evaluations: Evaluations | None) -> Section:
    """Losses of each method by domain, and differences to the baseline paired over seeds."""
    if evaluations is None:
        return {"missing": findings.why_missing(lake, "evaluations")}
    methods = evaluations.methods
    rows: list[MethodRow] = [
        {
            "domain": domain,
            "cells": [mean_over_seeds(evaluations, method, domain) for method in methods],
            "best": best_method(evaluations, domain),
        }
        for domain in [*evaluations.domains, MEAN]
    ]
    differences = differences_to_baseline(evaluations)
    compared = [one for one in differences if one.interval is not None]
    key = evaluations.scores["run_id"].first()
    trained = lake.find("training_runs", str(key))
    return {
        "methods": methods,
        "rows": rows,
        "seeds": {name: len(evaluations.losses(name, MEAN)) for name in methods},
        "baseline": BASELINE if BASELINE in methods else None,
        "min_seeds": MIN_SEEDS,
        "differences": _by_domain(differences),
        "others": [name for name in methods if name != BASELINE],
        "on_mean": [one for one in differences if one.domain == MEAN],
        "excluded": evaluations.excluded,
        "run": None if trained is None else read_run(trained),
        "picture": picture(_methods_plot(compared)) if compared else None,
    }


def _by_domain(differences: Sequence[PairedDifference]) -> dict[str, list[PairedDifference]]:
    table: dict[str, list[PairedDifference]] = {}
    for one in differences:
        table.setdefault(one.domain, []).append(one)
    return table


def _methods_plot(differences: Sequence[PairedDifference]) -> bytes:
    return plots.plot_methods(
        [
            plots.MethodDifference(
                method=one.method,
                domain=one.domain,
                by_seed=one.by_seed,
                low=one.interval[0] if one.interval else None,
                high=one.interval[1] if one.interval else None,
            )
            for one in differences
        ],
        baseline=BASELINE,
        min_seeds=MIN_SEEDS,
    )


def weights_section(lake: Lake, evaluations: Evaluations | None) -> Section:
    """What each method really drew, and the weights over time of those that change them."""
    if evaluations is None:
        return {"missing": findings.why_missing(lake, "training_runs")}
    first = evaluations.scores.group_by("method", maintain_order=True).first()
    shown, fixed, pictures = [], [], []
    for run_id, method, seed in first.select("run_id", "method", "seed").iter_rows():
        trained = lake.find("training_runs", run_id)
        if trained is None:
            continue
        shown.append((method, read_run(trained)))
        steps, weights = read_weights(trained)
        if all(max(values) - min(values) < 1e-9 for values in weights.values()):
            fixed.append(method)
        else:
            title = f"Sampling weights of {method}, seed {seed}"
            plotted = plots.plot_sampling_weights(steps, weights, title=title)
            pictures.append((title, picture(plotted)))
    if not shown:
        return {"missing": findings.why_missing(lake, "training_runs")}
    domains = sorted({name for _, run in shown for name in run.realised_shares})
    return {"runs": shown, "domains": domains, "fixed": fixed, "pictures": pictures}


def predictions_section(lake: Lake) -> Section:
    """What the law said of each training run, and what came."""
    found = findings.read_predictions(lake)
    if found is None:
        return {"missing": findings.why_missing(lake, "predicted_vs_actual")}
    losses = [
        plots.PredictedLoss(
            method=row["method"],
            domain=row["domain"],
            predicted=row["predicted"],
            low=row["predicted_low"],
            high=row["predicted_high"],
            actual=row["actual"],
            actual_error=row["actual_se"],
        )
        for row in found.comparison.to_dicts()
    ]
    return {
        "scores": {"mean of the domains": found.scores.average, **found.scores.per_domain},
        "methods": found.by_method(),
        "picture": picture(plots.plot_predicted_against_actual(losses)),
    }
