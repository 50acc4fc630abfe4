"""Causal self-attention of the models of a run, in the form that is fastest where they run.

    attention = softmax(scale * Q K^T + mask) V          mask: -inf above the diagonal, else 0

It is scaled_dot_product_attention of torch with is_causal=True, and transformers is told to make no
mask: given one, CUDA leaves its fastest kernels, and a compiled pass would always be given one.

Compiled passes on a CPU spell it out instead, in bands of queries that skip the keys after them. At
up to a thousand tokens that takes half the time of torch's kernel in bfloat16, whose products are
too small for the vector units. Scores are rounded to bfloat16 before the softmax there, as in the
form of transformers called "eager"; the softmax itself is float32.

Shapes: B rows, N heads, T tokens, H channels of a head.
"""

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

CAUSAL_ATTENTION = "causal_without_mask"
"""Name of this attention in transformers."""
_MAX_SPELT_OUT = 1024
"""Tokens; the memory of the probabilities grows with the square."""
_BANDS = 4
"""More of them skip more, but take longer to compile."""


def causal_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    **others: bool | None,
) -> tuple[Tensor, None]:
    """Attend to the tokens up to each one.

    Args:
        module: The layer, of transformers.
        query: Shape (B, N, T, H).
        key: Shape (B, N, T, H), or with fewer heads that are shared.
        value: As the keys.
        attention_mask: None.
        scaling: Of the products; None: 1 / sqrt(H).
        dropout: Share of the probabilities set to 0.
        others: What transformers passes to any attention besides.

    Returns:
        Shape (B, T, N, H), and None for the probabilities.
    """
    spelt_out = (
        torch.compiler.is_compiling()
        and query.device.type == "cpu"
        and query.shape == key.shape == value.shape
        and query.shape[2] <= _MAX_SPELT_OUT
        and attention_mask is None
        and dropout == 0
    )
    if spelt_out and scaling is not None:
        return _spelt_out(query, key, value, scaling).transpose(1, 2), None
    attended, _ = sdpa_attention_forward(
        module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
    )
    return attended, None


def _spelt_out(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Attend band by band, shapes (B, N, T, H)."""
    length = query.shape[2]
    places = torch.arange(length, device=query.device)
    band = -(-length // _BANDS)
    attended = []
    for start in range(0, length, band):
        end = min(start + band, length)
        scores = query[:, :, start:end] @ key[:, :, :end].transpose(2, 3)
        seen = places[start:end, None] >= places[None, :end]
        scores = (scale * scores.float()).masked_fill(~seen, -torch.inf)
        attended.append(scores.softmax(dim=3).to(value.dtype) @ value[:, :, :end])
    return torch.cat(attended, dim=2)


AttentionInterface.register(CAUSAL_ATTENTION, causal_attention)
