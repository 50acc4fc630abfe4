"""The registry, the interface, and each weighter."""

import numpy as np
import pytest

from training.config import WeighterConfig
from training.policies import HeldoutEmbeddings, Observation
from training.row_weighing import RowWeighing
from training.sampler import Sampler
from training.weighters import WEIGHTERS, make_weighter
from training.weighters.weighter import RowMeasures, WeightingTask, effective_rows

TASK = WeightingTask(domains=("code", "law"), steps=11, batch_rows=4)
LOSSES = np.array([1.0, 2.0, 3.0, 5.0])


def make(method, settings=None):
    return make_weighter(WeighterConfig(method=method, settings=settings or {}), TASK)


def rows(losses=None, embeddings=None):
    index = np.array([0, 1, 0, 1])
    return RowMeasures(domain_index=index, losses=losses, embeddings=embeddings)


def observation(step, vectors=None, domain_index=(0, 1)):
    found = None
    if vectors is not None:
        found = HeldoutEmbeddings(
            vectors=np.array(vectors, dtype=float), domain_index=np.array(domain_index)
        )
    zeros = np.zeros(2, dtype=np.int64)
    return Observation(
        step=step,
        heldout_losses=None,
        train_loss_sums=zeros * 0.0,
        train_token_counts=zeros,
        realised_counts=zeros,
        heldout_embeddings=found,
    )


def test_registry():
    assert set(WEIGHTERS) == {"none", "loss", "alignment"}
    with pytest.raises(ValueError, match="no method 'los'; choose one of alignment, loss, none"):
        make("los")
    with pytest.raises(ValueError, match="weighter 'none', settings: delta: unknown key"):
        make("none", {"delta": 1.0})


# LOSSES scaled to [-1, 1]: -1, -1/2, 0, 1.
@pytest.mark.parametrize(
    ("strategy", "values"),
    [
        ("linupper", [0, 0.5, 1, 1]),
        ("uniform", [-1, -0.5, 0, 1]),
        ("quadratic", [0, 0.75, 1, 0]),
        ("extremes", [1, 0.5, 0, 1]),
    ],
)
def test_loss_weights_worked_by_hand(strategy, values):
    weighter = make("loss", {"strategy": strategy})
    assert weighter.reads == {"losses"}
    found = weighter.row_weights(weighter.initial(), 0, rows(LOSSES))
    expected = np.exp(values)
    np.testing.assert_allclose(found, expected / expected.sum())
    np.testing.assert_allclose(  # neither unit nor origin of the losses matters, nor their order
        weighter.row_weights(weighter.initial(), 0, rows(7 + 3 * LOSSES[::-1])), found[::-1]
    )


def test_delta_is_half_the_range_and_a_small_temperature_does_not_overflow():
    values = {
        "linupper": [0, 1, 2, 2],
        "uniform": [-2, -1, 0, 2],
        "quadratic": [0, 0.75, 1, 0],
        "extremes": [2, 1, 0, 2],
    }
    for strategy, expected in values.items():
        weighter = make("loss", {"strategy": strategy, "delta": 2.0})
        found = weighter.row_weights(weighter.initial(), 0, rows(LOSSES))
        np.testing.assert_allclose(np.log(found / found[2]), np.array(expected) - expected[2])
    cold = make("loss", {"strategy": "uniform", "initial_temperature": 1e-4})
    np.testing.assert_allclose(cold.row_weights(cold.initial(), 0, rows(LOSSES)), [0, 0, 0, 1])


def test_loss_weights_of_equal_losses_are_equal():
    found = make("loss").row_weights(make("loss").initial(), 0, rows(np.full(4, 2.5)))
    np.testing.assert_allclose(found, 0.25)


def test_temperature_goes_from_first_to_last_step():
    weighter = make("loss", {"initial_temperature": 100.0, "temperature": 0.5, "delta": 2.0})
    spreads = []
    for step in (0, 5, 10):
        found = weighter.row_weights(weighter.initial(), step, rows(LOSSES))
        spreads.append(np.log(found[3] / found[0]))
    # linupper with delta 2: values from 0 to 2
    np.testing.assert_allclose(spreads, [2 / 100, 2 / 50.25, 2 / 0.5])


def test_alignment_prefers_rows_near_the_heldout_rows():
    weighter = make("alignment", {"temperature": 0.5})
    state = weighter.observe(weighter.initial(), observation(-1, [[3, 0], [0, 5]]))
    vectors = np.array([[2.0, 0.0], [1.0, 1.0], [-1.0, 0.0], [0.0, 0.0]])
    found = weighter.row_weights(state, 0, rows(embeddings=vectors))
    similarity = np.array([0.5, 0.5**0.5, -0.5, 0.0])  # mean of the cosines with both
    expected = 1 / (1 + np.exp(-similarity / 0.5))
    np.testing.assert_allclose(found, expected / expected.max())
    assert weighter.describe(state)["heldout_agreement"] == pytest.approx(0.5**0.5)
    assert weighter.reads == {"embeddings"}


def test_alignment_at_a_small_temperature_still_tells_rows_apart():
    weighter = make("alignment", {"temperature": 1e-3})
    state = weighter.observe(weighter.initial(), observation(-1, [[1, 0], [1, 0]]))
    vectors = np.array([[-1.0, 0.0], [-0.8, 0.6], [-0.8, 0.6], [-1.0, 0.0]])
    found = weighter.row_weights(state, 0, rows(embeddings=vectors))
    # exp(-1000) and exp(-800) are nothing alone, but their ratio counts
    np.testing.assert_allclose(found, [np.exp(-200), 1, 1, np.exp(-200)])


def test_alignment_with_targets_counts_only_their_rows():
    weighter = make("alignment", {"targets": {"law": 3.0}})
    state = weighter.observe(weighter.initial(), observation(-1, [[3, 0], [0, 5]]))
    np.testing.assert_allclose(state.direction, [0, 1])


def test_alignment_is_refreshed_when_due():
    weighter = make("alignment", {"refresh_steps": 2})
    state = weighter.initial()
    asked = []
    for step in range(-1, 4):
        wanted = weighter.wants(state, step)
        asked += [step] if wanted else []
        vectors = [[step + 2, 0.0], [0.0, 1.0]] if wanted else None
        state = weighter.observe(state, observation(step, vectors))
    assert asked == [-1, 1, 3]


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("loss", {"strategy": "hard"}, "strategy"),
        ("loss", {"temperature": 0.0}, "temperature"),
        ("alignment", {"targets": {"lore": 1.0}}, r"targets \{'lore': 1\.0\} must be weights"),
        ("alignment", {"targets": {"law": 0.0}}, "not all zero"),
        ("alignment", {"targets": {"law": -1.0}}, "weights >= 0"),
    ],
)
def test_refuses_settings(method, settings, message):
    with pytest.raises(ValueError, match=message):
        make(method, settings)


def test_refuses_measurements():
    loss, alignment = make("loss"), make("alignment")
    for losses in (None, LOSSES * np.inf):
        with pytest.raises(ValueError, match="needs finite losses"):
            loss.row_weights(loss.initial(), 0, rows(losses))
    with pytest.raises(ValueError, match="needs finite embeddings"):
        alignment.row_weights(alignment.initial(), 0, rows())
    with pytest.raises(ValueError, match="needs finite held-out embeddings"):
        alignment.observe(alignment.initial(), observation(-1))
    with pytest.raises(ValueError, match="expected the observation of step -1"):
        alignment.observe(alignment.initial(), observation(0))


def test_effective_rows():
    assert effective_rows(np.ones(6)) == pytest.approx(6)
    assert effective_rows(np.array([1.0, 0, 0])) == pytest.approx(1)
    assert effective_rows(np.array([3.0, 1.0])) == pytest.approx(1.6)


def plan():
    sampler = Sampler(TASK.domains, np.array([10, 10]), seed=0, batch_rows=4)
    return sampler.plan(sampler.initial(), np.array([0.5, 0.5]))[0]


def weighing(method="none", loss_weights=None):
    weighter = make(method)
    return RowWeighing(
        loss_weights=loss_weights, weighter=weighter, state=weighter.initial(), step=3
    )


def test_mixer_and_weighter_multiply_and_the_mean_is_one():
    batch = plan()
    assert weighing().weights(batch) is None
    by_domain = weighing(loss_weights=np.array([1.0, 3.0])).weights(batch)
    np.testing.assert_allclose(by_domain, np.array([0.5, 1.5])[batch.domain_index])
    by_loss = weighing("loss").weights(batch, losses=LOSSES)
    both = weighing("loss", np.array([1.0, 3.0])).weights(batch, losses=LOSSES)
    expected = by_loss * by_domain
    np.testing.assert_allclose(both, expected / expected.mean())


@pytest.mark.parametrize("wrong", [[0.0, 0.0], [-1.0, 2.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_weights_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match="step 3: the weights of the rows in the loss must be"):
        weighing(loss_weights=np.array(wrong)).weights(plan())
