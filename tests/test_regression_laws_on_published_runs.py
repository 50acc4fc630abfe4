"""The regression laws on published runs; they lie outside the repository."""

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr

from training.fitted_laws import fit_laws
from training.runs_csv import read_runs

FOLDER = os.environ.get("MIXWRIGHT_REFERENCE")
pytestmark = pytest.mark.skipif(
    FOLDER is None, reason="set MIXWRIGHT_REFERENCE to a folder of published runs as CSV"
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """512 runs to fit, 128 to judge."""
    frame = pl.read_csv(Path(FOLDER) / "regmix_pile17.csv", infer_schema=False)
    base = tmp_path_factory.mktemp("published")
    tables = []
    for split in ("train", "test"):
        path = base / f"{split}.csv"
        frame.filter(pl.col("split") == split).write_csv(path)
        table, notes = read_runs(path)
        assert "each row was divided by its sum" in notes[0]
        tables.append(table)
    return tables


@pytest.mark.parametrize(("method", "least"), [("lightgbm", 0.988), ("gaussian_process", 0.991)])
def test_thirteen_losses_are_ranked(runs, method, least):
    train, test = runs
    assert len(train.run_ids) == 512
    predicted = fit_laws(train, method=method).predict(test.weights)
    ranks = [spearmanr(a, b).statistic for a, b in zip(predicted.T, test.losses.T, strict=True)]
    assert len(ranks) == 13
    assert np.mean(ranks) >= least
