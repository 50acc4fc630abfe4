import numpy as np
import pytest

from training.runs_csv import CsvColumns, read_mixtures, read_runs

GOOD = """run_id,p_web,p_code,loss_web,loss_code,params
a,0.25,0.75,2.5,1.5,7
b,0.5,0.5,2.4,1.6,7
c,0.8,0.2,2.2,1.9,7
"""


def write(tmp_path, text):
    path = tmp_path / "runs.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_row_is_read_and_other_columns_are_left_alone(tmp_path):
    table, notes = read_runs(write(tmp_path, GOOD))
    assert (table.run_ids, table.domains, table.eval_domains) == (
        ("a", "b", "c"),
        ("web", "code"),
        ("web", "code"),
    )
    np.testing.assert_allclose(table.weights, [[0.25, 0.75], [0.5, 0.5], [0.8, 0.2]])
    np.testing.assert_array_equal(table.losses[2], [2.2, 1.9])
    assert notes == ()


def test_prefixes_targets_and_order_of_domains_are_the_callers(tmp_path):
    path = write(tmp_path, GOOD.replace("p_", "share:").replace("loss_", "nats:"))
    table, _ = read_runs(
        path,
        CsvColumns(weights_prefix="share:", losses_prefix="nats:"),
        domains=("code", "web"),
        targets=("code",),
    )
    np.testing.assert_allclose(table.weights[0], [0.75, 0.25])
    assert table.losses.ravel().tolist() == [1.5, 1.6, 1.9]


def test_rounded_shares_are_renormalised_with_a_note(tmp_path):
    text = "run_id,p_a,p_b,p_c\nx,0.333,0.333,0.333\ny,0.2,0.3,0.5\n"
    rows = read_mixtures(write(tmp_path, text))
    np.testing.assert_allclose(rows.weights[0], 1 / 3)
    (note,) = rows.notes
    assert "1 of 2 rows are rounded (sums 0.999 to 1)" in note


def test_rows_without_ids_are_numbered(tmp_path):
    rows = read_mixtures(write(tmp_path, "p_a,p_b\n1,0\n0,1\n"))
    assert rows.run_ids == ("row1", "row2")
    assert "rows are numbered" in rows.notes[0]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0.5,0.5", "0.5,0.6", r"row 2 \(line 3, run b\), columns p_\*: shares sum to 1.1"),
        (
            "0.25,0.75",
            "-0.25,1.25",
            r"row 1 \(line 2, run a\), column p_web: share must not",
        ),
        ("2.4,1.6", "2.4,", r"row 2 \(line 3, run b\), column loss_code: the loss is missing"),
        ("2.4,1.6", "nan,1.6", r"row 2 .*column loss_web: loss must be finite, got nan"),
        ("2.4,1.6", "2.4,inf", r"row 2 .*column loss_code: loss must be finite, got inf"),
        ("2.4,1.6", "2.4,-1", r"row 2 .*column loss_code: loss must be positive, got -1"),
        ("2.4,1.6", "2.4,low", r"row 2 .*column loss_code: loss must be a number, got 'low'"),
        ("0.5,0.5", "NaN,0.5", r"row 2 .*column p_web: share must be finite"),
        ("0.5,0.5", ",0.5", r"row 2 .*column p_web: the share is missing"),
        ("b,0.5", "a,0.5", r"rows 1 and 2 \(lines 2 and 3\), column run_id: a occurs twice"),
        ("b,0.5", ",0.5", r"row 2 \(line 3\), column run_id: empty"),
        ("loss_code,params", "loss_web,params", r"column loss_web occurs twice"),
        ("2.5,1.5,7\n", "2.5,1.5,7,8\n", "not a readable CSV file"),
    ],
)
def test_each_fault_is_one_error_that_names_row_and_column(tmp_path, old, new, message):
    with pytest.raises(ValueError, match=message):
        read_runs(write(tmp_path, GOOD.replace(old, new, 1)))


def test_constant_columns_are_refused_for_a_fit_only(tmp_path):
    path = write(tmp_path, GOOD.replace("1.6,7", "1.5,7").replace("1.9,7", "1.5,7"))
    with pytest.raises(ValueError, match=r"column loss_code is 1\.5 in all 3 rows"):
        read_runs(path)
    assert read_runs(path, for_fit=False)[0].losses[:, 1].tolist() == [1.5] * 3
    with pytest.raises(ValueError, match="column p_c is 0 in all 2 rows"):
        read_runs(write(tmp_path, "run_id,p_a,p_b,p_c,loss_a\nx,0.5,0.5,0,1\ny,0.4,0.6,0,2\n"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"targets": ["math"]}, "no column loss_math; its losses are web, code"),
        ({"domains": ("web", "code", "math")}, "no column p_math: every share"),
        ({"domains": ("web",)}, "column p_code is no domain of the law"),
        ({"columns": CsvColumns(weights_prefix="q_")}, "no column begins with 'q_'"),
        ({"columns": CsvColumns(losses_prefix="q_")}, "no column begins with 'q_'"),
    ],
)
def test_wrong_columns_are_refused(tmp_path, call, message):
    with pytest.raises(ValueError, match=message):
        read_runs(write(tmp_path, GOOD), **call)


def test_missing_and_empty_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        read_runs(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="no rows below the header"):
        read_runs(write(tmp_path, GOOD.splitlines()[0] + "\n"))
    with pytest.raises(ValueError, match="not a readable CSV file"):
        read_runs(write(tmp_path, ""))


def test_the_tolerance_is_that_of_the_rounding(tmp_path):
    # Three shares with four decimals may be off by 0.00015 in sum, not by 0.001.
    with pytest.raises(ValueError, match=r"sum to 0.999, not to 1 within rounding \(0.00015\)"):
        read_mixtures(write(tmp_path, "p_a,p_b,p_c\n0.3333,0.3333,0.3324\n"))


def test_shares_that_go_together_are_named(tmp_path):
    text = "run_id,p_a,p_b,p_c,loss_a\nx,0.5,0.25,0.25,1\ny,0.4,0.3,0.3,2\nz,0.2,0.4,0.4,3\n"
    with pytest.raises(ValueError, match="columns p_b, p_c go together in all 3 rows"):
        read_runs(write(tmp_path, text))
    assert read_runs(write(tmp_path, text), for_fit=False)[0].run_ids == ("x", "y", "z")


def test_a_prefix_alone_is_no_name(tmp_path):
    with pytest.raises(ValueError, match="column p_: a name is missing after the prefix"):
        read_runs(write(tmp_path, GOOD.replace("p_web", "p_")))
