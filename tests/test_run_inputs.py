import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.run_inputs import open_run_inputs
from training.shards import TokenShards, write_token_shards


def test_batch_has_the_rows_of_the_plan_in_its_order(tiny_run):
    inputs = open_run_inputs(tiny_run)
    plan, _ = inputs.sampler.plan(inputs.sampler.initial(), np.array([0.5, 0.2, 0.3]))
    batch = inputs.batch(plan)
    assert batch.shape == (6, 17)
    for slot, (domain, row) in enumerate(zip(plan.domain_index, plan.rows, strict=True)):
        shards = TokenShards.open(Path(tiny_run.domains[inputs.domains[domain]]) / "train")
        np.testing.assert_array_equal(batch[slot], shards.rows(np.array([row]), 16)[0])


def test_a_batch_with_a_token_beyond_the_vocabulary_is_refused(tiny_run, tmp_path):
    shutil.copytree(tiny_run.domains["green"], tmp_path / "green")
    file = tmp_path / "green/train/00000.tok"
    np.full(file.stat().st_size // 2, 40, dtype="<u2").tofile(file)
    config = replace(tiny_run, domains=tiny_run.domains | {"green": str(tmp_path / "green")})
    inputs = open_run_inputs(config)
    plan, state = inputs.sampler.plan(inputs.sampler.initial(), np.array([0.5, 0.0, 0.5]))
    assert inputs.batch(plan).shape == (6, 17)
    plan, _ = inputs.sampler.plan(state, np.array([0.0, 1.0, 0.0]))
    with pytest.raises(ValueError, match=rf"green/train: row {plan.rows[0]} .* the token 40"):
        inputs.batch(plan)


def test_one_folder_as_two_domains_is_told(tiny_run, tmp_path, caplog):
    (tmp_path / "link").symlink_to(tiny_run.domains["blue"])
    config = replace(tiny_run, domains=tiny_run.domains | {"azure": str(tmp_path / "link")})
    open_run_inputs(tiny_run)
    assert not caplog.records
    open_run_inputs(config)
    assert "'azure' and 'blue' are the same folder" in caplog.text


def test_evaluation_rows_are_the_same_for_every_seed(tiny_run):
    one, two = (open_run_inputs(replace(tiny_run, seed=seed)) for seed in (1, 2))
    for first, second in zip(one.heldout_rows, two.heldout_rows, strict=True):
        assert first.shape == (4, 17)
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokenizer_digest": "another"}, "tokenizer_digest 'another' differs from 'tiny'"),
        ({"vocab_size": 50}, "vocab_size 50 differs from 37"),
        ({"eos_id": 1}, "eos_id 1 differs from 0"),
    ],
)
def test_shards_of_different_tokenizers_are_refused(tiny_run, tmp_path, changes, message):
    settings = {"vocab_size": 37, "eos_id": 0, "tokenizer_digest": "tiny"} | changes
    for split in ("train", "heldout"):
        (tmp_path / split).mkdir()
        documents = [("d", 3, np.ones(40, dtype=np.uint32))]
        write_token_shards(documents, tmp_path / split, **settings)
    config = replace(tiny_run, domains=tiny_run.domains | {"yellow": str(tmp_path)})
    with pytest.raises(ValueError, match=message):
        open_run_inputs(config)


def test_domain_shorter_than_a_sequence_is_refused(tiny_run):
    config = replace(tiny_run, model=replace(tiny_run.model, context_tokens=1000))
    with pytest.raises(ValueError, match="domain 'blue' has 410 tokens in 'heldout'"):
        open_run_inputs(config)
