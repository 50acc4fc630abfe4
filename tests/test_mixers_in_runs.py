"""Every mixer with a state in the loop: an interrupted run ends like an uninterrupted one."""

from dataclasses import replace

import pytest

from training.config import MixerConfig
from training.loop import train

GRAPH = {
    "blue": {"blue": 1.0, "green": 0.5, "red": 0.0},
    "green": {"blue": 0.0, "green": 1.0, "red": 0.5},
    "red": {"blue": 0.0, "green": 0.0, "red": 1.0},
}
PHASES = {
    "0": {"blue": 1.0, "green": 0.0, "red": 0.0},
    "11": {"blue": 0.2, "green": 0.3, "red": 0.5},
}
MIXERS = {
    "curriculum": {},
    "odm": {"warmup_steps": 4},
    "schedule": {"phases": PHASES, "interpolation": "linear"},
    "skill_it": {
        "graph": GRAPH,
        "round_steps": 8,
        "evaluation_steps": 3,
        "window": 2,
        "eta": 0.5,
    },
}


@pytest.fixture
def stop_after():
    """Say stop when asked after so many steps of this attempt."""

    def rule(num_steps):
        asked = iter(range(1000))
        return lambda: next(asked) >= num_steps

    return rule


def written(out):
    names = ("metrics.jsonl", "result.json", "final/model.safetensors")
    return [(out / name).read_bytes() for name in names]


@pytest.mark.parametrize("method", MIXERS)
def test_interrupted_run_ends_bit_for_bit_the_same(tiny_run, tmp_path, stop_after, method):
    run = replace(tiny_run, mixer=MixerConfig(method=method, settings=MIXERS[method]))
    whole = train(run, tmp_path / "straight")
    for num_steps in (0, 6, 7, 3):
        assert not train(run, tmp_path / "cut", should_stop=stop_after(num_steps)).finished
    train(run, tmp_path / "cut")
    assert written(tmp_path / "cut") == written(tmp_path / "straight")
    assert whole.requested_weights != dict.fromkeys(run.domains, 1 / 3)
