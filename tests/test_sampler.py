import hashlib
from collections import Counter

import numpy as np
import pytest

from training.sampler import Sampler

DOMAINS = ("code", "law", "prose")
NUM_ROWS = np.array([40, 7, 100])
WEIGHTS = np.array([0.5, 0.2, 0.3])


def make_sampler(**changes):
    options = {"seed": 3, "batch_rows": 10, **changes}
    return Sampler(DOMAINS, NUM_ROWS, **options)


def run(sampler, steps, weights=WEIGHTS, state=None):
    state = state or sampler.initial()
    plans = []
    for _ in range(steps):
        plan, state = sampler.plan(state, weights)
        plans.append(plan)
    return plans, state


def drawn(plans, domain):
    """Rows and epochs of one domain in the order of the slots."""
    rows = np.concatenate([plan.rows[plan.domain_index == domain] for plan in plans])
    epochs = np.concatenate([plan.epochs[plan.domain_index == domain] for plan in plans])
    return rows, epochs


def test_every_row_comes_once_per_epoch_in_a_new_order():
    plans, state = run(make_sampler(), 40)
    assert state.cursors.tolist() == [200, 80, 120]
    for domain, size in enumerate(NUM_ROWS):
        rows, epochs = drawn(plans, domain)
        assert epochs.tolist() == [k // size for k in range(len(rows))]
        first, second = rows[:size], rows[size : 2 * size]
        assert sorted(first) == list(range(size))
        assert first[: len(second)].tolist() != second.tolist()
        if len(second) == size:
            assert sorted(second) == list(range(size))


def test_slots_are_spread_evenly_and_count_what_was_apportioned():
    plan, _ = make_sampler().plan(make_sampler().initial(), WEIGHTS)
    assert plan.counts.tolist() == [5, 2, 3]
    # (k + 1/2) / n: code .1 .3 .5 .7 .9, law .25 .75, prose .167 .5 .833
    assert plan.domain_index.tolist() == [0, 2, 1, 0, 0, 2, 0, 1, 2, 0]


def test_interrupted_equals_uninterrupted():
    whole, end = run(make_sampler(), 12)
    for cut in range(1, 12):
        head, state = run(make_sampler(), cut)
        tail, resumed_end = run(make_sampler(), 12 - cut, state=state)
        for one, other in zip(whole, head + tail, strict=True):
            assert one.rows.tolist() == other.rows.tolist()
            assert one.domain_index.tolist() == other.domain_index.tolist()
        assert resumed_end.carry.tolist() == end.carry.tolist()


def test_weights_set_before_a_step_change_that_step():
    plans, state = run(make_sampler(), 3)
    changed, _ = run(make_sampler(), 1, np.array([0.0, 0.0, 1.0]), state)
    assert changed[0].counts.tolist() == [0, 0, 10]
    assert plans[0].counts.tolist() == [5, 2, 3]


def test_the_order_of_a_domain_depends_on_its_name_not_on_the_others():
    alone = Sampler(("law",), np.array([7]), seed=3, batch_rows=7)
    rows, _ = drawn(run(alone, 1, np.ones(1))[0], 0)
    together, _ = drawn(run(make_sampler(), 4)[0], 1)
    assert together[:7].tolist() == rows.tolist()
    other_seed = Sampler(("law",), np.array([7]), seed=4, batch_rows=7)
    assert drawn(run(other_seed, 1, np.ones(1))[0], 0)[0].tolist() != rows.tolist()


def test_the_stream_does_not_change_between_versions():
    digest = hashlib.sha256()
    for plan in run(make_sampler(epoch_share=0.5), 200)[0]:
        for part in (plan.domain_index, plan.rows, plan.epochs):
            digest.update(part.astype("<i8").tobytes())
    assert digest.hexdigest()[:16] == "6919ce811ebc9b65"


def test_simulated_epochs_offer_a_fixed_nested_subset():
    seen = {}
    for share in (0.25, 0.5):
        sampler = make_sampler(epoch_share=share)
        assert sampler.offered_rows.tolist() == [max(1, int(share * rows)) for rows in NUM_ROWS]
        plans, _ = run(sampler, 30)
        seen[share] = [set(drawn(plans, domain)[0].tolist()) for domain in range(3)]
        assert [len(rows) for rows in seen[share]] == sampler.offered_rows.tolist()
        assert max(Counter(drawn(plans, 1)[1].tolist()).values()) == sampler.offered_rows[1]
    assert all(small <= large for small, large in zip(seen[0.25], seen[0.5], strict=True))
    assert seen[0.25][0] != set(range(10))


def test_a_tiny_share_still_offers_one_row():
    assert make_sampler(epoch_share=1e-9).offered_rows.tolist() == [1, 1, 1]


def test_error_policy_names_the_domain_and_the_remedy():
    sampler = make_sampler(max_epochs=1.0)
    _, state = run(sampler, 3)  # six of seven rows of law
    with pytest.raises(
        ValueError, match=r"\['law'\] would pass max_epochs 1.0.* \[7\] times.* epoch_policy"
    ):
        sampler.plan(state, WEIGHTS)


def test_the_last_row_below_the_limit_is_used():
    sampler = Sampler(("law",), np.array([8]), seed=0, batch_rows=5, max_epochs=1.25)
    plans, state = run(sampler, 2, np.ones(1))
    assert drawn(plans, 0)[1].tolist() == [0] * 8 + [1] * 2
    with pytest.raises(ValueError, match="would pass max_epochs"):
        sampler.plan(state, np.ones(1))


def test_drop_policy_gives_the_weight_to_the_others_and_records_it():
    sampler = make_sampler(max_epochs=1.0, epoch_policy="drop")
    _, state = run(sampler, 3)
    plan, state = sampler.plan(state, WEIGHTS)
    np.testing.assert_allclose(plan.applied, [0.625, 0, 0.375])
    np.testing.assert_allclose(plan.requested, WEIGHTS)
    assert plan.counts[1] == 0
    assert plan.counts.sum() == 10
    plans, state = run(sampler, 4, state=state)
    assert (state.cursors <= NUM_ROWS).all()
    for domain in range(3):
        assert drawn(plans, domain)[1].max(initial=0) == 0


def test_drop_policy_stops_when_nothing_is_left():
    sampler = make_sampler(max_epochs=1.0, epoch_policy="drop")
    with pytest.raises(ValueError, match="no domain with a weight has rows left"):
        run(sampler, 20)


def test_allow_policy_goes_on_and_counts():
    plans, _ = run(make_sampler(max_epochs=1.0, epoch_policy="allow"), 8)
    assert drawn(plans, 1)[1].tolist() == [0] * 7 + [1] * 7 + [2] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"domains": ("a", "a")}, "one number of rows per domain"),
        ({"num_rows": np.array([1])}, "one number of rows per domain"),
        ({"num_rows": np.array([1, 0])}, r"without a row: \['b'\]"),
        ({"batch_rows": 0}, "batch_rows"),
        ({"epoch_share": 0.0}, "epoch_share"),
        ({"epoch_share": 1.5}, "epoch_share"),
        ({"domains": (), "num_rows": np.array([], dtype=np.int64)}, "domains without a row"),
        ({"max_epochs": 0.0}, "max_epochs"),
    ],
)
def test_refuses(arguments, message):
    options = {"domains": ("a", "b"), "num_rows": np.array([1, 1]), "batch_rows": 2} | arguments
    with pytest.raises(ValueError, match=message):
        Sampler(options.pop("domains"), options.pop("num_rows"), seed=0, **options)


def test_the_rounding_of_a_batch_is_carried_to_the_next():
    weights = np.array([0.55, 0.41, 0.04])
    plans, _ = run(make_sampler(batch_rows=7), 100, weights)
    rows = np.cumsum([plan.counts for plan in plans], axis=0)
    asked = 7 * np.outer(np.arange(1, 101), weights)
    assert np.abs(rows - asked).max() < 1
    assert rows[-1].tolist() == [385, 287, 28]


def test_the_same_object_plans_again_from_an_older_state():
    sampler = Sampler(("a", "b"), np.array([64, 900]), seed=5, batch_rows=700)
    weights = np.array([0.3, 0.7])
    plans, state = run(sampler, 9, weights)  # beyond the stretches that it works out at once
    for plan, again in zip(plans, run(sampler, 9, weights)[0], strict=True):
        assert plan.rows.tolist() == again.rows.tolist()
        assert plan.epochs.tolist() == again.epochs.tolist()
    for domain in (0, 1):
        rows, epochs = drawn(plans, domain)
        places = np.arange(state.cursors[domain])
        expected = sampler.locate(np.full(len(places), domain), places)
        assert [rows.tolist(), epochs.tolist()] == [found.tolist() for found in expected]


@pytest.mark.parametrize(
    ("rows", "epochs", "share", "draws"),
    [
        (7, 1.5, 1.0, 10),  # 10.5
        (100, 4.35, 1.0, 435),  # 434.99999999999994 as a product
        (49, 1.0, 15 / 49, 15),  # what a selector keeps of one pool
        (98, 1.0, 0.5, 49),
    ],
)
def test_a_limit_is_in_whole_draws(rows, epochs, share, draws):
    sampler = Sampler(
        ("a",),
        np.array([rows]),
        seed=0,
        batch_rows=1,
        max_epochs=epochs,
        draws_per_row=np.array([share]),
    )
    _, state = run(sampler, draws, np.ones(1))
    with pytest.raises(ValueError, match=rf"would pass .* may be drawn \[{draws}\] times"):
        sampler.plan(state, np.ones(1))


def test_a_domain_past_its_limit_that_gets_no_row_stops_nobody():
    _, state = run(make_sampler(), 20)
    for policy in ("error", "drop"):
        sampler = make_sampler(max_epochs=2.0, epoch_policy=policy)
        assert (state.cursors > 2 * NUM_ROWS)[:2].all()
        plan, _ = sampler.plan(state, np.array([0.0, 0.0, 1.0]))
        assert plan.applied.tolist() == [0, 0, 1]


@pytest.mark.parametrize("weights", [[0.5, 0.5], [0.5, 0.5, 0.5]])
def test_refuses_weights(weights):
    with pytest.raises(ValueError, match="weights must"):
        make_sampler().plan(make_sampler().initial(), np.array(weights))


def test_locate_finds_what_plan_draws():
    sampler = Sampler(("a", "b"), np.array([5, 9]), seed=2, batch_rows=8)
    state, seen = sampler.initial(), np.zeros(2, dtype=np.int64)
    for _ in range(4):
        plan, state = sampler.plan(state, np.array([0.5, 0.5]))
        for domain in (0, 1):
            slots = plan.domain_index == domain
            places = seen[domain] + np.arange(slots.sum())
            rows, epochs = sampler.locate(np.full(len(places), domain), places)
            np.testing.assert_array_equal(rows, plan.rows[slots])
            np.testing.assert_array_equal(epochs, plan.epochs[slots])
        seen += plan.counts


def test_a_part_of_the_stream_makes_shorter_epochs():
    sampler = Sampler(
        ("a", "b"), np.array([6, 9]), seed=2, batch_rows=3, draws_per_row=np.array([0.5, 1.0])
    )
    np.testing.assert_array_equal(sampler.epoch_draws, [3, 9])
    np.testing.assert_array_equal(sampler.offered_rows, [6, 9])
