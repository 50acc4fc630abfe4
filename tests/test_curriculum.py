import json

import numpy as np
import pytest

from training.config import MixerConfig
from training.mixers import make_mixer
from training.mixers.interface import StaticState, pack_state

DOMAINS = ("code", "law", "prose")
TOKENS = np.array([500.0, 300.0, 200.0])
DIFFICULTY = {"code": 3.0, "law": 1.0, "prose": 2.0}
EASY_FIRST = [1, 2, 0]


def make(steps=10, domains=DOMAINS, tokens=TOKENS, **settings):
    return make_mixer(
        MixerConfig(method="curriculum", settings=settings),
        domains=domains,
        available_tokens=np.asarray(tokens),
        steps=steps,
        batch_rows=8,
    )


def test_the_pool_grows_from_the_easy_end(drive):
    trail = drive(make(difficulty=DIFFICULTY), 10).trail
    # after update u of 10 the pool has 100 u tokens: 300 of law, 200 of prose, 500 of code
    np.testing.assert_allclose(trail[:3, 1], 1)
    np.testing.assert_allclose(trail[3], [0, 300 / 400, 100 / 400])
    np.testing.assert_allclose(trail[4], [0, 300 / 500, 200 / 500])
    np.testing.assert_allclose(trail[5], [100 / 600, 300 / 600, 200 / 600])
    np.testing.assert_allclose(trail[9], TOKENS / 1000)


def test_and_from_the_hard_end(drive):
    trail = drive(make(difficulty=DIFFICULTY, order="hard_to_easy"), 10).trail
    np.testing.assert_allclose(trail[:5, 0], 1)
    np.testing.assert_allclose(trail[5], [500 / 600, 0, 100 / 600])
    np.testing.assert_allclose(trail[9], TOKENS / 1000)


def test_pacing_by_hand(drive):
    options = {"difficulty": DIFFICULTY, "start_share": 0.2, "full_at": 0.5}
    linear = drive(make(**options), 10).trail
    # u / (a n) = 1 / 5: the pool holds 0.2 + 0.8 / 5 = 0.36 of 1000 tokens
    np.testing.assert_allclose(linear[0], [0, 300 / 360, 60 / 360])
    np.testing.assert_allclose(linear[4:], np.tile(TOKENS / 1000, (6, 1)))
    logarithmic = drive(make(**options, pacing="log"), 10).trail
    pool = 1000 * (0.2 + 0.8 * (1 + 0.1 * np.log(0.2 + np.exp(-10))))
    np.testing.assert_allclose(logarithmic[0], [(pool - 500) / pool, 300 / pool, 200 / pool])
    slow = drive(make(difficulty=DIFFICULTY, update_steps=4), 10).trail
    np.testing.assert_array_equal(slow[0], slow[3])
    np.testing.assert_allclose(slow[4], [166.6666667 / 666.6666667, 0.45, 0.3])
    np.testing.assert_allclose(slow[8], TOKENS / 1000)


def test_groups_by_hand(drive):
    steps = 2 * 1000 + 0.4 * (300 + 500)  # one step per token
    trail = drive(make(difficulty=DIFFICULTY, form="group", steps=int(steps)), int(steps)).trail
    changes = np.flatnonzero(np.abs(np.diff(trail, axis=0)).sum(axis=1)) + 1
    ends = np.cumsum([300, 200 + 0.4 * 300, 500 + 0.4 * 500])
    np.testing.assert_array_equal(changes, ends)
    np.testing.assert_allclose(trail[0], [0, 1, 0])
    np.testing.assert_allclose(trail[300], [0, 120 / 320, 200 / 320])
    np.testing.assert_allclose(trail[620], [500 / 700, 120 / 700, 80 / 700])
    np.testing.assert_allclose(trail[-1], TOKENS / 1000)
    pure = drive(make(difficulty=DIFFICULTY, form="group", mixing_share=0.0, steps=20), 20).trail
    assert set(map(tuple, pure[:10].tolist())) == {(0, 1, 0), (0, 0, 1), (1, 0, 0)}
    # 2000 / 7 tokens a step: the middle of the second lies at 429, in prose, though it ends in code
    coarse = drive(make(difficulty=DIFFICULTY, form="group", mixing_share=0.0, steps=7), 7).trail
    np.testing.assert_array_equal(coarse[:3], [[0, 1, 0], [0, 0, 1], [1, 0, 0]])


def test_difficulty_is_measured_before_the_first_step(drive):
    mixer = make()
    run = drive(mixer, 10, heldout=lambda step: np.array([3.0, 1.0, 2.0]))
    assert run.evaluations == [-1]
    np.testing.assert_array_equal(run.trail, drive(make(difficulty=DIFFICULTY), 10).trail)
    record = json.loads(json.dumps(mixer.describe(run.state), allow_nan=False))
    assert record["order"] == ["law", "prose", "code"]
    assert record["difficulty"] == DIFFICULTY
    with pytest.raises(ValueError, match="step -1 needs one finite held-out loss"):
        drive(mixer, 10, heldout=lambda step: np.array([3.0, np.inf, 2.0]))


@pytest.mark.parametrize("form", ["pool", "group"])
def test_follows_the_names_stays_on_the_simplex_and_survives_resume(drive, form):
    order = [2, 0, 1]
    one = drive(make(form=form), 10, heldout=lambda step: np.array([3.0, 1.0, 2.0]), repack=True)
    plain = drive(make(form=form), 10, heldout=lambda step: np.array([3.0, 1.0, 2.0]))
    np.testing.assert_array_equal(one.trail, plain.trail)
    assert pack_state(one.state) == pack_state(plain.state)
    names = tuple(DOMAINS[k] for k in order)
    other = make(form=form, domains=names, tokens=TOKENS[order], difficulty=DIFFICULTY)
    np.testing.assert_allclose(drive(other, 10).trail, one.trail[:, order], atol=1e-15)
    np.testing.assert_allclose(one.trail.sum(axis=1), 1)
    assert (one.trail >= 0).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"difficulty": {"code": 1.0, "law": 2.0}}, r"missing \['prose'\], unknown \[\]"),
        ({"difficulty": {**DIFFICULTY, "law": 3.0}}, "two domains are equally difficult"),
        ({"order": "random"}, "order: .*'easy_to_hard' or 'hard_to_easy'"),
        ({"full_at": 0.0}, "full_at: .*greater than 0"),
        ({"start_share": 1.5}, "start_share: .*less than or equal to 1"),
        ({"pace": "log"}, "pace: unknown key"),
    ],
)
def test_refuses_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        make(**settings)


def test_refuses_foreign_states():
    with pytest.raises(TypeError, match="expected a CurriculumState, got StaticState"):
        make(difficulty=DIFFICULTY).weights(StaticState(), 0)
