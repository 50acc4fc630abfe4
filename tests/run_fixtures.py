"""Small token shards, and runs on them that take a fraction of a second."""

import json
from dataclasses import replace

import numpy as np
import pytest

from training.config import (
    CheckpointConfig,
    EvaluationConfig,
    MixerConfig,
    ModelConfig,
    RunConfig,
    ScheduleConfig,
)
from training.shards import write_token_shards

VOCAB_SIZE = 37


def _documents(rng, *, num_documents, first_token):
    """Cyclic sequences: easy to learn, and each domain has its own tokens."""
    for number in range(num_documents):
        start = rng.integers(12)
        tokens = first_token + (start + np.arange(40)) % 12
        yield f"doc-{first_token}-{number}", 120, tokens.astype(np.uint32)


@pytest.fixture(scope="session")
def tiny_shards(tmp_path_factory):
    """Token shards of three domains, 41 tokens and 120 bytes a document; domain -> folder."""
    base = tmp_path_factory.mktemp("token_shards")
    for index, domain in enumerate(("blue", "green", "red")):
        rng = np.random.default_rng([7, index])
        for split, num_documents in (("train", 60), ("heldout", 10)):
            out = base / domain / split
            out.mkdir(parents=True)
            documents = _documents(rng, num_documents=num_documents, first_token=1 + 12 * index)
            write_token_shards(
                documents, out, vocab_size=VOCAB_SIZE, eos_id=0, tokenizer_digest="tiny"
            )
    return {domain: str(base / domain) for domain in ("blue", "green", "red")}


@pytest.fixture(scope="session")
def tiny_run(tiny_shards):
    """A run of 24 steps over three domains, with checkpoints; it takes a fraction of a second."""
    return RunConfig(
        run_id="tiny",
        domains=tiny_shards,
        model=ModelConfig(
            hidden_size=16, num_layers=2, num_heads=2, intermediate_size=32, context_tokens=16
        ),
        schedule=ScheduleConfig(steps=24, batch_rows=6, peak_lr=0.01, warmup_steps=3),
        mixer=MixerConfig(method="uniform"),
        evaluation=EvaluationConfig(rows_per_domain=4, every_steps=10),
        checkpoint=CheckpointConfig(every_steps=5),
        seed=3,
        num_threads=1,
    )


@pytest.fixture(scope="session")
def aioli_run(tiny_run):
    """The same with Aioli: rounds of 12 steps, of which 6 are probes."""
    settings = {"round_steps": 12, "probe_steps": 1, "sweeps": 2, "min_signal": 0.0}
    return replace(tiny_run, mixer=MixerConfig(method="aioli", settings=settings))


def _write_run(config, path):
    from pydantic import TypeAdapter

    content = TypeAdapter(RunConfig).dump_python(config, mode="json")
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(scope="session")
def write_run():
    """Write a run as the JSON file that `python -m training.run` reads."""
    return _write_run
