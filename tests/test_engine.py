import numpy as np
import pytest
import torch

from training.config import ExecutionConfig, ModelConfig
from training.engine import Engine
from training.model import build_model, row_losses
from training.ranks import Ranks

SMALL = ModelConfig(
    hidden_size=16, num_layers=1, num_heads=2, intermediate_size=32, context_tokens=8
)
CPU = torch.device("cpu")
ROWS = np.random.default_rng(0).integers(0, 11, size=(5, 9)).astype(np.uint16)


def engine(precision="auto", **execution):
    model = build_model(SMALL, vocab_size=11, eos_id=0, seed=0)
    return Engine(
        model,
        device=CPU,
        context_tokens=8,
        precision=precision,
        execution=ExecutionConfig(**execution),
    )


def gradient(built):
    losses = []
    for part in built.parts(ROWS):
        losses.append(built.token_losses(part)[0].sum(dim=1))
        (losses[-1].sum() / 40).backward()
    losses = torch.cat(losses).detach()
    return losses, torch.cat([entry.grad.flatten() for entry in built.model.parameters()])


def expected():
    model = build_model(SMALL, vocab_size=11, eos_id=0, seed=0)
    losses = row_losses(model, torch.from_numpy(ROWS.astype(np.int64)))
    (losses.sum() / 40).backward()
    return losses.detach(), torch.cat([entry.grad.flatten() for entry in model.parameters()])


@pytest.mark.parametrize("micro_rows", [None, 1, 2, 4, 99])
def test_gradient_is_that_of_the_mean_whatever_the_parts(micro_rows):
    for found, wanted in zip(gradient(engine(micro_rows=micro_rows)), expected(), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-7)


def test_bfloat16_is_close_but_not_the_same():
    losses, gradients = gradient(engine("bfloat16"))
    assert gradients.dtype == torch.float32
    torch.testing.assert_close(losses, expected()[0], rtol=0.01, atol=0)
    assert not torch.equal(losses, expected()[0])
    assert torch.equal(gradient(engine("float32"))[0], gradient(engine("auto"))[0])


def test_norm_is_measured_before_clipping():
    built = engine()
    _, before = gradient(built)
    norm = built.clip_gradients(0.1)
    torch.testing.assert_close(norm, before.norm())
    after = torch.cat([entry.grad.flatten() for entry in built.model.parameters()])
    assert after.norm().item() == pytest.approx(0.1, rel=1e-4)


def test_parts_are_as_even_as_can_be_and_no_larger_than_told():
    assert [len(part) for part in engine(micro_rows=4).parts(ROWS)] == [3, 2]
    assert [len(part) for part in engine(micro_rows=5).parts(ROWS)] == [5]
    assert engine(micro_rows=5).one_part(5)
    assert not engine(micro_rows=4).one_part(5)


def test_another_model_computes_in_the_same_precision():
    other = engine("bfloat16").adopt(build_model(SMALL, vocab_size=11, eos_id=0, seed=0))
    with torch.no_grad():
        losses = row_losses(other, torch.from_numpy(ROWS.astype(np.int64)))
    torch.testing.assert_close(losses, gradient(engine("bfloat16"))[0])


def test_scoring_leaves_no_gradient_and_restores_the_mode():
    built = engine(micro_rows=2)
    losses = built.losses_of_rows(ROWS)
    np.testing.assert_allclose(losses, expected()[0].numpy() / 8, rtol=1e-6)
    assert built.model.training
    assert all(entry.grad is None for entry in built.model.parameters())


def test_compiled_models_agree_keep_their_names_and_share_what_is_compiled(monkeypatch):
    """The compiler's backend is left out here: it takes a minute; the graph is the same.

    A model that is compiled for itself is one of eight: torch runs the ninth pass uncompiled.
    """
    compile_in_place, seen, compiled = torch.nn.Module.compile, [], []

    def backend(graph, _):
        compiled.append(graph)
        return graph.forward

    def without_backend(module, **options):
        seen.append(options)
        compile_in_place(module, backend=backend, **options)

    monkeypatch.setattr(torch.nn.Module, "compile", without_backend)
    for _ in range(2):
        built = engine(compile=True, micro_rows=2)
        for found, wanted in zip(gradient(built), expected(), strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(built.losses_of_rows(ROWS), expected()[0].numpy() / 8, rtol=1e-6)
        assert len(compiled) == 3  # parts of 2 rows and of 1, and of 2 for scoring
    assert seen == [{"dynamic": False}] * 2
    assert list(built.model.state_dict()) == list(engine().model.state_dict())


@pytest.mark.parametrize("num_rows", [1, 2, 4, 5])
def test_every_rank_scores_as_many_parts_of_one_shape(num_rows):
    """FSDP2 gathers parameters in each pass: a rank with one pass more would wait for ever."""
    built, shapes = engine(micro_rows=1), set()
    for rank in range(3):
        built.ranks = Ranks(rank=rank, size=3)
        own, share = built._own_rows(num_rows), built.ranks.share(num_rows)
        assert own[: share.stop - share.start].tolist() == list(range(share.start, share.stop))
        shapes.add(tuple(part.shape for part in built.parts(ROWS[own])))
    assert len(shapes) == 1
