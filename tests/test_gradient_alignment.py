import numpy as np
import pytest
import torch

from training.config import ModelConfig
from training.gradient_alignment import _in_float32, measure_alignment
from training.model import build_model, row_losses, set_precision
from training.policies import AlignmentTarget
from training.sampler import BatchPlan

SIZES = ModelConfig(
    hidden_size=16, num_layers=2, num_heads=2, intermediate_size=32, context_tokens=8
)
CPU = torch.device("cpu")


@pytest.fixture
def model():
    """Trained a little, so that gradients of the domains differ."""
    model = build_model(SIZES, vocab_size=13, eos_id=0, seed=1).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(5):
        row_losses(model, torch.from_numpy(batch().astype(np.int64))).mean().backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return model


def batch():
    """Three rows of a domain that counts up and three of one that counts down."""
    ups = (np.arange(9) + np.arange(3)[:, None]) % 13
    downs = (-np.arange(9) + np.arange(3)[:, None]) % 13
    return np.concatenate([ups, downs]).astype(np.uint16)


def plan():
    index = np.array([0, 0, 0, 2, 2, 2])
    shares = np.array([0.5, 0.0, 0.5])
    return BatchPlan(
        domain_index=index,
        rows=np.arange(6),
        epochs=np.zeros(6, dtype=np.int64),
        requested=shares,
        applied=shares,
        counts=np.bincount(index, minlength=3),
    )


def exact(model, rows):
    loss = row_losses(model, torch.from_numpy(rows.astype(np.int64))).mean() / 8
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    return torch.cat([entry.flatten() for entry in gradients]).double().numpy()


HELDOUT = [np.roll(batch()[start : start + 2], 1, axis=1) for start in (0, 1, 4)]


def measure(model, heldout_weights=None):
    return measure_alignment(
        model,
        batch(),
        plan(),
        target=AlignmentTarget(heldout_weights=heldout_weights),
        heldout_rows=HELDOUT,
        device=CPU,
    )


def test_agrees_with_the_gradients_themselves(model):
    ups, downs = exact(model, batch()[:3]), exact(model, batch()[3:])
    found = measure(model)
    expected = [ups @ (ups + downs), np.nan, downs @ (ups + downs)]
    np.testing.assert_allclose(found.dots, expected, rtol=0.01)
    np.testing.assert_allclose(found.squared_norms, [ups @ ups, np.nan, downs @ downs], rtol=1e-4)


def test_agrees_for_heldout_targets(model):
    weights = np.array([0.25, 0.0, 0.75])
    target = 0.25 * exact(model, HELDOUT[0]) + 0.75 * exact(model, HELDOUT[2])
    expected = [exact(model, rows) @ target for rows in (batch()[:3], batch()[3:])]
    np.testing.assert_allclose(measure(model, weights).dots[[0, 2]], expected, rtol=0.01, atol=1e-4)


def test_leaves_no_trace(model):
    before = [entry.detach().clone() for entry in model.parameters()]
    one, other = measure(model), measure(model)
    np.testing.assert_array_equal(one.dots, other.dots)
    for old, new in zip(before, model.parameters(), strict=True):
        assert new.grad is None
        torch.testing.assert_close(old, new, rtol=0, atol=0)


def test_is_in_float32_whatever_the_training_is(model):
    wanted = measure(model)
    set_precision(model, bfloat16=True)
    rows = torch.from_numpy(batch().astype(np.int64))
    before = row_losses(model, rows)
    found = measure(model)
    np.testing.assert_array_equal(found.dots, wanted.dots)
    np.testing.assert_array_equal(found.squared_norms, wanted.squared_norms)
    torch.testing.assert_close(row_losses(model, rows), before, rtol=0, atol=0)
    assert (row_losses(build_like(model), rows) - before).abs().max() > 1e-4  # it is bfloat16 again


def build_like(model):
    """Return a model of the same parameters in float32."""
    other = build_model(SIZES, vocab_size=13, eos_id=0, seed=1)
    other.load_state_dict(model.state_dict())
    return other


@pytest.mark.parametrize(("device", "products"), [("cpu", "highest"), ("cuda", "high")])
def test_products_on_cuda_are_fast_while_it_measures_and_only_then(model, device, products):
    with _in_float32(model, torch.device(device)):
        assert torch.get_float32_matmul_precision() == products
    assert torch.get_float32_matmul_precision() == "highest"
