from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM

from training.config import ModelConfig
from training.model import build_model, row_losses, save_model

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
    with pytest.raises(ValueError, match="no architecture 'lama'; choose one of llama"):
        build_model(wrong, vocab_size=11, eos_id=0, seed=0)
