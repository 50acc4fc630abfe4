import numpy as np
import pytest

from training.run_table import ExpectedRuns, admit_runs

EXPECTED = ExpectedRuns(
    seeds={"r1": 0, "r2": 0, "r3": 1},
    domains=("web", "code"),
    eval_domains=("code", "web"),
    steps=100,
    tokenizer_digest="tok",
    shard_digests={"web": "w", "code": "c"},
)


def result(run_id="r1", *, web=0.75, **changes):
    return {
        "run_id": run_id,
        "finished": True,
        "steps": 100,
        "tokenizer_digest": "tok",
        "shard_digests": {"code": "c", "web": "w"},
        "requested_weights": {"web": 0.5, "code": 0.5},
        "realised_shares": {"code": 1 - web, "web": web},
        "heldout": {"web": {"loss_nats": 3.0, "rows": 8}, "code": {"loss_nats": 2.0, "rows": 8}},
        **changes,
    }


def reasons(results):
    return {each.run_id: each.reason for each in admit_runs(results, EXPECTED)[1]}


def test_rows_are_joined_by_name_with_realised_shares():
    table, exclusions = admit_runs([result("r2", web=0.25), result("r1"), result("r3")], EXPECTED)
    assert exclusions == []
    assert table.run_ids == ("r1", "r2", "r3")
    np.testing.assert_array_equal(table.weights, [[0.75, 0.25], [0.25, 0.75], [0.75, 0.25]])
    np.testing.assert_array_equal(table.losses, [[2.0, 3.0]] * 3)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"finished": False}, "did not finish"),
        ({"steps": 99}, "step 99, wanted 100"),
        ({"tokenizer_digest": "x"}, "tokenizer x, wanted tok"),
        ({"shard_digests": {"web": "w", "code": "x"}}, "other token shards for code"),
        ({"shard_digests": {"web": "w"}}, "other token shards for code"),
        ({"heldout": {"web": {"loss_nats": 3.0}}}, "no held-out loss for code"),
        (
            {"heldout": {"web": {"loss_nats": float("nan")}, "code": {"loss_nats": 2.0}}},
            "not finite for web",
        ),
        ({"realised_shares": {"web": 0.5, "code": 0.4}}, "no mixture"),
        ({"realised_shares": {"web": 1.0}}, "no mixture"),
        ({"realised_shares": {"web": 0.5, "code": 0.25, "po": 0.25}}, "no mixture"),
        ({"steps": "100"}, "garbles steps"),
        ({"heldout": {"web": {"loss_nats": None}}}, "garbles heldout.web.loss_nats"),
    ],
)
def test_each_rule_excludes_with_its_reason(changes, reason):
    table, exclusions = admit_runs([result("r1", **changes), result("r2")], EXPECTED)
    assert table.run_ids == ("r2",)
    assert {each.run_id for each in exclusions} == {"r1", "r3"}
    assert reason in reasons([result("r1", **changes)])["r1"]


def test_missing_foreign_and_twin_runs():
    seen = reasons([result("r1"), result("r2"), result("zz")])
    assert seen == {
        "r2": "same mixture and seed as r1",
        "r3": "it has no result",
        "zz": "it is not one of the expected runs",
    }


def test_a_repeated_run_id_counts_once():
    table, exclusions = admit_runs([result("r1"), result("r1", web=0.1)], EXPECTED)
    assert table.run_ids == ("r1",)
    np.testing.assert_array_equal(table.weights, [[0.75, 0.25]])
    assert "occurs twice" in {each.run_id: each.reason for each in exclusions}["r1"]


def test_an_excluded_run_does_not_shadow_its_good_twin():
    table, _ = admit_runs([result("r1", finished=False), result("r2")], EXPECTED)
    assert table.run_ids == ("r2",)


def test_no_admitted_run_gives_an_empty_table():
    table, exclusions = admit_runs([], EXPECTED)
    assert (table.weights.shape, table.losses.shape) == ((0, 2), (0, 2))
    assert len(exclusions) == 3


def test_a_result_without_run_id_is_an_error():
    with pytest.raises(ValueError, match="run_id"):
        admit_runs([{"steps": 1}], EXPECTED)
