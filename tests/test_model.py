from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM, MistralConfig

from training.config import ModelConfig, SavedModelConfig
from training.model import (
    build_model,
    open_model,
    row_losses,
    rows_per_pass,
    save_model,
    set_precision,
    split_rows,
)

SMALL = ModelConfig(
    hidden_size=16, num_layers=2, num_heads=2, intermediate_size=32, context_tokens=8
)


def build(seed=0):
    return build_model(SMALL, vocab_size=11, eos_id=0, seed=seed)


def test_row_losses_match_a_value_worked_by_hand():
    """Probabilities 1/4 and 3/4 for the two labels of a row: loss log 4 + log 4/3."""
    logits = torch.log(torch.tensor([[[1.0, 3.0], [1.0, 3.0]]]))

    class Fixed(torch.nn.Module):
        def forward(self, input_ids, use_cache):
            assert input_ids.tolist() == [[1, 0]]
            return SimpleNamespace(logits=logits)

    losses = row_losses(Fixed(), torch.tensor([[1, 0, 1]]))
    torch.testing.assert_close(losses, torch.log(torch.tensor([4.0 * 4 / 3])))


def test_row_losses_agree_with_the_loss_of_transformers():
    model = build()
    rows = torch.randint(0, 11, (5, 9), generator=torch.Generator().manual_seed(1))
    ours = row_losses(model, rows)
    for row, loss in zip(rows, ours, strict=True):
        # transformers shifts the labels itself, so its input is the whole row.
        theirs = model(input_ids=row[None], labels=row[None]).loss
        torch.testing.assert_close(loss / 8, theirs)


def test_parameters_depend_on_the_seed_only():
    torch.manual_seed(5)
    first, again, other = build(), build(), build(seed=1)
    for one, two in zip(first.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)
    assert not torch.equal(first.lm_head.weight, other.lm_head.weight)


@pytest.mark.parametrize("tied", [False, True])
def test_embedding_and_output_are_one_matrix_only_if_tied(tied):
    model = build_model(replace(SMALL, tied_embeddings=tied), vocab_size=11, eos_id=0, seed=0)
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == tied


def test_saved_model_is_loaded_by_transformers(tmp_path, capfd):
    model = build()
    save_model(model, tmp_path)
    assert capfd.readouterr().err == ""
    rows = torch.arange(9)[None]
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(row_losses(loaded, rows), row_losses(model, rows), rtol=0, atol=0)
    assert loaded.config.eos_token_id == 0


def test_unknown_architecture_is_refused():
    wrong = replace(SMALL)
    object.__setattr__(wrong, "architecture", "lama")
    with pytest.raises(ValueError, match="no architecture 'lama'; choose one of gpt2, gpt"):
        build_model(wrong, vocab_size=11, eos_id=0, seed=0)


@pytest.mark.parametrize("architecture", ["llama", "gpt_neox", "gpt2"])
def test_every_architecture_learns_alone_and_continues_from_its_folder(tmp_path, architecture):
    config = replace(SMALL, architecture=architecture)
    model = build_model(config, vocab_size=11, eos_id=0, seed=0)
    assert model.config.model_type == architecture
    rows = torch.arange(9)[None]
    loss = row_losses(model, rows).sum()
    loss.backward()
    assert all(entry.grad is not None for entry in model.parameters())
    torch.testing.assert_close(row_losses(model.train(), rows).sum(), loss)  # no dropout
    save_model(model, tmp_path)
    saved = SavedModelConfig(folder=str(tmp_path), context_tokens=8)
    loaded = open_model(saved, vocab_size=11, eos_id=0, seed=5)
    torch.testing.assert_close(row_losses(loaded, rows).sum(), loss, rtol=0, atol=0)


def test_new_model_is_opened_as_it_is_built():
    opened = open_model(SMALL, vocab_size=11, eos_id=0, seed=3)
    for one, two in zip(opened.parameters(), build(seed=3).parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("vocab_size", "context_tokens", "message"),
    [(12, 8, "vocabulary of .* is 11, this run needs 12"), (11, 9, "context of .* is 8, .* 9")],
)
def test_saved_model_too_small_for_the_run_is_refused(
    tmp_path, vocab_size, context_tokens, message
):
    save_model(build(), tmp_path)
    saved = SavedModelConfig(folder=str(tmp_path), context_tokens=context_tokens)
    with pytest.raises(ValueError, match=message):
        open_model(saved, vocab_size=vocab_size, eos_id=0, seed=0)


def test_folder_without_a_model_or_of_another_type_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no model"):
        open_model(
            SavedModelConfig(folder=str(tmp_path), context_tokens=8),
            vocab_size=11,
            eos_id=0,
            seed=0,
        )
    other = MistralConfig(
        vocab_size=11,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=32,
    )
    save_model(AutoModelForCausalLM.from_config(other), tmp_path)
    with pytest.raises(ValueError, match="type 'mistral'; choose one of gpt2, gpt_neox, llama"):
        open_model(
            SavedModelConfig(folder=str(tmp_path), context_tokens=8),
            vocab_size=11,
            eos_id=0,
            seed=0,
        )


def test_precision_is_set_once_for_all_callers():
    model, rows = build(), torch.arange(9)[None]
    whole = row_losses(model, rows)
    set_precision(model, bfloat16=True)
    short = row_losses(model, rows)
    assert short.dtype == torch.float32
    torch.testing.assert_close(short, whole, rtol=0.01, atol=0)
    assert not torch.equal(short, whole)


def test_parts_fit_the_limit_and_are_even():
    rows = torch.zeros(7, 9, dtype=torch.int64)
    assert [len(part) for part in split_rows(rows, 11, limit=3)] == [3, 3, 1]
    assert [len(part) for part in split_rows(rows, 11, limit=5)] == [4, 3]
    assert len(split_rows(rows, 2**30)) == 7  # not even one row fits: row by row
    assert rows_per_pass(1024, 4096, device=rows.device) == 1
    assert rows_per_pass(8, 11, device=rows.device) == 2**22 // 88
    assert rows_per_pass(8, 11, device=rows.device, compiled=True) == 2**25 // 88


@pytest.mark.parametrize("architecture", ["llama", "gpt_neox", "gpt2"])
@pytest.mark.parametrize("tied", [False, True])
def test_a_model_without_values_is_whole_once_they_are_restored(architecture, tied):
    config = replace(SMALL, architecture=architecture, tied_embeddings=tied)
    wanted = build_model(config, vocab_size=11, eos_id=0, seed=3)
    before = torch.get_rng_state()
    bare = build_model(config, vocab_size=11, eos_id=0, seed=0, initialised=False)
    assert torch.equal(torch.get_rng_state(), before)
    assert bare.state_dict().keys() == wanted.state_dict().keys()
    bare.load_state_dict(wanted.state_dict())
    rows = torch.arange(10).view(2, 5)
    assert torch.equal(row_losses(bare, rows), row_losses(wanted, rows))
    assert (bare.get_output_embeddings().weight is bare.get_input_embeddings().weight) == tied
