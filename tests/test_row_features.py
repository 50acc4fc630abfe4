import numpy as np
import pytest
import torch

from training.config import ModelConfig, ScheduleConfig
from training.model import build_model, row_losses, token_losses
from training.optimisation import build_optimiser
from training.row_features import (
    GradientSketch,
    embed_rows,
    pool_hidden,
    sketch_means,
    sketch_rows,
)

SIZES = ModelConfig(
    hidden_size=8, num_layers=1, num_heads=2, intermediate_size=16, context_tokens=6
)


@pytest.fixture
def model():
    return build_model(SIZES, vocab_size=11, eos_id=0, seed=2).train()


@pytest.fixture
def rows():
    return torch.from_numpy(np.random.default_rng(0).integers(11, size=(5, 7)))


@pytest.fixture
def optimiser(model):
    return build_optimiser(model, ScheduleConfig(steps=9, batch_rows=5, peak_lr=0.01))


def exact(model, loss):
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    return torch.cat([entry.flatten() for entry in gradients])


def test_later_positions_count_more():
    hidden = torch.zeros(2, 3, 2)
    hidden[0, 0, 0] = hidden[0, 2, 1] = 6.0
    np.testing.assert_allclose(pool_hidden(hidden)[0], [6 * 1 / 6, 6 * 3 / 6])


def test_embeddings_are_what_the_output_layer_reads(model, rows):
    before = [entry.clone() for entry in model.parameters()]
    found = embed_rows(model, rows)
    losses, hidden = token_losses(model, rows, with_hidden=True)
    logits = model.lm_head(hidden)
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), rows[:, 1:].flatten(), reduction="none"
    )
    torch.testing.assert_close(losses.flatten(), expected)
    np.testing.assert_allclose(found, pool_hidden(hidden).detach(), rtol=1e-5)
    assert model.training
    assert all(entry.grad is None for entry in model.parameters())
    for one, other in zip(before, model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_the_sketch_keeps_inner_products_on_average(model, rows):
    one, other = (exact(model, row_losses(model, part).sum()) for part in (rows[:2], rows[2:]))
    wanted = float(one @ other)
    found = []
    for seed in range(200):
        sketch = GradientSketch(model, 64, seed=seed)
        found.append(sketch.project(one) @ sketch.project(other))
    assert np.mean(found) == pytest.approx(wanted, abs=4 * np.std(found) / np.sqrt(200))
    assert np.std(found) < 0.5 * float(one.norm() * other.norm())
    again = GradientSketch(model, 64, seed=3).project(one)
    np.testing.assert_array_equal(again, GradientSketch(model, 64, seed=3).project(one))


def test_gradients_of_rows_and_groups(model, rows, optimiser):
    sketch = GradientSketch(model, 32, seed=0)
    means = sketch_means(model, sketch, [rows[:3], rows[3:]])
    expected = sketch.project(exact(model, row_losses(model, rows[:3]).mean() / 6))
    np.testing.assert_allclose(means[0], expected, atol=1e-6)
    found = sketch_rows(model, sketch, rows, optimiser)
    gradient = exact(model, row_losses(model, rows[4:]).sum() / 6)
    direction = 0.1 * gradient / ((0.05 * gradient.square()).sqrt() + 1e-8)
    np.testing.assert_allclose(found[4], sketch.project(direction), rtol=1e-3, atol=1e-3)
    assert all(entry.grad is None for entry in model.parameters())


def test_adam_direction_is_the_step_adam_takes(model, rows, optimiser):
    """After two steps of the same gradients, up to the bias correction of the third step."""
    parameters = list(model.parameters())
    for _ in range(2):
        optimiser.zero_grad()
        row_losses(model, rows).mean().backward()
        optimiser.step()
    gradient = exact(model, row_losses(model, rows).mean())
    direction = GradientSketch(model, 4, seed=0).adam_direction(gradient, optimiser)
    before = torch.cat([entry.detach().flatten() for entry in parameters])
    for group in optimiser.param_groups:
        group["weight_decay"] = 0.0
    optimiser.zero_grad()
    row_losses(model, rows).mean().backward()
    optimiser.step()
    step = before - torch.cat([entry.detach().flatten() for entry in parameters])
    scale = 0.01 / (1 - 0.9**3) * (1 - 0.95**3) ** 0.5
    large = gradient.abs() > 1e-3  # elsewhere eps, which the correction scales, decides
    torch.testing.assert_close(step[large], scale * direction[large], rtol=2e-2, atol=1e-5)
