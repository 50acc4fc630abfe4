import numpy as np
import polars as pl
import pytest

from training.skill_runs import arrange_skill_runs, read_skill_runs


def rows():
    """Two seeds of a, b and their half-and-half mixture; c is only evaluated."""
    for seed in (4, 1):
        for run_id, share, losses in (
            ("a", 1.0, (1.0, 2.0, 3.0)),
            ("b", 0.0, (2.5, 1.5, 3.5)),
            ("ab", 0.5, (1.2, 1.4, 3.1)),
        ):
            yield {
                "run_id": f"{run_id}-{seed}",
                "seed": seed,
                "steps": 50,
                "p_a": share,
                "p_b": 1 - share,
                **{f"loss_{n}": x + seed for n, x in zip("abc", losses, strict=True)},
                **{f"initial_loss_{n}": 5.0 + seed for n in "abc"},
            }


TABLE = pl.DataFrame(list(rows()))


def test_runs_are_arranged_by_what_they_trained_on():
    runs = arrange_skill_runs(TABLE)
    assert (runs.trained, runs.evaluated) == (("a", "b"), ("a", "b", "c"))
    assert (runs.seeds, runs.steps) == ((1, 4), 50)
    np.testing.assert_array_equal(runs.initial, [[6.0] * 3, [9.0] * 3])
    np.testing.assert_array_equal(runs.alone[0], [[2.0, 3.0, 4.0], [3.5, 2.5, 4.5]])
    np.testing.assert_array_equal(runs.pairs[1, 0, 1], [5.2, 5.4, 7.1])
    np.testing.assert_array_equal(runs.pairs[:, 0, 1], runs.pairs[:, 1, 0])
    assert np.isnan(runs.pairs[:, 0, 0]).all()
    assert np.isnan(runs.random).all()
    assert runs.has_pairs
    assert runs.used == tuple(sorted(TABLE["run_id"]))
    assert runs.unused == ()


def test_the_order_of_rows_and_columns_does_not_matter():
    shuffled = TABLE.sample(fraction=1, shuffle=True, seed=1).select(reversed(TABLE.columns))
    found, runs = arrange_skill_runs(shuffled), arrange_skill_runs(TABLE)
    assert found.trained == ("b", "a")
    np.testing.assert_array_equal(found.alone[:, ::-1, ::-1], runs.alone)


def test_initial_losses_may_be_rows_of_step_zero():
    columns = [name for name in TABLE.columns if not name.startswith("initial")]
    before = pl.DataFrame(
        [
            {"run_id": f"start-{seed}", "seed": seed, "steps": 0, "p_a": 0.0, "p_b": 0.0}
            | {f"loss_{n}": 5.0 + seed for n in "abc"}
            for seed in (1, 4)
        ]
    )
    runs = arrange_skill_runs(pl.concat([TABLE.select(columns), before], how="diagonal"))
    np.testing.assert_array_equal(runs.initial, [[6.0] * 3, [9.0] * 3])
    both = before.with_columns(pl.lit(5.0).alias(f"initial_loss_{n}") for n in "abc")
    with pytest.raises(ValueError, match=r"and in rows with steps 0 \(start-1\); give one"):
        arrange_skill_runs(pl.concat([TABLE, both], how="diagonal"))
    with pytest.raises(ValueError, match="seed 4 has no initial losses: add columns"):
        arrange_skill_runs(pl.concat([TABLE.select(columns), before[:1]], how="diagonal"))


def test_random_data_and_other_mixtures():
    extra = TABLE[:2].with_columns(
        pl.Series("run_id", ["random", "odd"]),
        pl.Series("kind", ["random", None]),
        pl.Series("p_a", [0.5, 0.7]),
        pl.Series("p_b", [0.5, 0.3]),
    )
    runs = arrange_skill_runs(pl.concat([TABLE, extra], how="diagonal"))
    np.testing.assert_array_equal(runs.random[1], [5.0, 6.0, 7.0])
    assert "random" in runs.used
    assert [run.run_id for run in runs.unused] == ["odd"]
    assert "neither one skill alone nor two half and half" in runs.unused[0].reason


def test_rounded_shares_are_divided_by_their_sum():
    runs = arrange_skill_runs(TABLE.with_columns(p_a=pl.col("p_a") * 0.9995))
    assert runs.unused == ()


def change(column, value, row=0):
    values = TABLE[column].to_list()
    values[row] = value
    return TABLE.with_columns(pl.Series(column, values, strict=False))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (TABLE.drop("seed"), r"columns \['seed'\] are missing; found \['run_id', 'steps'"),
        (TABLE.drop("p_a", "p_b"), r"columns \['p_<skill>'\] are missing"),
        (TABLE.drop("loss_a", "loss_b", "loss_c"), r"columns \['loss_<skill>'\] are missing"),
        (TABLE.drop("initial_loss_b"), r"name \['a', 'c'\], but loss_<skill> name \['a', 'b', 'c'"),
        (change("run_id", "b-4"), "run_id 'b-4' occurs twice"),
        (change("run_id", None), "row 0: run_id is empty"),
        (change("loss_b", None, 2), "run 'ab-4'\\), column loss_b: a finite number is needed"),
        (change("loss_b", float("nan")), "run 'a-4'\\), column loss_b: a finite number is needed"),
        (change("loss_b", float("inf")), "column loss_b: a finite number is needed, got inf"),
        (change("loss_b", -1.0), "column loss_b: a loss must be positive, got -1.0"),
        (change("p_a", -0.5), "run 'a-4'\\), column p_a: a share must not be negative, got -0.5"),
        (change("p_a", 0.9), "run 'a-4'\\), column sum of p_: shares must sum to 1, got 0.9"),
        (change("seed", None), "run 'a-4'\\), column seed: a whole number is needed, got None"),
        (change("steps", 40), r"runs have different steps \[40, 50\] \(for example a-4 has 40\)"),
        (change("initial_loss_a", 9.1), "runs of one seed start from one model, but .* 9.0 to 9.1"),
        (TABLE.with_columns(steps=0), "no run with steps above 0"),
        (TABLE.with_columns(steps=-1), "steps must not be negative"),
        (
            TABLE.with_columns(loss_a=pl.Series(["1.0", "x", "1", "1", "1", "1"])),
            "run 'b-4'\\), column loss_a: a finite number is needed, got 'x'",
        ),
        (TABLE.with_columns(loss_a=pl.lit("1")), "column loss_a is of type String"),
        (change("seed", 1), "'a-4' and 'a-1' both trained on a alone with seed 1"),
        (
            TABLE.with_columns(kind=pl.lit("rnd")),
            "column kind: expected skill or random, got 'rnd'",
        ),
    ],
)
def test_refuses(table, message):
    with pytest.raises(ValueError, match=message):
        arrange_skill_runs(table)


def test_reads_csv_and_parquet_and_names_the_file(tmp_path):
    TABLE.write_csv(tmp_path / "runs.csv")
    TABLE.write_parquet(tmp_path / "runs.parquet")
    for name in ("runs.csv", "runs.parquet"):
        assert read_skill_runs(tmp_path / name).used == arrange_skill_runs(TABLE).used
    TABLE.drop("seed").write_csv(tmp_path / "runs.csv")
    with pytest.raises(ValueError, match=r"runs\.csv: columns \['seed'\] are missing"):
        read_skill_runs(tmp_path / "runs.csv")
    with pytest.raises(ValueError, match=r"none\.csv: no such file"):
        read_skill_runs(tmp_path / "none.csv")
    (tmp_path / "broken.parquet").write_text("x")
    with pytest.raises(ValueError, match=r"broken\.parquet: cannot be read"):
        read_skill_runs(tmp_path / "broken.parquet")
