from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AutoModelForCausalLM
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from training.attention import CAUSAL_ATTENTION, causal_attention
from training.config import ModelConfig
from training.model import ARCHITECTURES, build_model, load_model, row_losses, save_model

_LAYER = torch.nn.Identity()


def _projections(tokens: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(tokens)
    query, key, value = torch.randn(3, 3, 2, tokens, 8, generator=generator)
    return query.requires_grad_(), key.requires_grad_(), value.requires_grad_()


@pytest.fixture
def compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the way of a compiled pass without compiling it."""
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("torch's kernel was called")

    monkeypatch.setattr("training.attention.sdpa_attention_forward", refuse)


@pytest.mark.parametrize("tokens", [1, 3, 4, 10, 64, 257])
@pytest.mark.usefixtures("compiling")
def test_bands_give_the_values_and_gradients_of_the_whole(tokens: int) -> None:
    ours, theirs = _projections(tokens), _projections(tokens)
    attended, _ = causal_attention(_LAYER, *ours, None, scaling=0.3, dropout=0.0)
    expected = scaled_dot_product_attention(*theirs, is_causal=True, scale=0.3).transpose(1, 2)
    torch.testing.assert_close(attended, expected, rtol=1e-5, atol=1e-6)
    seen = torch.randn(expected.shape, generator=torch.Generator().manual_seed(0))
    torch.autograd.backward([attended, expected], [seen, seen])
    for mine, known in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, known.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("tokens", "dropout", "scaling", "masked", "shared"),
    [
        (5, 0.1, 1.0, False, False),
        (5, 0.0, None, False, False),
        (1025, 0.0, 1.0, False, False),
        (5, 0.0, 1.0, True, False),
        (5, 0.0, 1.0, False, True),
    ],
    ids=["dropout", "no scale", "long", "mask", "shared heads"],
)
@pytest.mark.usefixtures("compiling")
def test_torch_computes_what_bands_do_not(
    tokens: int, dropout: float, scaling: float | None, *, masked: bool, shared: bool
) -> None:
    query, key, value = _projections(tokens)
    if shared:
        key, value = key[:, :1], value[:, :1]
    mask = torch.ones(3, 1, tokens, tokens, dtype=torch.bool) if masked else None
    with pytest.raises(AssertionError, match="torch's kernel"):
        causal_attention(_LAYER, query, key, value, mask, scaling=scaling, dropout=dropout)


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_no_mask_reaches_the_attention_of_any_model(
    architecture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks = []

    def recorded(*given: Any, **settings: Any) -> Any:
        masks.append(given[4])
        return sdpa_attention_forward(*given, **settings)

    monkeypatch.setattr("training.attention.sdpa_attention_forward", recorded)
    config = ModelConfig(
        architecture=architecture,
        hidden_size=16,
        num_layers=2,
        num_heads=2,
        intermediate_size=32,
        context_tokens=8,
    )
    model = build_model(config, vocab_size=20, eos_id=0, seed=0)
    rows = torch.arange(18).view(2, 9)
    with torch.no_grad():
        losses = row_losses(model, rows)
        assert masks == [None, None]
        changed = rows[:, :8].clone()
        changed[:, 5:] = 0
        early = model(input_ids=rows[:, :5]).logits
        torch.testing.assert_close(model(input_ids=changed).logits[:, :5], early)
        model.set_attn_implementation("eager")
        torch.testing.assert_close(row_losses(model, rows), losses)


def test_a_saved_model_opens_without_this_attention(tmp_path: Path) -> None:
    config = ModelConfig(
        hidden_size=16, num_layers=1, num_heads=2, intermediate_size=32, context_tokens=8
    )
    model = build_model(config, vocab_size=20, eos_id=0, seed=0)
    save_model(model, tmp_path)
    assert CAUSAL_ATTENTION not in (tmp_path / "config.json").read_text()
    opened = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert opened.config._attn_implementation == "sdpa"
    assert load_model(tmp_path).config._attn_implementation == CAUSAL_ATTENTION
