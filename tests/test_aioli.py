import json

import numpy as np
import pytest

from training.config import MixerConfig
from training.mixers import make_mixer
from training.mixers.interface import Observation, StaticState, pack_state, unpack_state
from training.sampler import Sampler

DOMAINS = ("code", "law", "prose")
# nats per token that one step wholly on the train domain (column) saves on the eval domain (row)
MATRIX = np.array([[0.030, 0.002, 0.004], [0.001, 0.012, 0.001], [0.005, 0.003, 0.020]]) / 4
SETTINGS = {"eta": 1.0, "sweeps": 4, "probe_steps": 2, "round_steps": 40, "main_share": 0.7}


def make(steps=200, batch_rows=16, domains=DOMAINS, **changes):
    config = MixerConfig(method="aioli", settings={**SETTINGS, **changes})
    return make_mixer(
        config,
        domains=domains,
        available_tokens=np.ones(len(domains)),
        steps=steps,
        batch_rows=batch_rows,
    )


class World:
    """A run whose losses fall linearly in the realised rows; noise belongs to each evaluation."""

    def __init__(self, mixer, *, matrix=MATRIX, noise=0.0, seed=0, batch_rows=16):
        self.mixer, self.matrix, self.noise, self.seed = mixer, matrix, noise, seed
        size = len(matrix)
        names = tuple(f"d{i}" for i in range(size))
        self.sampler = Sampler(names, np.full(size, 10**6), seed=0, batch_rows=batch_rows)
        self.planned = self.sampler.initial()
        self.losses = np.full(size, 5.0)
        self.state = mixer.initial()
        self.trail = []
        self.evaluations = []

    def run(self, first, stop, repack=False):
        for step in range(first, stop):
            counts = np.zeros(len(self.matrix), dtype=np.int64)
            if step >= 0:
                weights = self.mixer.weights(self.state, step)
                self.trail.append(weights)
                plan, self.planned = self.sampler.plan(self.planned, weights)
                counts = plan.counts
                self.losses = self.losses - self.matrix @ (counts / counts.sum())
            heldout = None
            if self.mixer.wants_evaluation(self.state, step):
                self.evaluations.append(step)
                rng = np.random.default_rng([self.seed, step + 1])
                heldout = self.losses + self.noise * rng.normal(size=len(self.losses))
            self.state = self.mixer.observe(self.state, observed(step, heldout, counts))
            if repack:
                packed = json.loads(json.dumps(pack_state(self.state)))
                self.state = unpack_state(packed, self.mixer.initial())
        return self


def observed(step, heldout=None, counts=None):
    size = len(DOMAINS)
    return Observation(
        step=step,
        heldout_losses=heldout,
        train_loss_sums=np.zeros(size),
        train_token_counts=np.zeros(size, dtype=np.int64),
        realised_counts=np.zeros(size, dtype=np.int64) if counts is None else counts,
    )


def test_a_round_probes_every_domain_and_then_trains_on_what_it_learned():
    world = World(make(steps=100)).run(-1, 100)
    # 4 sweeps * 3 domains * 2 steps = 24 steps of probes; evaluated before them and after each.
    # The third round would end at 120, but its probes at 104: the run is over before.
    assert world.evaluations == [start + 2 * k - 1 for start in (0, 40) for k in range(13)]
    trail = np.array(world.trail)
    for start in (0, 40):
        probes = trail[start : start + 24 : 2]
        np.testing.assert_array_equal(probes, trail[start + 1 : start + 24 : 2])
        np.testing.assert_allclose(np.sort(probes, axis=1), np.tile([0.15, 0.15, 0.7], (12, 1)))
        mains = probes.argmax(axis=1).reshape(4, 3)
        assert np.sort(mains, axis=1).tolist() == [[0, 1, 2]] * 4
        learned = trail[start + 24 : start + 40]
        assert (learned == learned[0]).all()
        assert learned[0].argmax() == 0
    assert (trail[80:] == trail[79]).all()
    orders = [trail[start : start + 24].argmax(axis=1).tolist() for start in (0, 40)]
    assert orders[0] != orders[1]


def test_a_round_that_would_end_with_its_probes_is_not_probed():
    assert World(make(steps=65)).run(-1, 65).evaluations[-1] == 63
    world = World(make(steps=64)).run(-1, 64)  # probes of the second round: 40 to 63
    assert world.evaluations[-1] == 23
    np.testing.assert_array_equal(world.trail[40:], [world.state.sampling_weights] * 24)


def test_the_order_of_the_probes_is_that_of_the_seed():
    first, again, other = (World(make(seed=seed)).run(-1, 24).trail for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.argmax(first, axis=1).tolist() != np.argmax(other, axis=1).tolist()


def test_without_noise_the_matrix_is_exact_though_batches_cannot_realise_the_probes():
    world = World(make(batch_rows=5), batch_rows=5).run(-1, 24)
    np.testing.assert_allclose(world.state.matrix, 2 * MATRIX, atol=1e-12)
    shares = world.state.counts / world.state.counts.sum(axis=1, keepdims=True)
    assert np.abs(shares - np.array(world.trail)[::2]).max() > 0.02


def test_the_matrix_is_recovered_within_its_errors():
    errors = []
    for seed in range(40):
        state = World(make(), noise=0.002, seed=seed).run(-1, 24).state
        assert (state.standard_errors > 0).all()
        errors.append((state.matrix - 2 * MATRIX) / state.standard_errors)
    # Student's t with 3 degrees of freedom: 94 % lie within 3 errors.
    # Neighbouring probes share an evaluation, so that errors are not independent; be lenient.
    inside = np.abs(np.array(errors)) < 3
    assert 0.85 < inside.mean() < 0.995


def test_weights_follow_the_published_update_when_all_may_move():
    for update, ema in (("memoryless", 0.5), ("memoryless", 0.0), ("cumulative", 0.0)):
        settings = {"update": update, "ema": ema, "min_signal": 0.0, "eta": 0.1}
        world = World(make(**settings), noise=0.002).run(-1, 24)
        scores, weights = [], []
        for stop in (24, 64, 104):
            world.run(world.state.step + 1, stop)
            matrix = world.state.matrix - min(world.state.matrix.min(), 0)
            scores.append(matrix.sum(axis=0) / matrix.sum())
            weights.append(world.state.sampling_weights)
        assert world.state.num_moves == 3
        expected = np.full(3, 1 / 3)
        average = scores[0]
        for number, (score, found) in enumerate(zip(scores, weights, strict=True)):
            if update == "cumulative":
                expected = expected * np.exp(0.1 * score)
            else:
                average = score if number == 0 else (1 - ema) * score + ema * average
                expected = np.exp(0.1 * average)
            expected = expected / expected.sum()
            np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_memoryless_weights_stay_within_the_bound_and_cumulative_ones_leave_it():
    one_sided = np.array([[0.02, 0, 0], [0.02, 0, 0], [0.02, 0, 0]])
    ratios = {}
    for update in ("memoryless", "cumulative"):
        mixer = make(update=update, eta=0.5, min_signal=0.0)
        weights = World(mixer, matrix=one_sided).run(-1, 200).state.sampling_weights
        ratios[update] = weights.max() / weights.min()
    assert ratios["memoryless"] == pytest.approx(np.exp(0.5), rel=1e-6)
    assert ratios["cumulative"] == pytest.approx(np.exp(0.5 * 5), rel=1e-6)


def test_noise_alone_seldom_moves_and_a_signal_does():
    nothing = np.zeros((3, 3))
    moves = {0.0: 0, 2.0: 0}
    for min_signal in moves:
        for seed in range(60):
            world = World(make(min_signal=min_signal), matrix=nothing, noise=0.01, seed=seed)
            moves[min_signal] += world.run(-1, 24).state.num_moves
    assert moves[0.0] == 60
    assert moves[2.0] < 20
    signal = World(make(), noise=1e-5).run(-1, 24)
    assert signal.state.num_moves == 1
    assert signal.mixer.describe(signal.state)["moved"]["code"]


def test_a_round_below_the_noise_leaves_weights_and_average_as_they_are():
    mixer = make(ema=0.5)
    world = World(mixer).run(-1, 40)
    before = world.state
    assert before.num_moves == 1
    world.matrix, world.noise = np.zeros((3, 3)), 1.0
    seed = next(seed for seed in range(20) if not moved_by(mixer, before, world, seed).moved.any())
    after = moved_by(mixer, before, world, seed)
    assert after.num_decisions == 2
    assert after.num_moves == 1
    np.testing.assert_array_equal(after.sampling_weights, before.sampling_weights)
    np.testing.assert_array_equal(after.scores, before.scores)


def test_the_average_begins_with_the_first_round_that_moves():
    mixer = make(ema=0.5)
    world = World(mixer, matrix=np.zeros((3, 3)), noise=0.0).run(-1, 40)
    assert (world.state.num_decisions, world.state.num_moves) == (1, 0)
    world.matrix = MATRIX
    state = world.run(40, 64).state
    assert state.moved.all()
    np.testing.assert_allclose(state.scores, MATRIX.sum(axis=0) / MATRIX.sum())


def moved_by(mixer, state, world, seed):
    """Run the next round of the world from a state with the noise of a seed."""
    copy = World(mixer, matrix=world.matrix, noise=world.noise, seed=seed)
    copy.state, copy.planned = state, world.planned
    return copy.run(40, 64).state


def test_a_domain_below_the_noise_gets_the_average_score():
    # Column sums 3, 0, 1.5 of one size: law below, code above, prose exactly average.
    matrix = np.array([[0.03, 0, 0.015]] * 3)
    world = World(make(eta=1.0), matrix=matrix, noise=1e-4).run(-1, 24)
    assert world.state.moved.tolist() == [True, True, False]
    scores = world.state.scores
    assert scores[2] == pytest.approx(1 / 3)
    np.testing.assert_allclose(world.state.sampling_weights, np.exp(scores) / np.exp(scores).sum())


def test_a_round_that_goes_as_predicted_has_fidelity_one():
    world = World(make()).run(-1, 40)
    record = world.mixer.describe(world.state)
    assert record["fidelity"] == pytest.approx(1)
    rest = np.array(world.trail[24:40]).sum(axis=0)  # realised but for the rounding of rows
    found = [record["predicted_drops"][name] for name in DOMAINS]
    np.testing.assert_allclose(found, MATRIX @ rest, rtol=0.02)
    assert record["observed_drops"] == pytest.approx(record["predicted_drops"])
    assert record["faithful"]
    before = World(make()).run(-1, 39)
    assert "fidelity" not in before.mixer.describe(before.state)


def test_a_matrix_that_predicts_nothing_gives_equal_shares_until_it_predicts_again():
    mixer = make(min_signal=0.0, eta=5.0)
    world = World(mixer).run(-1, 24)
    assert np.ptp(mixer.weights(world.state, 24)) > 0.3
    world.matrix = -MATRIX  # what helped in the probes now harms
    world.run(24, 40)
    record = mixer.describe(world.state)
    assert record["fidelity"] < -0.9
    assert (record["faithful"], record["unfaithful_rounds"]) == (False, 1)
    world.matrix = MATRIX
    world.run(40, 80)
    np.testing.assert_allclose(world.trail[64:80], 1 / 3)  # between the probes of this round
    assert np.ptp(world.trail[40]) > 0.4  # it still probes
    record = mixer.describe(world.state)
    assert (record["faithful"], record["unfaithful_rounds"]) == (True, 1)
    (verdict,) = mixer.verdicts(world.state)
    assert (verdict.passed, verdict.observed) == (False, 1)  # one bad round is not forgotten
    assert "did not predict 1 of 2 rounds" in verdict.told
    world.run(80, 105)
    assert np.ptp(world.trail[104]) > 0.3


def test_without_a_least_fidelity_the_weights_stay():
    mixer = make(min_signal=0.0, min_fidelity=-1.0)
    world = World(mixer).run(-1, 24)
    world.matrix = -MATRIX
    world.run(24, 40)
    assert mixer.describe(world.state)["faithful"]
    assert mixer.verdicts(world.state) == ()
    np.testing.assert_array_equal(mixer.weights(world.state, 70), world.state.sampling_weights)


def test_the_probes_of_seven_domains_are_realised():
    """The released code draws one row of each side domain and none of the last, for all steps."""
    names = tuple("abcdefg")
    mixer = make(
        steps=300,
        batch_rows=8,
        domains=names,
        main_share=0.75,
        sweeps=2,
        probe_steps=10,
        round_steps=200,
    )
    sampler = Sampler(names, np.full(7, 10**6), seed=0, batch_rows=8)
    planned, state, rows = sampler.initial(), mixer.initial(), np.zeros((14, 7))
    for step in range(-1, 140):
        counts = np.zeros(7, dtype=np.int64)
        if step >= 0:
            plan, planned = sampler.plan(planned, mixer.weights(state, step))
            counts = plan.counts
            rows[step // 10] += counts
        heldout = np.full(7, 5.0) if mixer.wants_evaluation(state, step) else None
        state = mixer.observe(state, observed(step, heldout, counts))
    assert rows.sum() == 140 * 8  # every step is a whole step
    mains = rows.argmax(axis=1)
    assert np.bincount(mains).tolist() == [2] * 7
    np.testing.assert_allclose(rows.max(axis=1), 60, atol=2)
    np.testing.assert_allclose(np.sort(rows, axis=1)[:, :6], 20 / 6, atol=2)
    np.testing.assert_array_equal(state.counts, rows)  # and A is solved from these


def test_interrupted_at_every_step_equals_uninterrupted():
    settings = {"prior": {"code": 0.6, "law": 0.1, "prose": 0.3}, "prior_steps": 3, "ema": 0.3}
    whole = World(make(steps=110, **settings), noise=0.001).run(-1, 110)
    repacked = World(make(steps=110, **settings), noise=0.001).run(-1, 110, repack=True)
    assert whole.state.num_decisions == 3
    np.testing.assert_array_equal(whole.trail, repacked.trail)
    assert pack_state(whole.state) == pack_state(repacked.state)


def test_a_prior_is_trained_on_and_then_forgotten():
    prior = {"prose": 0.8, "code": 0.1, "law": 0.1}
    world = World(make(prior=prior, prior_steps=5)).run(-1, 45)
    np.testing.assert_allclose(world.trail[:5], np.tile([0.1, 0.1, 0.8], (5, 1)))
    np.testing.assert_allclose(np.sort(world.trail[5]), [0.15, 0.15, 0.7])  # the first probe
    assert world.evaluations[0] == 4
    plain = World(make()).run(-1, 40)
    np.testing.assert_allclose(
        world.state.sampling_weights, plain.state.sampling_weights, rtol=1e-9
    )


def test_shares_that_do_not_determine_the_matrix_move_nothing_and_are_recorded():
    mixer = make()
    state = mixer.initial()
    for step in range(-1, 24):
        heldout = np.full(3, 5.0 - step) if mixer.wants_evaluation(state, step) else None
        counts = np.array([16, 0, 0]) if step >= 0 else None
        state = mixer.observe(state, observed(step, heldout, counts))
    assert (state.num_decisions, state.num_moves, state.determined) == (1, 0, False)
    np.testing.assert_allclose(mixer.weights(state, 24), np.full(3, 1 / 3))
    assert mixer.describe(state)["determined"] is False
    assert "matrix" not in mixer.describe(state)


def test_the_record_names_every_axis():
    world = World(make(), noise=0.001).run(-1, 24)
    record = json.loads(json.dumps(world.mixer.describe(world.state), allow_nan=False))
    assert record["decisions"] == record["moves"] == 1
    assert record["weights"]["code"] == world.state.sampling_weights[0]
    assert record["matrix"]["prose"]["law"] == world.state.matrix[2, 1]
    assert record["matrix_standard_errors"]["prose"]["law"] == world.state.standard_errors[2, 1]
    assert record["contrasts"]["prose"] == world.state.contrasts[2]
    assert record["contrast_standard_error"] == world.state.contrast_error
    single = World(make(sweeps=1, min_signal=0.0)).run(-1, 24)
    record = single.mixer.describe(single.state)
    assert record["contrast_standard_error"] is None
    assert record["matrix_standard_errors"] is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"etta": 1.0}, "etta: unknown key.*eta, main_share"),
        ({"eta": 0.0}, "eta: .*greater than 0"),
        ({"sweeps": 2.5}, "sweeps"),
        ({"update": "both"}, "update: .*'memoryless' or 'cumulative'"),
        ({"main_share": 0.3}, "main_share 0.3 must exceed 1 / D = 0.3333"),
        ({"main_share": 0.5, "domains": ("a", "b")}, "main_share 0.5 must exceed 1 / D = 0.5"),
        ({"batch_rows": 1, "probe_steps": 1}, "a probe of 1 rows has only 0.55 more"),
        ({"batch_rows": 1}, "a probe of 2 rows has only 1.1 more"),
        ({"sweeps": 1}, "standard errors need sweeps of at least 2.*min_signal to 0"),
        ({"update": "cumulative", "ema": 0.1}, "ema belongs to the memoryless update"),
        ({"round_steps": 24}, r"= 24 steps, not fewer than round_steps 24"),
        ({"steps": 24}, "a run of 24 steps ends before the first probes do, at step 24"),
        (
            {"steps": 28, "prior": dict.fromkeys(DOMAINS, 1 / 3), "prior_steps": 4},
            "a run of 28 steps ends before the first probes do, at step 28",
        ),
        ({"prior_steps": 4}, "give both or neither"),
        ({"prior": {"code": 1.0}}, "give both or neither"),
        ({"prior": {"code": 1.0}, "prior_steps": 4}, r"missing \['law', 'prose'\]"),
        (
            {"prior": {"code": 0.5, "law": 0.2, "prose": 0.2}, "prior_steps": 4},
            "mixer.settings.prior must sum to 1",
        ),
        ({"domains": ("only",)}, "needs at least two domains; use uniform"),
    ],
)
def test_refuses_settings(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_refuses_observations():
    mixer = make()
    with pytest.raises(ValueError, match="expected the observation of step -1, got 0"):
        mixer.observe(mixer.initial(), observed(0))
    for losses in (None, np.ones(2), np.array([1.0, np.nan, 1.0])):
        with pytest.raises(ValueError, match="needs one finite held-out loss of each of 3"):
            mixer.observe(mixer.initial(), observed(-1, losses))
    with pytest.raises(TypeError, match="expected an AioliState, got StaticState"):
        mixer.weights(StaticState(), 0)
