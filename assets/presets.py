"""Presets: every choice of one experiment in one strict YAML file."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from quality.catalogue import load_catalogue
from quality.cleaning_profiles import find_profile
from quality.dedup.clusters import DeduplicationConfig
from quality.heldout import HeldoutConfig
from training.config import (
    CheckpointConfig,
    EvaluationConfig,
    MixerConfig,
    ModelConfig,
    Name,
    ScheduleConfig,
    Setting,
    UniqueKeyLoader,
    validation_message,
)
from training.law_evidence import EvidenceConfig
from training.law_gate import LawGateConfig
from training.mixers import MIXERS, make_mixer
from training.mixers.interface import Mixer
from training.mixing_laws import LAWS
from training.proposal import ProposalConfig
from training.swarm import SwarmConfig

STRICT = ConfigDict(extra="forbid")
PRESETS = Path(__file__).parents[1] / "examples" / "presets"
PLAN = "plan"
"""Method name in a preset: train on the fixed weights of the training plan."""
LEARNED = "learned"
"""Method name in a preset: train on the weights that a learner's proxy run of the seed learnt."""
LEARNED_FROM = "weights_from"
"""Its only setting: the label of the learner."""


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class TokenizerConfig:
    """Byte-level BPE."""

    vocab_size: Annotated[int, Field(ge=300)]
    """Tokens, including 256 bytes and the end-of-document token."""
    sample_chars: Annotated[int, Field(ge=1)]
    """Characters of training text that the merges are learnt from, shared equally by domain."""


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class RunShape:
    """What the runs of one kind have in common."""

    model: ModelConfig
    """What is trained."""
    schedule: ScheduleConfig
    """How long and how."""
    evaluation: EvaluationConfig
    """How it is measured."""
    checkpoint: CheckpointConfig = CheckpointConfig()
    """When it is saved."""

    @property
    def num_tokens(self) -> int:
        """Training tokens of one run."""
        return self.schedule.steps * self.schedule.batch_rows * self.model.context_tokens


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class SkillStudy:
    """Which trainings the skill graph is learnt from."""

    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    """Every training is repeated with each; fewer than three seeds decide nothing."""
    pairs: bool = True
    """Whether to train on every two domains too: K (K + 1) / 2 trainings a seed instead of K."""


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class Learner:
    """How weights are learnt for training runs: a proxy run for each seed, after its reference."""

    mixer: MixerConfig
    """doremi or doge."""
    reference: MixerConfig | None = None
    """On which mixture the reference model of doremi is trained; doge has none."""


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class Preset:
    """One experiment."""

    name: str
    """File name without its ending."""
    catalogue: Path
    """Corpus catalogue; relative to the preset's file."""
    heldout: HeldoutConfig
    """What is never trained on."""
    tokenizer: TokenizerConfig
    """How text becomes tokens."""
    swarm: SwarmConfig
    """Which mixtures the proxies try."""
    proxy: RunShape
    """One proxy run."""
    law: str
    """Key of training.mixing_laws.LAWS."""
    evidence: EvidenceConfig
    """How the law is tested."""
    law_gate: LawGateConfig
    """What the law must show."""
    plan: ProposalConfig
    """How weights are proposed."""
    target: RunShape
    """One training run."""
    methods: Annotated[dict[Name, MixerConfig], Field(min_length=1)]
    """Training runs: label -> mixer. The method `plan` trains on the proposed weights, `learned` on
    those of the learner that its setting weights_from names."""
    learners: dict[Name, Learner] = Field(default_factory=dict)
    """Label -> how weights are learnt, by trainings of the shape of the proxies."""
    skills: SkillStudy | None = None
    """How the skill graph is learnt, by trainings of the shape of the proxies. None: it is not."""
    deduplication: DeduplicationConfig = DeduplicationConfig()
    """What counts as a copy, and of which corpora the copies stay."""
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    """Each method runs once with each seed; comparisons are paired over them."""

    def __post_init__(self) -> None:
        """Refuse a law or method that does not exist and proxies larger than their target."""
        if self.law not in LAWS:
            raise ValueError(f"law: unknown law {self.law!r}; choose one of {sorted(LAWS)}")
        known = {*MIXERS, PLAN, LEARNED}
        for label, mixer in self.methods.items():
            if mixer.method not in known:
                raise ValueError(
                    f"methods.{label}: unknown method {mixer.method!r}; "
                    f"choose one of {sorted(known)}"
                )
            if mixer.method == PLAN and mixer.settings:
                raise ValueError(
                    f"methods.{label}.settings: the method {PLAN!r} has none, got "
                    f"{sorted(mixer.settings)}; remove them"
                )
            wanted: list[dict[str, Setting]] = [{LEARNED_FROM: one} for one in self.learners]
            if mixer.method == LEARNED and mixer.settings not in wanted:
                raise ValueError(
                    f"methods.{label}.settings: the method {LEARNED!r} has one, {LEARNED_FROM}, "
                    f"the label of a learner; learners are {sorted(self.learners)}, got "
                    f"{mixer.settings}"
                )
        studied = [] if self.skills is None else self.skills.seeds
        for where, seeds in (("seeds", self.seeds), ("skills.seeds", studied)):
            if len(set(seeds)) != len(seeds):
                raise ValueError(f"{where}: a seed stands there twice in {seeds}; remove one")
        if self.proxy.num_tokens > self.target.num_tokens:
            raise ValueError(
                f"a proxy of {self.proxy.num_tokens} tokens is longer than its target of "
                f"{self.target.num_tokens}: lower proxy.schedule.steps"
            )

    @property
    def epoch_share(self) -> float:
        """Share of each domain that a proxy sees, so that its epochs match the target's."""
        return self.proxy.num_tokens / self.target.num_tokens


class PresetError(ValueError):
    """A preset that cannot be used; the message names file, key and remedy."""


def load_preset(name: str) -> Preset:
    """Read a preset.

    Args:
        name: Name of a file in examples/presets, or the path of any YAML file.

    Raises:
        PresetError: No such file, or a key or value that the preset does not allow, or a mixer that
            does not fit the domains of the catalogue or the length of the runs, or a corpus with an
            unknown cleaning profile.
        CorpusError: The catalogue cannot be used.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else PRESETS / f"{name}.yaml"
    if not path.is_file():
        known = sorted(file.stem for file in PRESETS.glob("*.yaml"))
        raise PresetError(f"{path}: no such preset; give a path or one of {known}")
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), UniqueKeyLoader)
    except (yaml.YAMLError, ValueError) as error:
        raise PresetError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise PresetError(f"{path}: a preset is a mapping, see {PRESETS / 'demo.yaml'}")
    content.setdefault("name", path.stem)
    if "catalogue" in content:
        content["catalogue"] = path.parent / str(content["catalogue"])
    try:
        preset = TypeAdapter(Preset).validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        raise PresetError(validation_message(str(path), error)) from error
    _require_mixers(preset, path)
    _require_priority(preset, path)
    _require_profiles(preset)
    return preset


def _require_profiles(preset: Preset) -> None:
    """Refuse a corpus whose cleaning profile does not exist before anything is read."""
    for corpus in load_catalogue(preset.catalogue).values():
        try:
            find_profile(corpus.cleaning)
        except ValueError as error:
            raise PresetError(
                f"{preset.catalogue}, corpus {corpus.name!r}, field 'cleaning': {error}"
            ) from error


def _require_priority(preset: Preset, path: Path) -> None:
    """Refuse a priority that names no corpus of the catalogue, or one twice."""
    named, known = preset.deduplication.priority, load_catalogue(preset.catalogue)
    wrong = [name for name in named if name not in known or named.count(name) > 1]
    if wrong:
        raise PresetError(
            f"{path}: deduplication.priority: {wrong[0]!r} is unknown or stands there twice; name "
            f"each of {sorted(known)} at most once"
        )


def _require_mixers(preset: Preset, path: Path) -> None:
    """Build every mixer once, so that wrong settings do not wait for the training runs."""
    domains = sorted({corpus.domain for corpus in load_catalogue(preset.catalogue).values()})
    for label, mixer in preset.methods.items():
        if mixer.method not in (PLAN, LEARNED):
            _make_mixer(mixer, domains, preset.target, f"{path}: methods.{label}")
    for label, learner in preset.learners.items():
        where = f"{path}: learners.{label}"
        made = _make_mixer(
            learner.mixer, domains, preset.proxy, where, has_reference=learner.reference is not None
        )
        if made.learned_weights(made.initial()) is None:
            raise PresetError(
                f"{where}: the mixer {learner.mixer.method!r} learns no weights for another run; "
                "use doremi or doge, or list it in methods"
            )
        if learner.reference is not None:
            _make_mixer(learner.reference, domains, preset.proxy, f"{where}.reference")


def _make_mixer(
    mixer: MixerConfig,
    domains: list[str],
    shape: RunShape,
    where: str,
    *,
    has_reference: bool = False,
) -> Mixer:
    try:
        return make_mixer(
            mixer,
            domains=tuple(domains),
            available_tokens=np.ones(len(domains)),
            steps=shape.schedule.steps,
            batch_rows=shape.schedule.batch_rows,
            has_reference=has_reference,
        )
    except ValueError as error:
        raise PresetError(f"{where}: {error}") from error


def config_digest(*configs: object) -> str:
    """8 hexadecimal digits over dataclass configurations or JSON values."""
    plain = [
        asdict(config) if hasattr(config, "__dataclass_fields__") else config  # type: ignore[call-overload]
        for config in configs
    ]
    text = json.dumps(plain, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
