"""How many rows one pass of a compiled or plain model takes on a CUDA device.

    bytes of a row = T (b c S + l V)          what the backward pass keeps, and the logits
    rows           = share (M - (16 + b) P) / bytes of a row

S adds up the sizes of what every matrix but the embedding and the output layer reads and writes;
products keep these for the backward pass. b is the bytes of a number in them. c is 1 for a compiled
pass, which computes what stands between products again, and 2 for a plain one. A logit takes l
bytes: compiled itself and its gradient, 2 b; plain itself, its float32 copy, the logarithm of the
probability and the gradients of the two, b + 16. A parameter takes 16 bytes, itself, its gradient
and two moments, and b while a pass reads its copy.

These are bounds by counting, not measurements; half of what the parameters leave is taken, so that
a reference model, evaluations and gaps between blocks have the other half.

Shapes: V words of the vocabulary, T context tokens, P parameters, M bytes of the device.
"""

from torch import nn

SHARE = 0.5
"""Of the memory that the parameters leave."""
MAX_LOGITS_OF_PASS = 2**31 - 1
"""Beyond it kernels count in 64 bits, which is slower."""


def rows_that_fit(
    model: nn.Module,
    *,
    vocab_size: int,
    context_tokens: int,
    memory_bytes: int,
    value_bytes: int,
    compiled: bool,
    processes: int = 1,
) -> int:
    """Return how many rows one forward and backward pass takes, at least one.

    Args:
        model: On any device.
        vocab_size: V.
        context_tokens: T.
        memory_bytes: M.
        value_bytes: b, 2 for bfloat16, 4 for float32.
        compiled: Whether the pass is compiled.
        processes: Among how many the parameters are divided.
    """
    parameters = list(model.parameters())
    kept = sum(
        sum(entry.shape)
        for entry in parameters
        if entry.ndim == 2 and vocab_size not in entry.shape
    )
    row = context_tokens * (
        value_bytes * (1 if compiled else 2) * kept
        + vocab_size * (2 * value_bytes if compiled else 16 + value_bytes)
    )
    state = (16 + value_bytes) * sum(entry.numel() for entry in parameters) / processes
    fits = int(SHARE * (memory_bytes - state) / row)
    return max(1, min(fits, MAX_LOGITS_OF_PASS // (context_tokens * vocab_size)))


def even_parts(num_rows: int, limit: int) -> int:
    """Return how many rows a part of a batch has, so that all parts of it have the same size.

    A compiled model is compiled again for every size. Where that would take over a quarter more
    parts than the fewest, the largest part stays the limit.

    Args:
        num_rows: Of the batch, >= 1.
        limit: Rows of a part at most, >= 1.
    """
    fewest = -(-num_rows // limit)
    for parts in range(fewest, fewest + fewest // 4 + 1):
        if num_rows % parts == 0:
            return num_rows // parts
    return limit
