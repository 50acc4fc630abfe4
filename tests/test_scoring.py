import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from training.scoring import evaluate_domains, losses_of_rows, mean_loss, score_domains, spread_rows
from training.shards import write_token_shards

CPU = torch.device("cpu")


class Uniform(torch.nn.Module):
    """Gives every token of the vocabulary the same probability, whatever the input."""

    def __init__(self, vocab_size=8):
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(1))
        self.config = SimpleNamespace(vocab_size=vocab_size)

    def forward(self, input_ids, use_cache):
        assert not self.training
        return SimpleNamespace(logits=torch.zeros(*input_ids.shape, self.config.vocab_size))


class Copying(torch.nn.Module):
    """Gives the label that equals the input token the probability 1/2, the 3 others 1/6."""

    def __init__(self):
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(1))
        self.config = SimpleNamespace(vocab_size=4)

    def forward(self, input_ids, use_cache):
        same = torch.nn.functional.one_hot(input_ids, 4) * math.log(3)
        return SimpleNamespace(logits=same.float())


def write(folder, tokens, num_bytes):
    folder.mkdir(parents=True)
    documents = [("d", num_bytes, np.array(tokens, dtype=np.uint32))]
    write_token_shards(documents, folder, vocab_size=8, eos_id=0, tokenizer_digest="t")
    return folder


def test_scores_of_a_uniform_model_are_worked_by_hand(tmp_path):
    """20 tokens of 10 bytes: log2(8) = 3 bits a token, 6 bits a byte."""
    folder = write(tmp_path / "a", [1] * 19, num_bytes=10)
    score = score_domains(Uniform(), {"a": folder}, context_tokens=4)["a"]
    assert score.loss_nats == pytest.approx(math.log(8))
    assert score.perplexity == pytest.approx(8)
    assert score.bits_per_byte == pytest.approx(6)
    assert score.loss_standard_error == pytest.approx(0, abs=1e-7)
    assert (score.num_rows, score.num_tokens) == (4, 16)


def test_standard_error_is_over_rows(tmp_path):
    """Rows of 2 labels with 2, 0 and 2 copies: losses log 2, log 6, log 2."""
    folder = write(tmp_path / "a", [1, 1, 1, 2, 3, 3, 3], num_bytes=4)
    score = score_domains(Copying(), {"a": folder}, context_tokens=2)["a"]
    losses = np.log([2.0, 6.0, 2.0])
    assert score.loss_nats == pytest.approx(losses.mean())
    error = losses.std(ddof=1) / math.sqrt(3)
    assert score.loss_standard_error == pytest.approx(error)
    assert score.bits_per_byte_standard_error == pytest.approx(error * 8 / 4 / math.log(2))


def test_domains_are_kept_apart_and_batches_do_not_matter(tmp_path):
    folders = {
        "same": write(tmp_path / "same", [1] * 40, num_bytes=9),
        "other": write(tmp_path / "other", [1, 2] * 15, num_bytes=9),
    }
    whole = score_domains(Copying(), folders, context_tokens=3, batch_rows=64)
    small = score_domains(Copying(), folders, context_tokens=3, batch_rows=2)
    assert whole["same"].loss_nats == pytest.approx(math.log(2))
    assert whole["other"].loss_nats == pytest.approx(math.log(6))
    for domain in folders:
        assert small[domain].loss_nats == pytest.approx(whole[domain].loss_nats)
    rows = [np.ones((3, 4), dtype=np.uint16), np.array([[1, 2, 1, 2]], dtype=np.uint16)]
    means = evaluate_domains(
        lambda batch: losses_of_rows(Copying(), [batch[:2], batch[2:]], device=CPU), rows
    )
    assert [mean.loss_nats for mean in means] == pytest.approx([math.log(2), math.log(6)])
    assert [mean.rows for mean in means] == [3, 1]
    assert means[1].standard_error is None


def test_rows_are_spread_and_the_same_every_time():
    assert spread_rows(10, 4).tolist() == [0, 2, 5, 7]
    assert spread_rows(3, 8).tolist() == [0, 1, 2]
    assert spread_rows(3, None).tolist() == [0, 1, 2]


def test_mode_of_the_model_is_given_back(tmp_path):
    folder = write(tmp_path / "a", [1] * 9, num_bytes=10)
    model = Uniform().train()
    score_domains(model, {"a": folder}, context_tokens=4, rows=1)
    assert model.training


def test_mean_of_one_row_has_no_error():
    assert mean_loss(np.array([2.5])).standard_error is None


def test_too_little_text_is_refused(tmp_path):
    folder = write(tmp_path / "a", [1] * 3, num_bytes=10)
    with pytest.raises(ValueError, match="fewer than one sequence of 4"):
        score_domains(Uniform(), {"a": folder}, context_tokens=4)


def test_missing_shards_are_refused():
    with pytest.raises(ValueError, match="/nowhere"):
        score_domains(Uniform(), {"a": Path("/nowhere")}, context_tokens=4)
