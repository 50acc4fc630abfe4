import pytest
import torch

from training.config import ExecutionConfig, ModelConfig
from training.engine import Engine
from training.model import build_model
from training.pass_memory import even_parts, rows_that_fit

SMALL = ModelConfig(
    hidden_size=16, num_layers=2, num_heads=2, intermediate_size=32, context_tokens=8
)
MODEL = build_model(SMALL, vocab_size=11, eos_id=0, seed=0)
KEPT = 2 * (4 * (16 + 16) + 3 * (16 + 32))
PARAMETERS = 2 * 11 * 16 + 2 * (4 * 16 * 16 + 3 * 16 * 32 + 2 * 16) + 16


@pytest.mark.parametrize(
    ("compiled", "value_bytes", "of_a_token"),
    [
        (True, 2, 2 * KEPT + 11 * 4),
        (False, 2, 2 * 2 * KEPT + 11 * 18),
        (False, 4, 4 * 2 * KEPT + 11 * 20),
    ],
)
def test_rows_by_hand(compiled, value_bytes, of_a_token):
    room = 2 * 7 * 8 * of_a_token  # of which half is taken: seven rows of eight tokens

    def rows(processes, memory):
        return rows_that_fit(
            MODEL,
            vocab_size=11,
            context_tokens=8,
            memory_bytes=memory,
            value_bytes=value_bytes,
            compiled=compiled,
            processes=processes,
        )

    state = (16 + value_bytes) * PARAMETERS
    assert rows(1, state + room) == 7
    assert rows(1, state + room - 1) == 6
    assert rows(2, state // 2 + room) == 7
    assert rows(1, 0) == 1  # a pass has a row, or there is none


def test_logits_of_a_pass_are_counted_in_32_bits():
    def rows(context_tokens):
        return rows_that_fit(
            MODEL,
            vocab_size=11,
            context_tokens=context_tokens,
            memory_bytes=10**15,
            value_bytes=2,
            compiled=True,
        )

    assert rows(1024) == (2**31 - 1) // (1024 * 11)
    assert rows(2**30) == 1


@pytest.mark.parametrize(
    ("num_rows", "limit", "rows"),
    [(256, 41, 32), (256, 10, 8), (256, 32, 32), (256, 300, 256), (5, 2, 2), (7, 3, 3), (1, 9, 1)],
)
def test_parts_of_one_size_unless_they_are_many(num_rows, limit, rows):
    assert even_parts(num_rows, limit) == rows


def test_a_compiled_batch_has_parts_of_one_size(monkeypatch):
    monkeypatch.setattr(torch.nn.Module, "compile", lambda *_, **__: None)
    rows = torch.zeros((256, 9), dtype=torch.int32).numpy()
    for compiled, sizes in ((True, {32}), (False, {37, 34})):
        built = Engine(
            MODEL,
            device=torch.device("cpu"),
            context_tokens=8,
            execution=ExecutionConfig(compile=compiled, micro_rows=41),
        )
        assert {len(part) for part in built.parts(rows)} == sizes
