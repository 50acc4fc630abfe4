import numpy as np
import polars as pl
import pytest

from training.curve_extension import MIXTURE, extend_curves, read_curves
from training.runs_csv import CsvColumns

X = np.array([1000.0, 2000, 4000, 8000])


def loss(limit, amplitude, x=X):
    return limit + amplitude * (x / 1000.0) ** -0.4


def rows(path, *, skip=(), **changes):
    """Two runs of two mixtures at four steps; `skip`: rows that are left out."""
    columns = {
        "run_id": ["a"] * 4 + ["b"] * 4,
        "step": [*X, *X],
        "size": ["70M"] * 8,
        "note": [str(number) for number in range(8)],
        "p_u": [0.25] * 4 + [0.5] * 4,
        "p_v": [0.75] * 4 + [0.5] * 4,
        "loss_m": [*loss(2.0, 1.0), *loss(1.5, 0.5)],
    }
    frame = pl.DataFrame(columns | changes)
    frame.filter(~pl.int_range(pl.len()).is_in(list(skip))).write_csv(path)
    return path


def test_losses_of_known_curves_are_extended_and_other_columns_kept(tmp_path):
    curves = read_curves(rows(tmp_path / "runs.csv"), CsvColumns(), by="step")
    assert (curves.names, curves.domains, curves.eval_domains) == (("a", "b"), ("u", "v"), ("m",))
    assert dict(curves.kept) == {"size": ("70M", "70M")}
    np.testing.assert_array_equal(curves.weights, [[0.25, 0.75], [0.5, 0.5]])
    found = extend_curves(curves, to=64000.0)
    expected = [loss(2.0, 1.0, 64000.0), loss(1.5, 0.5, 64000.0)]
    np.testing.assert_allclose(found.losses[:, 0], expected, atol=1e-3)
    assert found.last_point_error_nats["m"] < 1e-3


def test_rows_of_equal_shares_are_a_curve_whatever_their_ids(tmp_path):
    names = [f"r{number}" for number in range(8)]
    path = rows(tmp_path / "runs.csv", run_id=names)
    assert read_curves(path, CsvColumns(), by="step", curve_of=MIXTURE).names == (
        "0.25 0.75",
        "0.5 0.5",
    )
    curves = read_curves(path, CsvColumns(), by="step")
    with pytest.raises(ValueError, match=r"curve r0 has 1 points, each needs 3: .* or share"):
        extend_curves(curves, to=9.0)


def test_a_curve_may_lack_a_point_and_two_do_where_the_exponent_is_shared(tmp_path):
    path = rows(tmp_path / "runs.csv", skip=(5, 6))
    curves = read_curves(path, CsvColumns(), by="step")
    assert np.isnan(curves.losses).sum() == 2
    with pytest.raises(ValueError, match="curve b has 2 points, each needs 3"):
        extend_curves(curves, to=9.0)
    found = extend_curves(curves, to=64000.0, shared=True)
    assert found.last_point_error_nats["m"] is None
    assert len({one.exponent for one in found.decays[0]}) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step": [0.0, *X[1:], *X]}, r"row 1 \(line 2, run row1\), column step: number must be >"),
        ({"step": ["x", *map(str, X[1:]), *map(str, X)]}, "column step: number must be a number"),
        (
            {"step": [*X[[0, 0, 2, 3]], *X]},
            r"row 2 \(line 3, curve a\), column step: 1000 stands there twice",
        ),
        ({"p_u": [0.25, 0.75] * 4, "p_v": [0.75, 0.25] * 4}, "row 2 .*: other shares than"),
        ({"run_id": ["", *"aaabbbb"]}, r"row 1 \(line 2, curve \): it has no name"),
        ({"loss_m": [-1.0] * 8}, "column loss_m: loss must be positive"),
    ],
)
def test_bad_rows_are_named(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        read_curves(rows(tmp_path / "runs.csv", **changes), CsvColumns(), by="step")


def test_rejects(tmp_path):
    path = rows(tmp_path / "runs.csv")
    with pytest.raises(ValueError, match="no column tokens; there are run_id, step"):
        read_curves(path, CsvColumns(), by="tokens")
    with pytest.raises(ValueError, match="no column name; there are"):
        read_curves(path, CsvColumns(), by="step", curve_of="name")
    curves = read_curves(path, CsvColumns(), by="step")
    for to in (0.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="must be positive and finite"):
            extend_curves(curves, to=to)
