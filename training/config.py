"""The complete configuration of one training run, strict: an unknown key is an error.

A run file is JSON or YAML. Values are not coerced: a number in quotes is refused.
"""

import hashlib
import json
import re
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import (
    AfterValidator,
    Field,
    TypeAdapter,
    ValidationError,
)
from pydantic.dataclasses import dataclass

from training.learned_weights import read_learned_weights
from training.model_config import (
    MODEL_KINDS,
    STRICT,
    AnyModelConfig,
    Count,
    ModelConfig,
    SavedModelConfig,
)
from training.reference_folder import reference_digest
from training.setting_docs import unknown_key_advice
from training.setting_value import SETTING_KINDS, Setting
from training.shard_layout import domain_digests, is_whole

__all__ = [
    "STRICT",
    "CheckpointConfig",
    "Count",
    "EvaluationConfig",
    "ExecutionConfig",
    "MixerConfig",
    "ModelConfig",
    "Name",
    "RunConfig",
    "SavedModelConfig",
    "ScheduleConfig",
    "SelectorConfig",
    "Setting",
    "UniqueKeyLoader",
    "WeighterConfig",
    "unique_keys",
    "validation_message",
]

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
_MAX_GRAD_NORM = 1e5
_WITHOUT_EFFECT = (
    "run_id",
    "checkpoint",
    "device",
    "num_threads",
    "execution",
    "tokenizer",
    "tensorboard",
)
"""Fields of a run that do not change its numbers."""
_KINDS = {*MODEL_KINDS, *SETTING_KINDS}
"""Not keys, but what pydantic puts between them."""


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ScheduleConfig:
    """Length, batch and optimiser of a run (AdamW; linear warm-up, then cosine or WSD)."""

    steps: Count
    """Optimiser steps."""
    batch_rows: Count
    """Rows of a batch, B, over all devices together."""
    peak_lr: Annotated[float, Field(gt=0)]
    """Learning rate at the end of the warm-up."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Steps of the warm-up, at most steps."""
    shape: Literal["cosine", "wsd"] = "cosine"
    """After the warm-up: a cosine to the end, or constant with a decay at the end."""
    decay_steps: Count | None = None
    """Steps of the decay of "wsd", which needs it; None with "cosine"."""
    final_lr_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Learning rate of the last step as a share of peak_lr."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    """Decoupled weight decay of the matrices."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay of the first moment."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.95
    """Decay of the second moment."""
    clip_norm: Annotated[float, Field(gt=0)] | None = 1.0
    """Largest gradient norm; None: not clipped."""
    max_grad_norm: Annotated[float, Field(gt=0)] | None = _MAX_GRAD_NORM
    """Gradient norm before clipping beyond which the run ends, for it has diverged; None: only if
    it is not finite."""

    def __post_init__(self) -> None:
        """Refuse a warm-up longer than the run, and a decay that does not belong to the shape."""
        if self.warmup_steps > self.steps:
            raise ValueError(f"warmup_steps {self.warmup_steps} must be at most steps {self.steps}")
        if (self.decay_steps is not None) != (self.shape == "wsd"):
            raise ValueError(
                f"decay_steps {self.decay_steps} with shape {self.shape!r}: wsd needs decay_steps, "
                "cosine has none"
            )
        if self.warmup_steps + (self.decay_steps or 0) > self.steps:
            raise ValueError(
                f"warmup_steps {self.warmup_steps} and decay_steps {self.decay_steps} must fit "
                f"into steps {self.steps}"
            )


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class MixerConfig:
    """The rule that yields the sampling weights."""

    method: str
    """Name of one of the mixers that `mixwright methods` lists."""
    settings: dict[str, Setting] = Field(default_factory=dict)
    """Settings of the method; the method checks them."""
    losses: Literal["heldout", "training"] = "heldout"
    """What a method that asks for held-out losses gets: these, or the training losses of the next
    step, which cost no evaluation."""


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class WeighterConfig:
    """The rule that weighs the rows of a batch in the loss."""

    method: str = "none"
    """Name of one of the weighters that `mixwright methods` lists."""
    settings: dict[str, Setting] = Field(default_factory=dict)
    """Settings of the method; the method checks them."""


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class SelectorConfig:
    """The rule that chooses which rows of a domain are drawn."""

    method: str = "random"
    """Name of one of the selectors that `mixwright methods` lists."""
    settings: dict[str, Setting] = Field(default_factory=dict)
    """Settings of the method; the method checks them."""


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class EvaluationConfig:
    """Held-out evaluation during a run."""

    rows_per_domain: Count = 8
    """Held-out rows of each domain; the same rows at every evaluation."""
    every_steps: Count | None = None
    """Steps between evaluations for the metrics; None: only at the end.

    A mixer asks for its own evaluations besides."""
    heldout_share: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Share of the rows of a domain that is held out, the last ones, if its folder is one set of
    shards and not divided into train/ and heldout/."""


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class CheckpointConfig:
    """When the state of a run is saved."""

    every_steps: Count | None = None
    """Steps between checkpoints; None: none."""
    keep_last: Count = 2
    """Checkpoints kept; older ones are removed."""


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ExecutionConfig:
    """How the devices do the work; nothing here changes a result beyond rounding."""

    micro_rows: Count | None = None
    """Rows of one forward pass on one device; gradients accumulate over the passes of a batch.
    None: on a CPU as many as a fixed amount of memory for the logits allows, on CUDA as many as
    half of the device's memory should hold (training.pass_memory)."""
    compile: bool = False
    """Compile the model with torch.compile: seconds to minutes at the start, then faster steps."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """With several processes: a copy of the model in each, or parameters divided among them."""


def _sorted_by_name(domains: dict[str, str]) -> dict[str, str]:
    return dict(sorted(domains.items()))


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class RunConfig:
    """One training run. Vectors over domains are in the order of the sorted domain names."""

    run_id: Name
    """Name of the run, part of a path."""
    domains: Annotated[dict[Name, str], Field(min_length=1), AfterValidator(_sorted_by_name)]
    """Domain -> folder of its token shards, or one that holds them in train/ and heldout/."""
    model: AnyModelConfig
    """What is trained: a new model, or a saved one."""
    schedule: ScheduleConfig
    """How long and how."""
    mixer: MixerConfig
    """On which mixture."""
    weighter: WeighterConfig = Field(default_factory=WeighterConfig)
    """How much each row counts."""
    selector: SelectorConfig = Field(default_factory=SelectorConfig)
    """Which rows of a domain are drawn."""
    reference: str | None = None
    """Folder of a finished run, or of a model that transformers loads with the same tokenizer, for
    the methods that compare losses with a reference model's; None: none."""
    weights_from: str | None = None
    """Folder of a finished proxy run (doremi, doge) from whose learned weights the mixer `fixed`
    samples; None: from those in its settings."""
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)
    """How it is measured."""
    checkpoint: CheckpointConfig = Field(default_factory=CheckpointConfig)
    """When it is saved."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of the initial parameters and of the order of the rows."""
    epoch_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of its rows that each domain offers: so the epochs of a proxy match its target's."""
    max_epochs: Annotated[float, Field(gt=0)] | None = None
    """Epochs of a domain at which epoch_policy acts; None: no limit."""
    epoch_policy: Literal["error", "drop", "allow"] = "error"
    """At max_epochs: stop with an error, continue on the other domains, or only count."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it runs; auto: CUDA if there is one."""
    num_threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """CPU threads; None: as many as torch chooses."""
    tokenizer: str | None = None
    """Folder with the tokenizer.json of the shards, copied into final/; None: not copied."""
    tensorboard: bool = False
    """Whether to write TensorBoard event files into tensorboard/, beside metrics.jsonl."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the forward and backward passes; parameters and losses are float32. auto: bfloat16 on
    CUDA, float32 on a CPU."""
    execution: ExecutionConfig = Field(default_factory=ExecutionConfig)
    """How the devices do the work."""

    def digest(self) -> str:
        """16 hexadecimal digits over all that changes the numbers.

        Domains enter with the digests of their shard manifests, a saved model and the reference
        with that of their files, learned weights with their own, none with its path. Left out: what
        is in _WITHOUT_EFFECT; and settings that came later where they are the default, so that a
        run from before there were any keeps its digest.

        Raises:
            ValueError: A shard manifest, the saved model, the reference or the run with the weights
                is missing.
        """
        content = json.loads(TypeAdapter(RunConfig).dump_json(self))
        for section, field in self._without_meaning():
            del (content if section is None else content[section])[field]
        if self.reference is not None:
            content["reference"] = reference_digest(Path(self.reference))
        if self.weights_from is None:
            del content["weights_from"]
        else:
            content["weights_from"] = read_learned_weights(Path(self.weights_from)).digest()
        if isinstance(self.model, SavedModelConfig):
            content["model"]["folder"] = self.model.digest()
        content["domains"] = {
            domain: domain_digests(Path(folder)) for domain, folder in self.domains.items()
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def _without_meaning(self) -> Iterator[tuple[str | None, str]]:
        """Section, if any, and name of each field that is left out of the digest."""
        yield from ((None, field) for field in _WITHOUT_EFFECT)
        later: list[tuple[str | None, str, bool]] = [
            (None, "precision", self.precision == "auto"),
            (None, "weighter", self.weighter == WeighterConfig()),
            (None, "selector", self.selector == SelectorConfig()),
            (None, "reference", self.reference is None),
            ("mixer", "losses", self.mixer.losses == "heldout"),
            ("schedule", "shape", self.schedule.shape == "cosine"),
            ("schedule", "decay_steps", self.schedule.shape == "cosine"),
            ("schedule", "max_grad_norm", self.schedule.max_grad_norm == _MAX_GRAD_NORM),
            (
                "evaluation",
                "heldout_share",
                not any(is_whole(Path(folder)) for folder in self.domains.values()),
            ),
        ]
        yield from ((section, field) for section, field, without in later if without)


def validation_message(where: str, error: ValidationError, kind: type | None = None) -> str:
    """One line per mistake: where, key, what is wrong, and the value that was found.

    Args:
        where: File or section.
        error: What pydantic found.
        kind: The dataclass that was wanted; with it, an unknown key gets the list of known ones.
    """
    lines = []
    for mistake in error.errors(include_url=False):
        parts = [str(part) for part in mistake["loc"] if part not in _KINDS]
        key = ".".join(parts) or "(whole)"
        if mistake["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            advice = unknown_key_advice(kind, mistake["loc"]) if kind is not None else ""
            known = f" ({advice})" if advice else ""
            lines.append(f"{where}: {key}: unknown key; remove it or correct its spelling{known}")
        elif mistake["type"] in ("missing", "missing_argument"):
            lines.append(f"{where}: {key}: missing; add it")
        elif mistake["type"] == "value_error":  # our own words, which name the value
            message = mistake["msg"].removeprefix("Value error, ")
            lines.append(
                f"{where}: {message}" if key == "(whole)" else f"{where}: {key}: {message}"
            )
        else:
            lines.append(f"{where}: {key}: {mistake['msg']}, got {mistake['input']!r}")
    return "\n".join(lines)


def unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Build a mapping; a repeated key is an error."""
    keys = [key for key, _ in pairs]
    if repeated := [key for key in keys if keys.count(key) > 1]:
        raise ValueError(f"the key {repeated[0]!r} stands there twice; remove one")
    return dict(pairs)


class UniqueKeyLoader(yaml.SafeLoader):
    """YAML without the rule that the last of two equal keys wins, and with 1e-3 as a number."""

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, object]:
        """Refuse a repeated key, then do as usual."""
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                raise ValueError(f"the key in line {line} is a list or a mapping, not a name")
        unique_keys([(key.value, None) for key, _ in node.value])
        return super().construct_mapping(node, deep)


# YAML 1.1, which PyYAML reads, takes 1e-3 for a text: it wants 1.0e-3.
UniqueKeyLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)
