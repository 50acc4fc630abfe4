import json

import numpy as np
import pytest

from training.config import MixerConfig
from training.mixers import make_mixer
from training.mixers.interface import Observation, StaticState, pack_state

NAMES = ("a", "b", "c")
MATRIX = np.array([[1, 0.5, 0], [0, 1, 0.5], [0, 0, 1]])
SETTINGS = {"eta": 0.5, "round_steps": 10, "window": 1, "evaluation_steps": 2}


def named(matrix, rows=NAMES, columns=NAMES):
    return {
        row: dict(zip(columns, values, strict=True))
        for row, values in zip(rows, np.asarray(matrix, dtype=float).tolist(), strict=True)
    }


def make(graph=None, steps=30, domains=NAMES, **settings):
    graph = named(MATRIX) if graph is None else graph
    return make_mixer(
        MixerConfig(method="skill_it", settings={"graph": graph, **SETTINGS, **settings}),
        domains=domains,
        available_tokens=np.ones(len(domains)),
        steps=steps,
        batch_rows=8,
    )


def constant(*losses):
    return lambda step: np.array(losses, dtype=float)


def test_published_start_and_update(drive):
    run = drive(make(), 30, heldout=constant(2, 1.5, 3))
    np.testing.assert_allclose(run.trail[:10], [[0.359867, 0.359867, 0.280265]] * 10, atol=1e-6)
    np.testing.assert_allclose(run.trail[10:], [[0.306157, 0.346921, 0.346921]] * 20, atol=1e-6)
    assert run.evaluations == [9, 19]
    assert run.state.num_updates == 2


def test_published_window_of_three(drive):
    losses = {5: [2, 1.5, 3], 7: [1.6, 1.2, 2.9], 9: [1.2, 1, 2.7]}
    heldout = lambda step: np.array(losses[step])  # noqa: E731
    run = drive(make(window=3, steps=20), 20, heldout=heldout)
    assert run.evaluations == [5, 7, 9]
    np.testing.assert_allclose(run.trail[10], [0.178088, 0.349771, 0.472141], atol=1e-6)
    mean = drive(make(window=3, steps=20, window_losses="mean"), 20, heldout=heldout).trail[10]
    scores = 0.5 * MATRIX @ np.mean(list(losses.values()), axis=0)
    np.testing.assert_allclose(mean, np.exp(scores) / np.exp(scores).sum(), rtol=1e-12)


def test_the_update_has_no_memory(drive):
    late = lambda step: np.array([2, 1.5, 3] if step > 10 else [9.0, 0.1, 0.1])  # noqa: E731
    run = drive(make(), 30, heldout=late)
    np.testing.assert_allclose(run.trail[20], [0.306157, 0.346921, 0.346921], atol=1e-6)


def test_static_keeps_the_start(drive):
    run = drive(make(static=True, round_steps=1000), 30)
    np.testing.assert_allclose(run.trail, [[0.359867, 0.359867, 0.280265]] * 30, atol=1e-6)
    assert run.evaluations == []


@pytest.mark.parametrize(
    ("matrix", "verdict"), [(np.eye(3), "empty"), (np.full((3, 3), 0.4) + np.eye(3), "complete")]
)
def test_a_graph_that_orders_nothing_is_stratified_and_recorded(drive, matrix, verdict):
    mixer = make(named(matrix))
    run = drive(mixer, 30)
    np.testing.assert_array_equal(run.trail, np.full((30, 3), 1 / 3))
    assert run.evaluations == []
    record = mixer.describe(run.state)
    assert (record["graph_verdict"], record["stratified"]) == (verdict, True)
    forced = make(named(matrix), obey_diagnosis=False)
    trail = drive(forced, 30, heldout=constant(1, 2, 3)).trail
    scores = 0.5 * matrix @ [1, 2, 3]
    np.testing.assert_allclose(trail[-1], np.exp(scores) / np.exp(scores).sum())
    assert forced.describe(forced.initial())["stratified"] is False


def test_equal_shares_go_to_what_is_trained_on_only(drive):
    graph = named([[0.5], [0.7]], rows=("a", "c"), columns=("b",))
    mixer = make(graph, round_steps=15)
    run = drive(mixer, 30)
    assert mixer.describe(run.state)["graph_verdict"] == "complete"
    np.testing.assert_array_equal(run.trail, [[0.5, 0, 0.5]] * 30)


def test_a_higher_loss_draws_tokens_to_what_prepares_it(drive):
    share = [drive(make(), 20, heldout=constant(1, 1, loss)).trail[-1] for loss in (1, 2, 3)]
    assert share[0][2] < share[1][2] < share[2][2]
    ratio = [one[1] / one[0] for one in share]
    assert ratio[0] < ratio[1] < ratio[2]  # b prepares c, a does not


def test_evaluated_skills_without_a_row_get_no_weight(drive):
    graph = named([[0.5], [0.0]], rows=("a", "c"), columns=("b",))
    mixer = make(graph, round_steps=15)
    run = drive(mixer, 30, heldout=constant(9, 2, 9))
    first = np.exp(0.5 * 0.5) / (np.exp(0.5 * 0.5) + 1)
    np.testing.assert_allclose(run.trail[0], [first, 0, 1 - first])
    later = np.exp(0.5 * 0.5 * 2) / (np.exp(0.5 * 0.5 * 2) + 1)
    np.testing.assert_allclose(run.trail[-1], [later, 0, 1 - later])
    assert mixer.describe(run.state)["graph_density"] == 0.5


def test_follows_the_names_not_the_positions(drive):
    losses = dict(zip(NAMES, (2, 1.5, 3), strict=True))
    turned = ("c", "a", "b")
    one = drive(make(), 30, heldout=constant(*losses.values())).trail
    other = drive(make(domains=turned), 30, heldout=constant(*(losses[n] for n in turned))).trail
    np.testing.assert_allclose(one[:, [2, 0, 1]], other, rtol=1e-12)


def test_unchanged_by_resume_and_large_scores_do_not_overflow(drive):
    heldout = lambda step: np.array([3.0, 2.0, 1.0]) / (step + 2)  # noqa: E731
    options = {"window": 3, "eta": 1000.0}
    one = drive(make(**options), 30, heldout=heldout)
    other = drive(make(**options), 30, heldout=heldout, repack=True)
    np.testing.assert_array_equal(one.trail, other.trail)
    assert pack_state(one.state) == pack_state(other.state)
    np.testing.assert_allclose(one.trail.sum(axis=1), 1)


def test_the_record_is_json():
    mixer = make()
    record = json.loads(json.dumps(mixer.describe(mixer.initial()), allow_nan=False))
    assert record["weights"]["c"] == pytest.approx(0.280265, abs=1e-6)
    assert record["graph_density"] == pytest.approx(1 / 3)
    assert (record["graph_verdict"], record["stratified"]) == ("ordered", False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"graph": {}}, "graph: .*at least 1"),
        ({"graph": named(-MATRIX)}, r"graph\.a\.a: .*greater than or equal to 0"),
        ({"domains": ("a", "b", "d")}, r"names \['c'\], which are no domains, and lacks \['d'\]"),
        ({"domains": (*NAMES, "d")}, r"names \[\], which are no domains, and lacks \['d'\]"),
        ({"graph": {**named(MATRIX), "c": {"c": 1.0}}}, r"rows \['c'\] lack some of the columns"),
        ({"graph": named([[1.0]], ("a",), ("a",)), "domains": ("a",)}, "two different skills"),
        ({"steps": 10}, "a run of 10 steps ends before the first update at round_steps 10"),
        ({"window": 6}, "6 evaluations 2 steps apart do not fit a round of 10 steps"),
        ({"window": 0}, "window: .*greater than or equal to 1"),
        ({"eta": 0.0}, "eta: .*greater than 0"),
        ({"etta": 1.0}, "etta: unknown key"),
    ],
)
def test_refuses_settings(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_refuses_observations_and_foreign_states(drive):
    with pytest.raises(ValueError, match="step 9 needs one finite held-out loss of each of 3"):
        drive(make(), 30, heldout=constant(1, np.nan, 1))
    mixer = make()
    none = np.zeros(3, dtype=np.int64)
    late = Observation(
        step=0,
        heldout_losses=None,
        train_loss_sums=np.zeros(3),
        train_token_counts=none,
        realised_counts=none,
    )
    with pytest.raises(ValueError, match="expected the observation of step -1, got 0"):
        mixer.observe(mixer.initial(), late)
    with pytest.raises(TypeError, match="expected a SkillItState, got StaticState"):
        mixer.weights(StaticState(), 0)
