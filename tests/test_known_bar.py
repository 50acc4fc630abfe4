from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks import known_data
from benchmarks.comparison import Inputs
from benchmarks.known_bar import Bar, losses_of, shares, with_weighted_loss
from benchmarks.known_scaling import data_constrained


def test_a_bar_says_whether_it_holds():
    low = Bar(runs="r", what="error", limit=0.019, measured=0.019)
    assert low.holds
    assert low.line() == "r: error 0.019, bar <= 0.019: holds"
    high = Bar(runs="r", what="rank", limit=0.9, measured=0.8, at_least=True, note="other rows")
    assert not high.holds
    assert high.line().endswith("bar >= 0.9: **does not hold** (other rows)")
    assert not Bar(runs="r", what="share", limit=0.3, measured=float("nan")).holds


def test_published_tables_are_read_by_name(tmp_path: Path):
    table = pl.DataFrame({"p_a": [1.0, 2.0], "p_b": [3.0, 2.0], "loss_y": [1, 2], "loss_x": [3, 4]})
    np.testing.assert_allclose(shares(table), [[0.25, 0.75], [0.5, 0.5]])
    np.testing.assert_array_equal(losses_of(table, ["loss_x"]), [[3], [4]])
    weights = pl.DataFrame({"target": ["x", "y"], "weight": [0.25, 0.75]})
    weights.write_csv(tmp_path / "dml_valid_weight.csv")
    assert with_weighted_loss(table, tmp_path)["weighted"].to_list() == [1.5, 2.5]


def test_the_formula_needs_no_folder():
    bars = data_constrained(Path("nowhere"))
    assert len(bars) == 2
    assert all(bar.holds for bar in bars)


def test_the_page_counts_the_bars(monkeypatch):
    assert "give --reference" in known_data.measure(Inputs(corpora=None, peer_python=None)).notes[0]
    bars = [Bar(runs="r", what="x", limit=1, measured=measured) for measured in (0.5, 2.0)]
    monkeypatch.setattr(known_data, "PROCEDURES", {"one": lambda _: bars})
    given = Inputs(corpora=None, peer_python=None, reference=Path("runs"))
    found = known_data.measure(given).findings
    assert found[0] == "1 of 2 bars hold."
    assert len(found) == 3


def test_every_row_of_the_table_has_a_procedure():
    assert sorted(known_data.PROCEDURES) == [
        "chinchilla", "continued pre-training", "data mixing laws", "data-constrained",
        "intervals", "redpajama", "regmix", "synthetic static laws",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="no such file"):
        known_data.PROCEDURES["chinchilla"](Path("nowhere"))
