"""Builds the language model of a run and computes its loss row by row.

    loss of a row = -sum_{t=1..T} log p(token_t | token_0 .. token_{t-1})          nats

The model is a transformers class: built from its configuration with random parameters, or loaded
from a folder that transformers wrote. The same code runs on CPU and CUDA, attention by torch's
scaled_dot_product_attention. It is called without labels, since its own loss averages over the
batch and per-domain losses need the rows apart. The passes may run under bfloat16 autocast, by
default on CUDA; parameters and the cross entropy are float32 everywhere.

Shapes: B rows, T context tokens.
"""

from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.initialization import no_init_weights
from transformers.utils import logging as transformers_logging

from training.attention import CAUSAL_ATTENTION
from training.config import ModelConfig, SavedModelConfig


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


def _gpt_neox(config: ModelConfig, vocab_size: int, eos_id: int) -> PretrainedConfig:
    return GPTNeoXConfig(
        vocab_size=vocab_size,
        hidden_size=config.hidden_size,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        intermediate_size=config.intermediate_size,
        max_position_embeddings=config.context_tokens,
        tie_word_embeddings=config.tied_embeddings,
        bos_token_id=None,
        eos_token_id=eos_id,
        pad_token_id=None,
    )


def _gpt2(config: ModelConfig, vocab_size: int, eos_id: int) -> PretrainedConfig:
    # Its dropout is for many epochs of little text; here, as in the others, there is none.
    return GPT2Config(
        vocab_size=vocab_size,
        n_embd=config.hidden_size,
        n_layer=config.num_layers,
        n_head=config.num_heads,
        n_inner=config.intermediate_size,
        n_positions=config.context_tokens,
        tie_word_embeddings=config.tied_embeddings,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=eos_id,
        pad_token_id=None,
    )


ARCHITECTURES: dict[str, Callable[[ModelConfig, int, int], PretrainedConfig]] = {
    "llama": _llama,
    "gpt_neox": _gpt_neox,
    "gpt2": _gpt2,
}
"""By the name that transformers gives the type of a model."""

MAX_LOGITS = {"cpu": 2**22, "cuda": 2**29}
"""Logits of one forward pass by device: 16 MiB and 2 GiB in float32."""
MAX_COMPILED_LOGITS = 2**25
"""Those of a compiled pass, if that is more: 128 MiB in float32."""


def build_model(
    config: ModelConfig, *, vocab_size: int, eos_id: int, seed: int, initialised: bool = True
) -> PreTrainedModel:
    """Build a model with random parameters, on the CPU; the caller's random state is untouched.

    Args:
        config: Its size.
        vocab_size: Of the token shards, > 0.
        eos_id: Recorded in the model's configuration, so that generation knows where to stop.
        seed: Of the parameters; the same seed gives the same bits on every device.
        initialised: False leaves the parameters without values, for those who restore them: drawing
            them takes longer than reading a checkpoint.

    Raises:
        ValueError: An unknown architecture.
    """
    if config.architecture not in ARCHITECTURES:
        raise ValueError(
            f"model.architecture: no architecture {config.architecture!r}; choose one of "
            f"{', '.join(sorted(ARCHITECTURES))}"
        )
    settings = ARCHITECTURES[config.architecture](config, vocab_size, eos_id)
    with torch.random.fork_rng(devices=[]), nullcontext() if initialised else no_init_weights():
        torch.default_generator.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(settings, attn_implementation=CAUSAL_ATTENTION)
    if not initialised:
        model.tie_weights()  # part of the initialisation that was left out
    assert isinstance(model, PreTrainedModel)
    return model


def open_model(
    config: ModelConfig | SavedModelConfig,
    *,
    vocab_size: int,
    eos_id: int,
    seed: int,
    initialised: bool = True,
) -> PreTrainedModel:
    """Build a new model, or load a saved one to train it further, in float32 on the CPU.

    Args:
        config: Which.
        vocab_size: Of the token shards, > 0.
        eos_id: Of the token shards.
        seed: Of the parameters of a new model.
        initialised: Whether a new model gets values for its parameters.

    Raises:
        ValueError: An unknown architecture; or the folder holds no model, one of another type, or
            one too small for the vocabulary or the context.
    """
    if isinstance(config, ModelConfig):
        return build_model(
            config, vocab_size=vocab_size, eos_id=eos_id, seed=seed, initialised=initialised
        )
    try:
        model = load_model(Path(config.folder))
    except (OSError, ValueError, SafetensorError) as error:
        raise ValueError(f"model.folder: {config.folder} holds no model: {error}") from error
    found = model.config
    if found.model_type not in ARCHITECTURES:
        raise ValueError(
            f"model.folder: {config.folder} holds a model of type {found.model_type!r}; choose one "
            f"of {', '.join(sorted(ARCHITECTURES))}"
        )
    for name, needed, there in (
        ("vocabulary", vocab_size, found.vocab_size),
        ("context", config.context_tokens, found.max_position_embeddings),
    ):
        if needed > there:
            raise ValueError(
                f"model.folder: the {name} of {config.folder} is {there}, this run needs {needed}; "
                "tokenise with the model's tokenizer and set context_tokens to what it can take"
            )
    return model


def row_losses(model: nn.Module, rows: Tensor) -> Tensor:
    """Compute the loss of each row, shape (B,), nats summed over its T labels, float32.

    Args:
        model: A causal language model of transformers.
        rows: Tokens, int64, shape (B, T + 1), on the device of the model.
    """
    return token_losses(model, rows)[0].sum(dim=1)


def token_losses(
    model: nn.Module, rows: Tensor, *, with_hidden: bool = False
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
    wanted = {"output_hidden_states": True} if with_hidden else {}
    with torch.autocast(device_type=kind, dtype=torch.bfloat16, enabled=kind == "cuda"):
        output = model(input_ids=inputs, use_cache=False, **wanted)
    losses = functional.cross_entropy(
        output.logits.float().flatten(0, 1), labels.flatten(), reduction="none"
    )
    hidden = output.hidden_states[-1] if with_hidden else None
    return losses.view(labels.shape), hidden


def set_precision(model: PreTrainedModel, *, bfloat16: bool) -> None:
    """Compute the forward pass under bfloat16 autocast, or in float32, from now on.

    The parameters stay float32. Without this call it is bfloat16 on CUDA and float32 on a CPU.

    autocast is entered anew in every call. A compiled pass asks whether an object that it was given
    is the one it was compiled with, so one context kept for each model would have every model of a
    process compiled again, and after a few of them torch goes on uncompiled.
    """
    forward, kind = model.forward, model.device.type

    @wraps(forward)
    def in_precision(**inputs: Tensor | bool) -> object:
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=bfloat16):
            return forward(**inputs)

    model.forward = in_precision


def rows_per_pass(
    context_tokens: int, vocab_size: int, *, device: torch.device, compiled: bool = False
) -> int:
    """Return how many rows have logits that fit MAX_LOGITS, at least one.

    Small parts keep memory low, and outside trainings (training.freed_memory) they are faster on a
    CPU: blocks beyond 32 MiB are given back to the system and cleared again in every pass. In a
    training larger parts are somewhat faster, compiled ones clearly so, hence their limit.
    """
    limit = MAX_LOGITS[device.type]
    if compiled:
        limit = max(limit, MAX_COMPILED_LOGITS)
    return max(1, limit // (context_tokens * vocab_size))


def split_rows(rows: Tensor, vocab_size: int, *, limit: int | None = None) -> tuple[Tensor, ...]:
    """Divide a batch, shape (B, T + 1), into the fewest parts of at most `limit` rows, in order.

    None stands for rows_per_pass(). All but the last have the same size, so that a compiled model
    sees few shapes. The gradients of the parts add up to that of the batch.
    """
    if limit is None:
        limit = rows_per_pass(rows.shape[1] - 1, vocab_size, device=rows.device)
    num_parts = -(-len(rows) // limit)
    return torch.split(rows, -(-len(rows) // num_parts))


def save_model(
    model: PreTrainedModel, folder: Path, *, tensors: dict[str, Tensor] | None = None
) -> None:
    """Write a folder that transformers' from_pretrained loads: configuration and safetensors.

    Args:
        model: What to save.
        folder: Where.
        tensors: Its state; None: as it is in the model.
    """
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        model.save_pretrained(folder, state_dict=tensors)
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
            folder,
            local_files_only=True,
            dtype=torch.float32,
            attn_implementation=CAUSAL_ATTENTION,
        )
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
    assert isinstance(model, PreTrainedModel)
    return model
