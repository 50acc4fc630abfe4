"""Trainings on a device that is not the CPU, and how often a step waits for it.

The device is torch's "meta", which there is everywhere: its tensors have a shape and no values. An
operation that mixes them with tensors of the CPU is an error there as on CUDA, and so is everything
that needs a value, except through the two doors that are watched here.
"""

from dataclasses import replace
from importlib import import_module
from itertools import count

import pytest
import torch

from training import loop
from training import model as model_module
from training.checkpoint_tensors import collect_tensors, restore_tensors
from training.config import (
    EvaluationConfig,
    ExecutionConfig,
    MixerConfig,
    ModelConfig,
    ScheduleConfig,
    SelectorConfig,
    WeighterConfig,
)
from training.model import build_model
from training.optimisation import build_optimiser
from training.run_session import choose_device

STEPS = 2
AIOLI = MixerConfig(method="aioli", settings={"round_steps": 12, "probe_steps": 1, "sweeps": 2})


@pytest.fixture
def waits(monkeypatch):
    """Let trainings run on "meta"; the list grows with everything that is read from there."""
    seen = []
    cpu, number = torch.Tensor.cpu, torch.Tensor.__float__

    def read(tensor):
        seen.append(tensor.shape)
        return torch.ones(tensor.shape, dtype=tensor.dtype)

    class Autocast(torch.autocast):
        def __init__(self, device_type, **options):
            super().__init__("cpu" if device_type == "meta" else device_type, **options)

    monkeypatch.setattr(torch.Tensor, "cpu", lambda it: read(it) if it.is_meta else cpu(it))
    monkeypatch.setattr(
        torch.Tensor, "__float__", lambda it: number(read(it)) if it.is_meta else number(it)
    )
    monkeypatch.setattr(torch, "autocast", Autocast)
    monkeypatch.setitem(model_module.MAX_LOGITS, "meta", 2**22)
    # Only a list of devices' names stands against the fused optimiser there.
    adam = import_module("torch.optim.adam")
    monkeypatch.setattr(adam, "_device_dtype_check_for_fused", lambda *_, **__: None)
    monkeypatch.setattr(loop, "choose_device", lambda *_, **__: torch.device("meta"))
    return seen


def train(run, out):
    """A few steps; without values there is no end of a run to be written."""
    asked = count()
    parts = ExecutionConfig(micro_rows=4)  # of 6 rows
    run = replace(run, execution=parts, evaluation=EvaluationConfig(rows_per_domain=2))
    run = replace(run, checkpoint=replace(run.checkpoint, every_steps=None))
    assert not loop.train(run, out, should_stop=lambda: next(asked) == STEPS).finished


@pytest.mark.parametrize(
    ("changes", "evaluations"),
    [({}, 0), ({"mixer": AIOLI}, 1 + STEPS), ({"model": {"architecture": "gpt2"}}, 0)],
)
def test_a_step_waits_for_the_device_once(waits, tiny_run, tmp_path, changes, evaluations):
    if "model" in changes:
        changes = {"model": replace(tiny_run.model, **changes["model"])}
    train(replace(tiny_run, **changes), tmp_path)
    assert len(waits) == STEPS + evaluations


@pytest.mark.parametrize(
    "changes",
    [
        {"mixer": MixerConfig(method="doge", settings={"every_steps": 2})},
        {"weighter": WeighterConfig(method="alignment", settings={"temperature": 0.3})},
        {"selector": SelectorConfig(method="delta_loss", settings={"pool_rows": 8})},
        {"selector": SelectorConfig(method="gradient_similarity", settings={"pool_rows": 4})},
    ],
)
def test_what_policies_measure_stays_on_the_device(waits, tiny_run, tmp_path, changes):
    train(replace(tiny_run, **changes), tmp_path)
    assert len(waits) > STEPS


def test_what_is_restored_goes_to_the_device(waits):
    size = ModelConfig(
        hidden_size=16, num_layers=1, num_heads=2, intermediate_size=32, context_tokens=8
    )

    def built(device):
        model = build_model(size, vocab_size=11, eos_id=0, seed=0).to(device)
        optimiser = build_optimiser(model, ScheduleConfig(steps=1, batch_rows=1, peak_lr=0.1))
        return model, optimiser

    model, optimiser = built("cpu")
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimiser.step()
    assert collect_tensors(model, optimiser, keep=False) == {}
    other, restored = built("meta")
    restore_tensors(collect_tensors(model, optimiser), other, restored)
    moments = [value for state in restored.state.values() for value in state.values()]
    assert len(moments) == 3 * len(list(model.parameters()))
    assert all(value.is_meta for value in [*other.parameters(), *moments])


# --- without a device


def test_an_evaluation_without_memory_names_the_checkpoint(tiny_run, tmp_path, monkeypatch):
    evaluate, times = loop.evaluate_domains, count()

    def full(*arguments):
        if next(times) == 1:  # after step 10
            raise torch.OutOfMemoryError("CUDA out of memory")
        return evaluate(*arguments)

    monkeypatch.setattr(loop, "evaluate_domains", full)
    with pytest.raises(loop.OutOfMemory, match=r"on cpu while .*step-00000005\. "):
        loop.train(tiny_run, tmp_path)


def test_a_run_on_the_cpu_touches_no_other_device(tiny_run, tmp_path, monkeypatch):
    def touched(*_):
        raise AssertionError

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_rng_state", touched)
    loop.train(replace(tiny_run, device="cpu"), tmp_path, should_stop=lambda: True)


def test_every_process_of_a_machine_has_a_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto", local_rank=1) == torch.device("cuda", 1)
    assert choose_device("cpu", local_rank=2) == torch.device("cpu")
    with pytest.raises(ValueError, match="process 2 of this machine finds 2 CUDA devices"):
        choose_device("auto", local_rank=2)
