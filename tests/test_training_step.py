import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from training import model as model_module
from training.config import ExecutionConfig, ModelConfig, ScheduleConfig, WeighterConfig
from training.engine import Engine
from training.model import build_model, row_losses, token_losses
from training.optimisation import build_optimiser
from training.row_features import embed_rows
from training.row_weighing import RowWeighing
from training.sampler import Sampler
from training.training_step import describe_batch, train_step
from training.weighters import make_weighter
from training.weighters.weighter import WeightingTask

SMALL = ModelConfig(
    hidden_size=16, num_layers=1, num_heads=2, intermediate_size=32, context_tokens=8
)
SCHEDULE = ScheduleConfig(steps=10, batch_rows=5, peak_lr=0.01)
SAMPLER = Sampler(("code", "math", "web"), np.array([9, 9, 9]), seed=0, batch_rows=5)
PLAN, _ = SAMPLER.plan(SAMPLER.initial(), np.array([0.4, 0.0, 0.6]))
ROWS = np.random.default_rng(0).integers(0, 11, size=(5, 9)).astype(np.uint16)


def step(*, rate=0.01, clip_norm=None, poison=False, micro_rows=None, **options):
    model = build_model(SMALL, vocab_size=11, eos_id=0, seed=0)
    if poison:
        torch.nn.init.constant_(model.model.norm.weight, math.inf)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    engine = Engine(
        model,
        device=torch.device("cpu"),
        context_tokens=8,
        execution=ExecutionConfig(micro_rows=micro_rows),
    )
    measures = train_step(
        engine,
        build_optimiser(model, SCHEDULE),
        ROWS,
        PLAN,
        rate=rate,
        clip_norm=clip_norm,
        **options,
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
    assert measures.taken
    assert min(moved) > 0


@pytest.mark.parametrize("micro_rows", [None, 1, 2, 3])
def test_parts_of_a_batch_add_up_to_the_whole(monkeypatch, micro_rows):
    whole, _, model = step()
    if micro_rows is None:
        monkeypatch.setitem(model_module.MAX_LOGITS, "cpu", 2 * 8 * 11)  # two rows at a time
    parts, _, other = step(micro_rows=micro_rows)
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
    assert not measures.taken
    assert all(change == 0 or math.isnan(change) for change in moved)


def test_no_step_is_taken_on_a_gradient_that_is_too_long():
    norm = step()[0].grad_norm
    assert step(max_grad_norm=norm * 1.01)[0].taken
    measures, moved, _ = step(max_grad_norm=norm * 0.99, clip_norm=1.0)
    assert not measures.taken
    assert max(moved) == 0
    assert measures.grad_norm == norm


def test_rows_are_named_by_domain_and_cut_short():
    sampler = Sampler(("code", "web"), np.array([50, 50]), seed=0, batch_rows=12)
    plan, _ = sampler.plan(sampler.initial(), np.array([0.25, 0.75]))
    text = describe_batch(("code", "web"), plan)
    shown = ", ".join(map(str, plan.rows[plan.domain_index == 1][:8].tolist()))
    assert text.endswith(f"; web rows {shown} and 1 more")
    assert text.startswith("code rows ")


# --- weights of rows, and a reference


def weighing(method="none", loss_weights=None, settings=None):
    task = WeightingTask(domains=("code", "math", "web"), steps=10, batch_rows=5)
    weighter = make_weighter(WeighterConfig(method=method, settings=settings or {}), task)
    state = weighter.initial()
    if method == "alignment":
        state = replace(state, step=0, direction=np.ones(16) / 4)
    return RowWeighing(loss_weights=loss_weights, weighter=weighter, state=state, step=0)


def gradient_of(weights, **options):
    """Gradient that a step leaves behind, and the gradient of a weighted loss by autograd."""
    measures, _, model = step(rate=0.0, **options)
    fresh = build_model(SMALL, vocab_size=11, eos_id=0, seed=0)
    losses = row_losses(fresh, torch.from_numpy(ROWS.astype(np.int64)))
    wanted = torch.from_numpy(weights(losses.detach().numpy() / 8)).float()
    (wanted * losses).sum().div(8 * wanted.sum()).backward()
    for found, expected in zip(model.parameters(), fresh.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, rtol=1e-4, atol=1e-6)
    return measures


def test_no_weighter_is_bit_for_bit_the_plain_loss():
    plain = step()
    for options in (weighing(), weighing(loss_weights=np.full(3, 7.0))):
        found = step(weighing=options)
        assert found[0].loss == plain[0].loss
        assert found[0].grad_norm == plain[0].grad_norm
        for one, other in zip(found[2].parameters(), plain[2].parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert plain[0].row_weights is None


@pytest.mark.parametrize("rows_at_once", [5, 2])
def test_weights_of_domains_reach_the_loss(monkeypatch, rows_at_once):
    """The fault of a released trainer: its DoReMi weights never do, and it trains a plain proxy."""
    monkeypatch.setitem(model_module.MAX_LOGITS, "cpu", rows_at_once * 8 * 11)
    alpha = np.array([0.7, 0.1, 0.2])
    of_rows = alpha / np.maximum(PLAN.counts, 1)
    measures = gradient_of(
        lambda losses: of_rows[PLAN.domain_index], weighing=weighing(loss_weights=of_rows)
    )
    shares = [measures.row_weights[PLAN.domain_index == domain].sum() / 5 for domain in range(3)]
    np.testing.assert_allclose(shares, [7 / 9, 0, 2 / 9])
    assert measures.loss == step()[0].loss  # what is reported is not weighted


@pytest.mark.parametrize("rows_at_once", [5, 2])
@pytest.mark.parametrize("method", ["loss", "alignment"])
def test_a_weighter_reads_the_whole_batch(monkeypatch, rows_at_once, method):
    monkeypatch.setitem(model_module.MAX_LOGITS, "cpu", rows_at_once * 8 * 11)
    given = weighing(method, settings={"temperature": 0.3})
    fresh = build_model(SMALL, vocab_size=11, eos_id=0, seed=0)
    vectors = embed_rows(fresh, torch.from_numpy(ROWS.astype(np.int64)))
    measures = gradient_of(
        lambda losses: given.weights(PLAN, losses=losses, embeddings=vectors), weighing=given
    )
    assert np.ptp(measures.row_weights) > 0.01
    assert measures.row_weights.mean() == pytest.approx(1)


@pytest.mark.parametrize("rows_at_once", [5, 2])
def test_excess_is_clipped_token_by_token(monkeypatch, rows_at_once):
    monkeypatch.setitem(model_module.MAX_LOGITS, "cpu", rows_at_once * 8 * 11)
    reference = build_model(SMALL, vocab_size=11, eos_id=0, seed=5).eval()
    fresh = build_model(SMALL, vocab_size=11, eos_id=0, seed=0)
    rows = torch.from_numpy(ROWS.astype(np.int64))
    with torch.no_grad():
        excess = (token_losses(fresh, rows)[0] - token_losses(reference, rows)[0]).numpy()
    measures, _, _ = step(reference=reference)
    for domain in range(3):
        own = excess[PLAN.domain_index == domain]
        assert measures.excess_sums[domain] == pytest.approx(np.maximum(own, 0).sum(), rel=1e-4)
    clipped_late = sum(max(row.sum(), 0) for row in excess)
    assert measures.excess_sums.sum() > 1.5 * clipped_late  # another number, another algorithm
    assert all(parameter.grad is None for parameter in reference.parameters())
    assert step()[0].excess_sums is None
