from itertools import pairwise

import pytest
import torch

from training.config import ModelConfig, ScheduleConfig
from training.model import build_model
from training.optimisation import build_optimiser, learning_rate, set_learning_rate

SCHEDULE = ScheduleConfig(
    steps=12, batch_rows=1, peak_lr=1.0, warmup_steps=4, final_lr_share=0.2, weight_decay=0.3
)


def test_learning_rate_matches_values_worked_by_hand():
    rates = [learning_rate(step, SCHEDULE) for step in range(1, 13)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[7] == pytest.approx(0.6)  # half way down: the mean of 1 and 0.2
    assert rates[11] == pytest.approx(0.2)
    assert all(later < earlier for earlier, later in pairwise(rates[3:]))


def test_schedule_of_warm_up_alone_ends_at_the_peak():
    schedule = ScheduleConfig(steps=4, batch_rows=1, peak_lr=1.0, warmup_steps=4)
    assert learning_rate(4, schedule) == 1.0


def test_single_step_without_warm_up_is_defined():
    schedule = ScheduleConfig(steps=1, batch_rows=1, peak_lr=1.0, final_lr_share=0.1)
    assert learning_rate(1, schedule) == pytest.approx(0.1)


@pytest.mark.parametrize("step", [0, 13])
def test_step_outside_the_run_is_refused(step):
    with pytest.raises(ValueError, match=rf"step {step} is outside 1\.\.12"):
        learning_rate(step, SCHEDULE)


def test_only_matrices_decay_and_each_parameter_is_there_once():
    config = ModelConfig(
        hidden_size=8, num_layers=1, num_heads=2, intermediate_size=16, context_tokens=4
    )
    model = build_model(config, vocab_size=11, eos_id=0, seed=0)
    optimiser = build_optimiser(model, SCHEDULE)
    decay = {
        id(parameter): group["weight_decay"]
        for group in optimiser.param_groups
        for parameter in group["params"]
    }
    assert len(decay) == sum(len(group["params"]) for group in optimiser.param_groups)
    for parameter in model.parameters():
        assert decay[id(parameter)] == (0.3 if parameter.ndim == 2 else 0.0)


def test_first_adamw_step_matches_a_value_worked_by_hand():
    """The first step moves by lr * sign(gradient), after the weight has shrunk by lr * decay."""
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, 2.0)
    optimiser = build_optimiser(model, SCHEDULE)
    set_learning_rate(optimiser, 0.1)
    model.weight.grad = torch.tensor([[5.0]])
    optimiser.step()
    assert model.weight.item() == pytest.approx(2.0 * (1 - 0.1 * 0.3) - 0.1)


def test_wsd_matches_values_worked_by_hand():
    schedule = ScheduleConfig(
        steps=12,
        batch_rows=1,
        peak_lr=1.0,
        warmup_steps=4,
        final_lr_share=0.2,
        shape="wsd",
        decay_steps=4,
    )
    rates = [learning_rate(step, schedule) for step in range(1, 13)]
    assert rates[:8] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert rates[8] == pytest.approx(0.2 + 0.8 * (1 - 0.5))  # a quarter of the decay: sqrt(1/4)
    assert rates[11] == pytest.approx(0.2)
