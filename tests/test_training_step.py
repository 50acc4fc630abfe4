import math

import numpy as np
import pytest
import torch

from training import model as model_module
from training.config import ModelConfig, ScheduleConfig
from training.model import build_model, row_losses
from training.optimisation import build_optimiser
from training.sampler import Sampler
from training.training_step import describe_batch, train_step

SMALL = ModelConfig(
    hidden_size=16, num_layers=1, num_heads=2, intermediate_size=32, context_tokens=8
)
SCHEDULE = ScheduleConfig(steps=10, batch_rows=5, peak_lr=0.01)
SAMPLER = Sampler(("code", "math", "web"), np.array([9, 9, 9]), seed=0, batch_rows=5)
PLAN, _ = SAMPLER.plan(SAMPLER.initial(), np.array([0.4, 0.0, 0.6]))
ROWS = np.random.default_rng(0).integers(0, 11, size=(5, 9)).astype(np.uint16)


def step(*, rate=0.01, clip_norm=None, poison=False):
    model = build_model(SMALL, vocab_size=11, eos_id=0, seed=0)
    if poison:
        torch.nn.init.constant_(model.model.norm.weight, math.inf)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    measures = train_step(
        model,
        build_optimiser(model, SCHEDULE),
        ROWS,
        PLAN,
        rate=rate,
        clip_norm=clip_norm,
        device=torch.device("cpu"),
    )
    moved = [
        (parameter - old).abs().max().item()
        for parameter, old in zip(model.parameters(), before, strict=True)
    ]
    return measures, moved, model


def test_measures_the_loss_of_each_domain_before_the_step():
    measures, moved, _ = step()
    fresh = build_model(SMALL, vocab_size=11, eos_id=0, seed=0)
    losses = row_losses(fresh, torch.from_numpy(ROWS.astype(np.int64))).detach().numpy()
    assert measures.loss == pytest.approx(losses.sum() / (5 * 8))
    for domain, count in enumerate((2, 0, 3)):
        own = losses[PLAN.domain_index == domain]
        assert measures.loss_sums[domain] == pytest.approx(own.sum())
        assert measures.token_counts[domain] == count * 8
    assert measures.finite
    assert min(moved) > 0


def test_parts_of_a_batch_add_up_to_the_whole(monkeypatch):
    whole, _, model = step()
    monkeypatch.setitem(model_module.MAX_LOGITS, "cpu", 2 * 8 * 11)  # two rows at a time
    parts, _, other = step()
    assert parts.loss == pytest.approx(whole.loss, rel=1e-6)
    assert parts.grad_norm == pytest.approx(whole.grad_norm, rel=1e-5)
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=2e-5)


def test_clipping_does_not_change_the_norm_that_is_reported():
    free, _, model = step(clip_norm=None)
    clipped, _, other = step(clip_norm=free.grad_norm / 10)
    assert clipped.grad_norm == pytest.approx(free.grad_norm)
    gradients = [
        torch.cat([parameter.grad.flatten() for parameter in each.parameters()]).norm().item()
        for each in (model, other)
    ]
    assert gradients == pytest.approx([free.grad_norm, free.grad_norm / 10], rel=1e-4)


def test_no_step_is_taken_on_a_loss_that_is_not_finite():
    measures, moved, _ = step(poison=True)
    assert not measures.finite
    assert all(change == 0 or math.isnan(change) for change in moved)


def test_rows_are_named_by_domain_and_cut_short():
    sampler = Sampler(("code", "web"), np.array([50, 50]), seed=0, batch_rows=12)
    plan, _ = sampler.plan(sampler.initial(), np.array([0.25, 0.75]))
    text = describe_batch(("code", "web"), plan)
    shown = ", ".join(map(str, plan.rows[plan.domain_index == 1][:8].tolist()))
    assert text.endswith(f"; web rows {shown} and 1 more")
    assert text.startswith("code rows ")
