"""Laws on published runs: MIXWRIGHT_REFERENCE names the folder that holds them as CSV files."""

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from training.critical_share import critical_share
from training.law_evidence import spearman
from training.loss_decay import fit_loss_decays
from training.mixing_laws import LAWS
from training.mixing_laws.interface import Runs
from training.mixing_laws.log_linear import fit_log_linear
from training.robust_fit import huber_loss


def published(name):
    folder = os.environ.get("MIXWRIGHT_REFERENCE")
    if folder is None:
        pytest.skip("set MIXWRIGHT_REFERENCE to a folder of published runs as CSV")
    return pl.read_csv(Path(folder) / name)


def shares(table):
    weights = table.select(pl.col("^p_.*$")).to_numpy().astype(float)
    return weights / weights.sum(axis=1, keepdims=True)


def weighted_loss(table):
    importance = published("dml_valid_weight.csv")
    names = ["loss_" + name for name in importance["target"]]
    return table.select(names).to_numpy().astype(float) @ importance["weight"].to_numpy()


def test_log_linear_ranks_unseen_pile_mixtures():
    table = published("regmix_pile17.csv")
    train, test = (table.filter(pl.col("split") == split) for split in ("train", "test"))
    targets = [column for column in table.columns if column.startswith("loss_")]
    ranks = {}
    for target in targets:
        law = fit_log_linear(shares(train), train[target].to_numpy())
        ranks[target] = float(spearman(law.predict(shares(test)), test[target].to_numpy()))
        if target == "loss_pile_cc":
            residuals = law.predict(shares(train)) - train[target].to_numpy()
            assert huber_loss(residuals, 0.02).sum() <= 0.6425
    assert np.mean(list(ranks.values())) >= 0.973


def test_power_of_a_share_beats_the_exponential_where_shares_are_zero():
    table = published("dml_3mix.csv").filter(
        pl.col("model_size") == "410M", pl.col("step") == 60000
    )
    weights, counts = shares(table), 1 - np.eye(len(table))
    for target in ("Github", "Books3", "Pile-CC"):
        losses = table["loss_" + target].to_numpy()
        own = {"Github": 0, "Books3": 1, "Pile-CC": 2}[target]
        runs = Runs(weights=weights, losses=losses[:, None], own_columns=(own,))
        error = {}
        for name in ("additive", "log_linear"):
            laws = LAWS[name].refit(runs, counts)
            predicted = [law[0].predict(weights[[i]])[0] for i, law in enumerate(laws)]
            error[name] = np.abs(predicted - losses).mean()
        assert error["additive"] < 0.75 * error["log_linear"], target


def test_short_runs_extend_to_longer_ones():
    table = published("dml_redpajama.csv").filter(pl.col("step") > 0)
    steps = np.array(sorted(table["step"].unique()), dtype=float)
    early = steps <= 16000
    errors = []
    for _, of_size in table.group_by("model_size"):
        curves = (
            of_size.with_columns(pl.Series("loss", weighted_loss(of_size)))
            .pivot("step", index="run_id", values="loss")
            .select([str(int(step)) for step in steps])
            .drop_nulls()
            .to_numpy()
        )
        laws = fit_loss_decays(steps[early], curves[:, early], shared=True)
        predicted = np.array([law.predict(steps[~early]) for law in laws])
        errors.append(np.abs(predicted - curves[:, ~early]).mean())
    assert np.mean(errors) <= 0.005


def test_critical_share_of_continued_training():
    table = published("dml_continual.csv")
    table = table.with_columns(pl.Series("L", weighted_loss(table)))
    base = table.filter(pl.col("step") == 0)["L"][0]
    runs = table.filter(pl.col("step") == 10000)
    law = fit_log_linear(shares(runs), runs["L"].to_numpy())
    share = critical_share(law, base, domain=0, others=np.array([0.0, 1.0]))
    assert 0.283 <= share <= 0.2865
