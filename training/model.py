"""Builds the language model of a run and computes its loss row by row.

    loss of a row = -sum_{t=1..T} log p(token_t | token_0 .. token_{t-1})          nats

The model is a transformers class built from its configuration, with random parameters: the same
code on CPU and CUDA, attention by torch's scaled_dot_product_attention. It is called without
labels, since its own loss averages over the batch and per-domain losses need the rows apart.
On CUDA the forward pass runs under bfloat16 autocast with float32 parameters; the cross entropy is
float32 everywhere.

Shapes: B rows, T context tokens.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForCausalLM, LlamaConfig, PretrainedConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from training.config import ModelConfig


def _llama(config: ModelConfig, vocab_size: int, eos_id: int) -> PretrainedConfig:
    return LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=config.hidden_size,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        num_key_value_heads=config.num_heads,
        intermediate_size=config.intermediate_size,
        max_position_embeddings=config.context_tokens,
        tie_word_embeddings=config.tied_embeddings,
        bos_token_id=None,
        eos_token_id=eos_id,
        pad_token_id=None,
    )


ARCHITECTURES: dict[str, Callable[[ModelConfig, int, int], PretrainedConfig]] = {"llama": _llama}

MAX_LOGITS = {"cpu": 2**22, "cuda": 2**29}
"""Logits of one forward pass by device: 16 MiB and 2 GiB in float32."""


def build_model(config: ModelConfig, *, vocab_size: int, eos_id: int, seed: int) -> PreTrainedModel:
    """Build a model with random parameters, on the CPU; the caller's random state is untouched.

    Args:
        config: Its size.
        vocab_size: Of the token shards, > 0.
        eos_id: Recorded in the model's configuration, so that generation knows where to stop.
        seed: Of the parameters; the same seed gives the same bits on every device.

    Raises:
        ValueError: An unknown architecture.
    """
    if config.architecture not in ARCHITECTURES:
        raise ValueError(
            f"model.architecture: no architecture {config.architecture!r}; choose one of "
            f"{', '.join(sorted(ARCHITECTURES))}"
        )
    settings = ARCHITECTURES[config.architecture](config, vocab_size, eos_id)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return AutoModelForCausalLM.from_config(settings, attn_implementation="sdpa")


def row_losses(model: PreTrainedModel, rows: Tensor) -> Tensor:
    """Compute the loss of each row, shape (B,), nats summed over its T labels, float32.

    Args:
        model: A causal language model.
        rows: Tokens, int64, shape (B, T + 1), on the device of the model.
    """
    return token_losses(model, rows)[0].sum(dim=1)


def token_losses(
    model: PreTrainedModel, rows: Tensor, *, with_hidden: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Compute the loss of each label, shape (B, T), nats, float32.

    Args:
        model: A causal language model.
        rows: Tokens, int64, shape (B, T + 1), on the device of the model.
        with_hidden: Whether to return what the output layer reads besides, shape (B, T, H), else
            None.
    """
    inputs, labels = rows[:, :-1], rows[:, 1:]
    kind = rows.device.type
    with torch.autocast(device_type=kind, dtype=torch.bfloat16, enabled=kind == "cuda"):
        output = model(input_ids=inputs, use_cache=False, output_hidden_states=with_hidden)
    losses = functional.cross_entropy(
        output.logits.float().flatten(0, 1), labels.flatten(), reduction="none"
    )
    hidden = output.hidden_states[-1] if with_hidden else None
    return losses.view(labels.shape), hidden


def split_rows(rows: Tensor, vocab_size: int) -> tuple[Tensor, ...]:
    """Divide a batch, shape (B, T + 1), into parts whose logits fit MAX_LOGITS, in order.

    The gradients of the parts add up to that of the batch. On a CPU the parts are faster as well:
    blocks beyond 32 MiB are given back to the system and cleared again at every step.
    """
    limit = MAX_LOGITS[rows.device.type]
    return torch.split(rows, max(1, limit // ((rows.shape[1] - 1) * vocab_size)))


def save_model(model: PreTrainedModel, folder: Path) -> None:
    """Write a folder that transformers' from_pretrained loads: configuration and safetensors."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        model.save_pretrained(folder)
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def load_model(folder: Path) -> PreTrainedModel:
    """Load what `save_model` wrote, in float32 on the CPU; no network is asked.

    Raises:
        OSError: The folder is missing or holds no model.
    """
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, dtype=torch.float32
        )
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
    assert isinstance(model, PreTrainedModel)
    return model
