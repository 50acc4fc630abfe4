import json
from dataclasses import replace

import numpy as np
import pytest

from training.config import MixerConfig, RunConfig
from training.loop import train
from training.mixers import make_mixer
from training.mixers.interface import (
    MixingTask,
    Observation,
    StaticMixer,
    pack_state,
    unpack_state,
)
from training.mixers.training_signal import TrainingLossSignal, has_decided
from training.sampler import Sampler

DOMAINS = ("code", "law", "prose")
# nats per token that a step wholly on the train domain (column) saves on the domain (row)
MATRIX = np.array([[0.030, 0.002, 0.004], [0.001, 0.012, 0.001], [0.005, 0.003, 0.020]]) / 4
AIOLI = {"eta": 1.0, "sweeps": 2, "probe_steps": 2, "round_steps": 20, "main_share": 0.7}
GRAPH = {name: {other: float(name <= other) for other in DOMAINS} for name in DOMAINS}
SKILL_IT = {"graph": GRAPH, "round_steps": 6, "evaluation_steps": 3, "window": 2}


def make(method="aioli", settings=AIOLI, losses="training", batch_rows=64, domains=DOMAINS):
    return make_mixer(
        MixerConfig(method=method, settings=settings, losses=losses),
        domains=domains,
        available_tokens=np.ones(len(domains)),
        steps=60,
        batch_rows=batch_rows,
    )


def simulate(mixer, steps, batch_rows=64, repack=False):
    """Losses that fall linearly in the rows; a step's losses are those before it."""
    sampler = Sampler(DOMAINS, np.full(3, 10**6), seed=0, batch_rows=batch_rows)
    planned, losses, state = sampler.initial(), np.full(3, 5.0), mixer.initial()
    trail = []
    for step in range(-1, steps):
        counts, before = np.zeros(3, dtype=np.int64), losses
        if step >= 0:
            trail.append(mixer.weights(state, step))
            plan, planned = sampler.plan(planned, trail[-1])
            counts = plan.counts
            losses = losses - MATRIX @ (counts / counts.sum())
        wanted = mixer.wants_evaluation(state, step)
        observation = Observation(
            step=step,
            heldout_losses=losses if wanted else None,
            train_loss_sums=before * counts * 10,
            train_token_counts=counts * 10,
            realised_counts=counts,
        )
        state = mixer.observe(state, observation)
        if repack:
            state = unpack_state(json.loads(json.dumps(pack_state(state))), mixer.initial())
    return state, trail


def test_aioli_learns_from_it_what_held_out_losses_would_tell():
    heldout, _ = simulate(make(losses="heldout"), 13)
    training, _ = simulate(make(), 13)
    assert heldout.num_decisions == training.method.num_decisions == 1
    # The measured step after the first probe has other shares; all the rest is the same.
    np.testing.assert_allclose(training.method.matrix, heldout.matrix, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(
        training.method.sampling_weights, heldout.sampling_weights, rtol=1e-6
    )
    assert has_decided(training)


def test_the_guards_of_the_method_are_heard():
    mixer = make()
    state, _ = simulate(mixer, 45)
    heard = mixer.verdicts(state)
    assert heard
    assert heard == make(losses="heldout").verdicts(state.method)


def test_a_measured_step_has_rows_of_every_domain():
    mixer = make(settings={**AIOLI, "main_share": 0.98})
    _, trail = simulate(mixer, 4)
    for step in (0, 2):  # a probe ends after step 1, so step 2 measures
        assert trail[step].min() >= 2 / 64
        assert trail[step].sum() == pytest.approx(1)
    assert trail[1].min() == pytest.approx(0.01)


def test_skill_it_updates_one_step_later():
    heldout, before = simulate(make("skill_it", SKILL_IT, "heldout"), 8)
    training, trail = simulate(make("skill_it", SKILL_IT), 8)
    assert heldout.num_updates == training.method.num_updates == 1
    np.testing.assert_allclose(trail[7], training.method.sampling_weights)
    floor = (1 - 6 / 64) * trail[5] + 2 / 64
    np.testing.assert_allclose(trail[6], floor)
    assert not np.allclose(before[6], before[5])


class Listener(StaticMixer):
    """Asks for held-out losses after every second step and keeps what it is told."""

    def __init__(self):
        super().__init__(DOMAINS, np.full(3, 1 / 3))
        self.told = []

    def wants_evaluation(self, state, step):
        return step % 2 == 1

    def observe(self, state, observation):
        self.told.append(observation)
        return state


def test_the_method_is_told_of_its_own_step_with_the_losses_of_the_next():
    method = Listener()
    task = MixingTask(domains=DOMAINS, available_tokens=np.ones(3), steps=9, batch_rows=64)
    mixer = TrainingLossSignal(method, task)
    state, seen = mixer.initial(), []
    for step in range(-1, 4):
        counts = np.array([40, 0 if step == 2 else 24, step + 2])
        seen.append(
            Observation(
                step=step,
                heldout_losses=None,
                train_loss_sums=np.array([5.0, 4.0, 3.0]) * (10 - step) * counts,
                train_token_counts=counts,
                realised_counts=counts // 2,
                learning_rate=0.1 * step,
            )
        )
        state = mixer.observe(state, seen[-1])
    assert [told.step for told in method.told] == [-1, 0, 1, 2]  # of step 3 when step 4 is done
    for told, before in zip(method.told, seen, strict=False):
        np.testing.assert_array_equal(told.train_loss_sums, before.train_loss_sums)
        np.testing.assert_array_equal(told.train_token_counts, before.train_token_counts)
        np.testing.assert_array_equal(told.realised_counts, before.realised_counts)
        assert told.learning_rate == before.learning_rate
    assert [told.heldout_losses is None for told in method.told] == [False, True, False, True]
    np.testing.assert_allclose(method.told[0].heldout_losses, [50, 40, 30])
    # law had no row in step 2, so what is known of it is its loss in step 1
    np.testing.assert_allclose(method.told[2].heldout_losses, [5 * 8, 4 * 9, 3 * 8])


def test_it_is_resumed_at_any_step():
    _, straight = simulate(make(), 40)
    _, resumed = simulate(make(), 40, repack=True)
    np.testing.assert_array_equal(straight, resumed)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "uniform", "settings": {}}, "this one does not"),
        ({"batch_rows": 11}, "at least 4 rows for each of 3 domains, .* is 11"),
        (
            {
                "method": "skill_it",
                "settings": SKILL_IT | {"graph": {name: GRAPH[name] for name in ("code", "law")}},
            },
            "needs rows of every domain",
        ),
    ],
)
def test_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_a_run_books_its_evaluations(tiny_run, tmp_path):
    settings = {"sweeps": 2, "probe_steps": 1, "round_steps": 10, "main_share": 0.7}
    config: RunConfig = replace(
        tiny_run,
        mixer=MixerConfig(method="aioli", settings=settings, losses="training"),
        schedule=replace(tiny_run.schedule, steps=12, batch_rows=16, warmup_steps=2),
        evaluation=replace(tiny_run.evaluation, every_steps=None),
        checkpoint=replace(tiny_run.checkpoint, every_steps=None),
    )
    train(config, tmp_path / "free")
    lines = [
        json.loads(line) for line in (tmp_path / "free/metrics.jsonl").read_text().splitlines()
    ]
    assert ["heldout" in line for line in lines] == [False] * 11 + [True]
    assert any(line.get("mixer", {}).get("decisions") for line in lines[:-1])
    heldout = replace(config, mixer=replace(config.mixer, losses="heldout"))
    assert heldout.digest() != config.digest()
    train(heldout, tmp_path / "paid")
    lines = [
        json.loads(line) for line in (tmp_path / "paid/metrics.jsonl").read_text().splitlines()
    ]
    num_domains = len(config.domains)
    evaluations = sum("heldout" in line for line in lines)  # line 0 is before the first step
    rows = sum(
        result["rows"]
        for result in json.loads((tmp_path / "paid/result.json").read_text())["heldout"].values()
    )
    assert evaluations > 2 * num_domains
    assert lines[-1]["evaluation_share"] == pytest.approx(evaluations * rows / (3 * 12 * 16))
