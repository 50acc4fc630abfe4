"""The registry, the pools, and each selector."""

import json

import numpy as np
import pytest

from training.config import SelectorConfig
from training.policies import HeldoutEmbeddings, pack_state, unpack_state
from training.sampler import Sampler
from training.selection import select_rows
from training.selectors import SELECTORS, make_selector
from training.selectors.selector import PoolGradients, PoolMeasures, SelectionTask

DOMAINS = ("code", "law")
OFFERED = np.array([24, 5])
TASK = SelectionTask(domains=DOMAINS, offered_rows=OFFERED, steps=101, batch_rows=6, seed=4)
SMALL = {"pool_rows": 10, "keep_share": 0.4}
METHODS = sorted(set(SELECTORS) - {"random"})


def make(method, settings=None):
    return make_selector(SelectorConfig(method=method, settings=settings or {}), TASK)


def pool(losses=None, *, initial=None, embeddings=None, heldout=None, gradients=None, **changes):
    found = None
    if heldout is not None:
        index = np.arange(len(heldout)) % 2
        found = HeldoutEmbeddings(vectors=np.array(heldout, dtype=float), domain_index=index)
    given = {"domain": 0, "number": 0, "step": 0, **changes}
    return PoolMeasures(
        losses=losses,
        initial_losses=initial,
        embeddings=embeddings,
        heldout_embeddings=found,
        gradients=gradients,
        **given,
    )


def test_registry():
    assert METHODS == ["delta_loss", "gradient_similarity", "loss_band", "nearest"]
    with pytest.raises(ValueError, match="no method 'lucky'; choose one of delta_loss, "):
        make("lucky")
    with pytest.raises(ValueError, match="selector 'random', settings: pool_rows: unknown key"):
        make("random", SMALL)


# --- pools


def measured(domain, number, rows):
    """Everything a selector may read, made from the row numbers alone."""
    rng = np.random.default_rng(rows.sum())
    size = len(rows)
    return PoolMeasures(
        domain=domain,
        number=number,
        step=number,
        losses=(rows * 7 % 11).astype(float),
        initial_losses=np.full(size, 3.0),
        embeddings=rng.normal(size=(size, 3)),
        heldout_embeddings=HeldoutEmbeddings(
            vectors=rng.normal(size=(4, 3)), domain_index=np.array([0, 0, 1, 1])
        ),
        gradients=PoolGradients(rows=rng.normal(size=(size, 8)), heldout=rng.normal(size=(2, 8))),
    )


def draw(selector, num_batches, *, restart_at=()):
    """Plan batches as the loop does it; the states go through JSON at restart_at."""
    rows = np.array([24, 5])
    sampler = Sampler(DOMAINS, rows, seed=1, batch_rows=6, draws_per_row=selector.draws_per_row)
    state, sampler_state, plans, pools = selector.initial(), sampler.initial(), [], []

    def measure(domain, number, rows):
        pools.append((domain, number, rows))
        return measured(domain, number, rows)

    for number in range(num_batches):
        if number in restart_at:
            state = unpack_state(json.loads(json.dumps(pack_state(state))), selector.initial())
        plan, after = sampler.plan(sampler_state, np.array([2 / 3, 1 / 3]))
        plan, state = select_rows(
            plan,
            sampler_state.cursors,
            sampler=sampler,
            selector=selector,
            state=state,
            measure=measure,
        )
        plans.append(plan)
        sampler_state = after
    return plans, pools, state


@pytest.mark.parametrize("method", METHODS)
def test_drawn_rows_are_those_kept_of_each_pool_in_turn(method):
    selector = make(method, SMALL)
    plans, pools, state = draw(selector, 9)
    # 36 draws of code are 9 pools of 4 kept rows; 18 of law are 9 pools of all 5 rows, 2 kept.
    assert [(domain, number) for domain, number, _ in pools if domain == 0] == [
        (0, number) for number in range(9)
    ]
    assert sum(domain == 1 for domain, _, _ in pools) == 9
    drawn = np.concatenate([plan.rows[plan.domain_index == 0] for plan in plans])
    for (_, _, rows), part in zip(
        [entry for entry in pools if entry[0] == 0], drawn.reshape(9, 4), strict=True
    ):
        assert len(set(part.tolist())) == 4 or len(set(rows.tolist())) < 10
        assert set(part.tolist()) <= set(rows.tolist())
    # The stream goes on without a gap: 24 rows make an epoch.
    seen = np.concatenate([rows for domain, _, rows in pools if domain == 0])
    for epoch in range(3):
        assert sorted(seen[24 * epoch : 24 * (epoch + 1)].tolist()) == list(range(24))
    assert selector.describe(state) == {"pools": 18, "candidates": 9 * 10 + 9 * 5}
    np.testing.assert_allclose(selector.draws_per_row, [0.4, 0.4])


@pytest.mark.parametrize("method", METHODS)
def test_a_restart_anywhere_changes_no_row(method):
    straight, pools, _ = draw(make(method, SMALL), 9)
    for restart in ({1}, {4, 5}, set(range(9))):
        again, measured_again, _ = draw(make(method, SMALL), 9, restart_at=restart)
        for one, other in zip(straight, again, strict=True):
            np.testing.assert_array_equal(one.rows, other.rows)
            np.testing.assert_array_equal(one.epochs, other.epochs)
        assert len(measured_again) == len(pools)  # no pool is judged twice


def test_a_batch_may_need_several_pools():
    selector = make("loss_band", {"pool_rows": 3, "keep_share": 1 / 3})
    plans, pools, _ = draw(selector, 2)  # four rows of code a batch, one from each pool of three
    drawn = np.concatenate([plan.rows[plan.domain_index == 0] for plan in plans])
    of_code = [rows.tolist() for domain, _, rows in pools if domain == 0]
    assert len(of_code) == len(set(drawn.tolist())) == 8
    assert all(row in rows for row, rows in zip(drawn.tolist(), of_code, strict=True))


def test_random_leaves_the_plan_alone():
    plans, pools, _ = draw(make("random"), 9)
    assert pools == []
    sampler = Sampler(DOMAINS, OFFERED, seed=1, batch_rows=6)
    state = sampler.initial()
    for plan in plans:
        expected, state = sampler.plan(state, np.array([2 / 3, 1 / 3]))
        np.testing.assert_array_equal(plan.rows, expected.rows)


def test_epochs_of_a_run_count_passes_over_the_stream():
    """Half of the rows drawn twice is two epochs, not one: repetition is never silent."""
    sampler = Sampler(
        ("code",), np.array([8]), seed=0, batch_rows=4, max_epochs=1, draws_per_row=np.array([0.5])
    )
    np.testing.assert_allclose(sampler.epoch_draws, [4])
    _, state = sampler.plan(sampler.initial(), np.ones(1))
    with pytest.raises(ValueError, match="would pass max_epochs 1"):
        sampler.plan(state, np.ones(1))


@pytest.mark.parametrize(("max_epochs", "draws"), [(1, 8), (2, 16), (1.25, 12)])
def test_no_pool_reaches_beyond_max_epochs(max_epochs, draws):
    """24 rows in pools of 10: the third pool would judge, and draw, rows of the second epoch."""
    selector = make("loss_band", SMALL)
    sampler = Sampler(
        DOMAINS,
        OFFERED,
        seed=1,
        batch_rows=1,
        max_epochs=max_epochs,
        draws_per_row=selector.draws_per_row,
        pool_rows=selector.pool_rows,
    )
    planned, state, judged, rows = sampler.initial(), selector.initial(), [], []

    def measure(domain, number, rows):
        judged.extend(rows.tolist())
        return measured(domain, number, rows)

    only_code = np.array([1.0, 0.0])
    for _ in range(draws):
        cursors = planned.cursors
        plan, planned = sampler.plan(planned, only_code)
        plan, state = select_rows(
            plan, cursors, sampler=sampler, selector=selector, state=state, measure=measure
        )
        rows += plan.rows.tolist()
    with pytest.raises(ValueError, match=rf"max_epochs .* may be drawn \[{draws}\] times"):
        sampler.plan(planned, only_code)
    assert len(judged) == 10 * draws / 4 <= 24 * max_epochs
    if max_epochs == 1:
        assert len(set(rows)) == draws  # no row twice


# --- the methods


def kept(selector, measures):
    state = selector.choose(selector.initial(), measures)
    return selector.kept(state, measures.domain, measures.number).tolist()


def test_loss_band_prefers_its_band():
    losses = np.arange(10.0)
    for band, expected in (("low", [0, 1, 2]), ("middle", [3, 4, 5]), ("high", [6, 7, 8, 9])):
        settings = {"pool_rows": 10, "keep_share": len(expected) / 10, "focus": 1e12, "band": band}
        assert kept(make("loss_band", settings), pool(losses)) == expected
    shares = np.zeros(10)
    selector = make("loss_band", {"pool_rows": 10, "keep_share": 0.1, "band": "high"})
    for number in range(2000):
        shares[kept(selector, pool(losses, number=number))] += 1 / 2000
    # 4 rows of weight 5 and 6 of weight 1: 20 of 26 draws fall into the band.
    assert shares[6:].sum() == pytest.approx(20 / 26, abs=4 * np.sqrt(0.18 / 2000))
    flat = make("loss_band", {"pool_rows": 10, "keep_share": 0.1, "temperature": 1e9})
    np.testing.assert_allclose(
        flat.draw(pool(losses), np.ones(10), 10), flat.draw(pool(losses), np.full(10, 5.0), 10)
    )


def test_loss_bands_meet_at_their_quantiles():
    for band, expected in (("low", [0, 1, 2]), ("middle", [3, 4, 5]), ("high", [6, 7, 8])):
        settings = {"pool_rows": 9, "keep_share": 1 / 3, "focus": 1e12, "band": band}
        selector = make("loss_band", settings | {"low_quantile": 0.25, "high_quantile": 0.75})
        assert kept(selector, pool(np.arange(9.0))) == expected  # quantiles 2 and 6


def test_a_temperature_is_a_root_of_the_focus():
    losses = np.random.default_rng(0).normal(size=10)
    for temperature, focus in ((1e9, 1.0), (0.5, 25.0), (2.0, 5**0.5)):
        warm = make("loss_band", {**SMALL, "focus": 5.0, "temperature": temperature})
        plain = make("loss_band", {**SMALL, "focus": focus})
        for number in range(30):
            drawn = pool(losses, number=number)
            assert kept(warm, drawn) == kept(plain, drawn)


def test_what_is_kept_is_rounded_and_never_nothing():
    for share, rows in ((0.25, [3, 1]), (0.24, [2, 1]), (0.04, [1, 1])):
        selector = make("loss_band", {"pool_rows": 10, "keep_share": share})
        np.testing.assert_allclose(selector.draws_per_row, np.array(rows) / [10, 5])
        assert selector.pool_rows.tolist() == [10, 5]


def test_noise_is_of_seed_domain_and_pool():
    losses = np.zeros(10)
    selector = make("loss_band", SMALL)
    first = kept(selector, pool(losses))
    assert kept(selector, pool(losses)) == first
    others = [kept(selector, pool(losses, number=number)) for number in range(1, 6)]
    assert any(found != first for found in others)
    turned = SelectionTask(
        domains=DOMAINS[::-1], offered_rows=OFFERED[::-1], steps=101, batch_rows=6, seed=4
    )
    named = make_selector(SelectorConfig(method="loss_band", settings=SMALL), turned)
    for number in range(6):  # it goes with the name of the domain, not with its place
        assert kept(named, pool(losses, domain=1, number=number)) == [first, *others][number]
    renamed = SelectionTask(
        domains=("prose", "law"), offered_rows=OFFERED, steps=101, batch_rows=6, seed=4
    )
    reseeded = SelectionTask(domains=DOMAINS, offered_rows=OFFERED, steps=101, batch_rows=6, seed=5)
    for task in (renamed, reseeded):
        other = make_selector(SelectorConfig(method="loss_band", settings=SMALL), task)
        found = [kept(other, pool(losses, number=number)) for number in range(6)]
        assert found != [first, *others]


def test_delta_loss_moves_from_fast_to_slow_learnt_rows():
    settings = {"pool_rows": 10, "keep_share": 0.2, "outside_weight": 0.0}
    selector = make("delta_loss", settings)
    initial, losses = np.full(10, 9.0), np.array([5.0, 1, 9, 3, 8, 2, 7, 4, 6, 0])
    order = [9, 1, 5, 3, 7, 0, 8, 6, 4, 2]  # largest fall first
    for step, first in ((0, 0), (50, 4), (100, 8)):
        found = kept(selector, pool(losses, initial=initial, step=step))
        assert found == sorted(order[first : first + 2])
    assert (selector.position(0), selector.position(100)) == (0, 1)
    assert selector.position(50) == pytest.approx(0.5)
    sigmoid = 1 / (1 + np.exp(-10 * (0.3 - 0.5)))
    ends = 1 / (1 + np.exp([5.0, -5.0]))
    assert selector.position(30) == pytest.approx((sigmoid - ends[0]) / (ends[1] - ends[0]))


def test_a_window_holds_one_row_at_least():
    settings = {"pool_rows": 10, "keep_share": 0.1, "window_share": 0.01, "outside_weight": 0.0}
    for number in range(5):
        losses = np.array([5.0, 4, 3, 0, 8, 2, 7, 4, 6, 3])
        found = pool(losses, initial=np.full(10, 9.0), number=number)
        assert kept(make("delta_loss", settings), found) == [3]


def test_delta_loss_of_an_untouched_model_takes_a_window_all_the_same():
    selector = make("delta_loss", {"pool_rows": 10, "keep_share": 0.5})
    assert len(kept(selector, pool(np.ones(10), initial=np.ones(10)))) == 5


def test_nearest_takes_the_choices_of_the_heldout_rows_in_turns():
    angles = np.radians([0, 10, 20, 80, 90, 180, 200, 270, 300, 330])
    rows = np.column_stack([np.cos(angles), np.sin(angles)]) * 3.0
    heldout = [[1.0, 0.05], [1, 0], [0, 2.0], [0, 1.0]]  # domain 0, 1, 0, 1
    few = {"pool_rows": 10, "keep_share": 0.2}
    # Of domain 0: the row at 0 degrees, and that at 90.
    assert kept(make("nearest", few), pool(embeddings=rows, heldout=heldout)) == [0, 4]
    assert kept(make("nearest", SMALL), pool(embeddings=rows, heldout=heldout)) == [0, 1, 3, 4]
    only = make("nearest", {**few, "targets": {"law": 1.0}})
    assert kept(only, pool(embeddings=rows, heldout=[[0, 1], [-1, 0], [0, 1], [-1, -0.1]])) == [
        5,
        6,
    ]


def test_gradient_similarity_takes_the_best_cosine_over_the_targets():
    rows = np.array([[9.0, 0], [0.1, 0], [0, -1], [0, 0.2], [1, 1], [-1, 0], [0, 0], [3, -4]])
    rows = np.concatenate([rows, -np.ones((2, 2))])
    gradients = PoolGradients(rows=rows, heldout=np.array([[1.0, 0], [0, -3.0]]))
    settings = {"pool_rows": 10, "keep_share": 0.3}
    own = make("gradient_similarity", settings)
    # Towards (1, 0): rows 0 and 1 at cosine 1, then (1, 1) at .71; the length does not matter.
    assert kept(own, pool(gradients=gradients)) == [0, 1, 4]
    both = make("gradient_similarity", {**settings, "targets": {"code": 1.0, "law": 1.0}})
    assert kept(both, pool(gradients=gradients)) == [0, 1, 2]  # (3, -4) is best on average only
    assert own.projected_size == 4096


def test_a_domain_is_its_own_target():
    few = {"pool_rows": 5, "keep_share": 0.2}
    rows = np.array([[1.0, 0], [0.9, 0.1], [0, 1], [-1, 0], [0, -1]])
    heldout = [[1.0, 0], [-1.0, 0.1]]  # code, law
    found = pool(embeddings=rows, heldout=heldout, domain=1)
    assert kept(make("nearest", few), found) == [3]
    gradients = PoolGradients(rows=rows, heldout=np.array(heldout))
    found = pool(gradients=gradients, domain=1)
    assert kept(make("gradient_similarity", few), found) == [3]


def test_only_the_current_pool_is_held():
    selector = make("loss_band", SMALL)
    state = selector.choose(selector.initial(), pool(np.arange(10.0), number=1))
    assert selector.kept(state, 0, 1) is not None
    assert selector.kept(state, 0, 0) is None
    assert selector.kept(state, 0, 2) is None
    assert selector.kept(state, 1, 1) is None


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("loss_band", {"low_quantile": 0.7}, r"low_quantile 0\.7 must be below"),
        ("loss_band", {"low_quantile": 0.66}, r"low_quantile 0\.66 must be below"),
        ("loss_band", {"band": "top"}, "band"),
        ("loss_band", {"pool_rows": 1}, r"keep_share 0\.5 of pool_rows 1 is all of them"),
        ("delta_loss", {"window": 0.2}, "window: unknown key"),
        ("delta_loss", {"keep_share": 0.0}, "keep_share"),
        ("nearest", {"targets": {"lore": 1.0}}, "must give a value above 0 to some of the domains"),
        ("nearest", {"targets": {"law": 1.0, "lore": 1.0}}, "to some of the domains code, law"),
        ("gradient_similarity", {"targets": {"law": 0.0}}, "must give a value above 0"),
    ],
)
def test_refuses_settings(method, settings, message):
    with pytest.raises(ValueError, match=message):
        make(method, settings)


def test_refuses_measurements_that_are_missing_or_not_finite():
    with pytest.raises(ValueError, match="pool 0 of domain 0 needs finite losses"):
        kept(make("loss_band", SMALL), pool())
    with pytest.raises(ValueError, match="needs finite initial losses"):
        kept(make("delta_loss", SMALL), pool(np.ones(10), initial=np.full(10, np.nan)))
