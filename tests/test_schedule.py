import json

import numpy as np
import pytest

from training.config import MixerConfig
from training.mixers import make_mixer
from training.mixers.interface import Observation, StaticState, pack_state

DOMAINS = ("code", "law", "prose")
PHASES = {
    "0": {"code": 0.0, "law": 0.2, "prose": 0.8},
    "4": {"code": 0.8, "law": 0.2, "prose": 0.0},
    "6": {"code": 0.5, "law": 0.5, "prose": 0.0},
}


def make(phases=PHASES, steps=10, domains=DOMAINS, **settings):
    return make_mixer(
        MixerConfig(method="schedule", settings={"phases": phases, **settings}),
        domains=domains,
        available_tokens=np.ones(len(domains)),
        steps=steps,
        batch_rows=8,
    )


def test_weights_jump_at_the_first_step_of_a_phase(drive):
    run = drive(make(), 10)
    expected = [[0, 0.2, 0.8]] * 4 + [[0.8, 0.2, 0]] * 2 + [[0.5, 0.5, 0]] * 4
    np.testing.assert_allclose(run.trail, expected)
    assert run.evaluations == []


def test_phases_may_stand_in_any_order(drive):
    turned = dict(reversed(PHASES.items()))
    np.testing.assert_array_equal(drive(make(turned), 10).trail, drive(make(), 10).trail)


def test_or_slide_from_one_to_the_next(drive):
    trail = drive(make(interpolation="linear"), 10).trail
    np.testing.assert_allclose(trail[:5, 0], [0, 0.2, 0.4, 0.6, 0.8])
    np.testing.assert_allclose(trail[5], [0.65, 0.35, 0])
    np.testing.assert_allclose(trail[6:], [[0.5, 0.5, 0]] * 4)
    np.testing.assert_allclose(trail.sum(axis=1), 1)


def test_follows_the_names_not_the_positions(drive):
    turned = drive(make(domains=DOMAINS[::-1]), 10).trail
    np.testing.assert_array_equal(turned[:, ::-1], drive(make(), 10).trail)


def test_unchanged_by_resume(drive):
    one, other = drive(make(), 10), drive(make(), 10, repack=True)
    np.testing.assert_array_equal(one.trail, other.trail)
    assert pack_state(one.state) == pack_state(other.state)


def test_the_record_has_the_weights_of_the_next_step(drive):
    mixer = make()
    record = json.loads(json.dumps(mixer.describe(drive(mixer, 4).state)))
    assert record == {"weights": {"code": 0.8, "law": 0.2, "prose": 0.0}, "phase": 1}
    assert mixer.describe(mixer.initial())["phase"] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"phases": {}}, "phases: .*at least 1"),
        ({"phases": {"4": PHASES["4"]}}, r"phases begin at steps \[4\]; the first must begin at 0"),
        ({"steps": 6}, "within the run of 6 steps"),
        ({"phases": {"0": {"code": 1.0}}}, r"phases\.0 must name every domain once: missing"),
        (
            {"phases": {"0": {"code": 0.5, "law": 0.2, "prose": 0.2}}},
            r"phases\.0 must sum to 1, got the sum 0\.8999",
        ),
        ({"phases": {"now": PHASES["0"]}}, r"phases\.now"),
        ({"interpolation": "cubic"}, "interpolation: .*'constant' or 'linear'"),
    ],
)
def test_refuses_settings(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_refuses_steps_out_of_order_and_foreign_states():
    mixer = make()
    none = np.zeros(3, dtype=np.int64)
    late = Observation(
        step=3,
        heldout_losses=None,
        train_loss_sums=np.zeros(3),
        train_token_counts=none,
        realised_counts=none,
    )
    with pytest.raises(ValueError, match="expected the observation of step -1, got 3"):
        mixer.observe(mixer.initial(), late)
    with pytest.raises(TypeError, match="expected a ScheduleState, got StaticState"):
        mixer.weights(StaticState(), 0)
