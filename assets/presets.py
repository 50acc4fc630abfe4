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
from quality.contamination import ContaminationConfig
from quality.corpus_scores import ScoreChoice
from quality.corpus_tags import TagChoice
from quality.dedup.clusters import DeduplicationConfig
from quality.domain_cut import DomainCut
from quality.heldout import HeldoutConfig
from training.config import (
    CheckpointConfig,
    EvaluationConfig,
    MixerConfig,
    ModelConfig,
    Name,
    ScheduleConfig,
    UniqueKeyLoader,
    validation_message,
)
from training.law_evidence import EvidenceConfig
from training.law_gate import LawGateConfig
from training.mixers import MIXERS, make_mixer
from training.mixers.interface import Mixer
from training.mixing_laws import LAWS
from training.proposal import ProposalConfig
from training.rank_transfer import FEWEST_MIXTURES
from training.scale_transfer import TransferGateConfig
from training.swarm import SwarmConfig

STRICT = ConfigDict(extra="forbid")
PRESETS = Path(__file__).parents[1] / "examples" / "presets"
PLAN = "plan"
"""Method name in a preset: train on the fixed weights of the training plan."""
LEARNED = "learned"
"""Method name in a preset: train on the weights that a learner's proxy run of the seed learnt."""
LEARNED_FROM = "weights_from"
"""Its only setting: the label of the learner."""
SCORED = "score_weighted"
"""Method name in a preset: each stratum in proportion to its text and its quality, fixed."""


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
class TransferStudy:
    """Which mixtures of the swarm are trained again at a larger scale."""

    num_mixtures: Annotated[int, Field(ge=FEWEST_MIXTURES)]
    """How many, those that lie farthest apart; each also recalibrates the law."""
    shape: RunShape | None = None
    """The larger scale. None: that of the training runs."""
    gate: TransferGateConfig = TransferGateConfig()
    """What the ranking must show there."""


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
    transfer: TransferStudy | None = None
    """Whether what the proxies say holds at a larger scale. None: it is not measured."""
    deduplication: DeduplicationConfig = DeduplicationConfig()
    """What counts as a copy, and of which corpora the copies stay."""
    contamination: ContaminationConfig = ContaminationConfig()
    """What training text must not hold: held-out documents, and evaluations of the user."""
    tags: TagChoice | None = None
    """Which taggers say what skill a document is of. None: none."""
    score: ScoreChoice | None = None
    """What good text is. None: nothing is scored."""
    domains: DomainCut | None = None
    """What models are trained on, if not the domains of the corpora: skills, or strata."""
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    """Each method runs once with each seed; comparisons are paired over them."""

    def __post_init__(self) -> None:
        """Refuse a law or method that does not exist and proxies larger than their target."""
        if self.law not in LAWS:
            raise ValueError(f"law: unknown law {self.law!r}; choose one of {sorted(LAWS)}")
        known = {*MIXERS, PLAN, LEARNED, SCORED}
        for label, mixer in self.methods.items():
            if mixer.method not in known:
                raise ValueError(
                    f"methods.{label}: unknown method {mixer.method!r}; "
                    f"choose one of {sorted(known)}"
                )
            if mixer.method in (PLAN, SCORED) and mixer.settings:
                raise ValueError(
                    f"methods.{label}.settings: the method {mixer.method!r} has none, got "
                    f"{sorted(mixer.settings)}; remove them"
                )
            if mixer.method == LEARNED and not any(
                mixer.settings == {LEARNED_FROM: learner} for learner in self.learners
            ):
                raise ValueError(
                    f"methods.{label}.settings: the method {LEARNED!r} has one, {LEARNED_FROM}, "
                    f"the label of a learner; learners are {sorted(self.learners)}, got "
                    f"{mixer.settings}"
                )
        studied = [] if self.skills is None else self.skills.seeds
        for where, seeds in (("seeds", self.seeds), ("skills.seeds", studied)):
            if len(set(seeds)) != len(seeds):
                raise ValueError(f"{where}: a seed stands there twice in {seeds}; remove one")
        self._check_cut()
        if self.proxy.num_tokens > self.target.num_tokens:
            raise ValueError(
                f"a proxy of {self.proxy.num_tokens} tokens is longer than its target of "
                f"{self.target.num_tokens}: lower proxy.schedule.steps"
            )
        if self.transfer is not None:
            _require_larger_scale(self.transfer, self)

    def _check_cut(self) -> None:
        """Refuse a cut by what the preset does not make, and weights by strata without strata."""
        cut = self.domains
        strata = cut is not None and cut.strata is not None
        if cut is not None and cut.skills is not None and self.tags is None:
            raise ValueError("domains.skills: nothing is tagged; say how under tags")
        if strata and self.score is None:
            raise ValueError("domains.strata: nothing is scored; say what is good under score")
        methods = {mixer.method for mixer in self.methods.values()}
        if SCORED in methods and not strata:
            raise ValueError(f"methods: {SCORED!r} needs domains.strata")

    @property
    def epoch_share(self) -> float:
        """Share of each domain that a proxy sees, so that its epochs match the target's."""
        return self.proxy.num_tokens / self.target.num_tokens


def _require_larger_scale(study: TransferStudy, preset: Preset) -> None:
    shape = study.shape or preset.target
    small, most = preset.proxy.num_tokens, preset.target.num_tokens
    if study.num_mixtures > preset.swarm.num_runs:
        raise ValueError(
            f"transfer.num_mixtures: {study.num_mixtures} of a swarm of {preset.swarm.num_runs} "
            "runs; lower it"
        )
    if shape.model == preset.proxy.model and shape.num_tokens == small:
        raise ValueError("transfer.shape is that of the proxies: a second scale must differ")
    if not small <= shape.num_tokens <= most:
        raise ValueError(
            f"transfer.shape: {shape.num_tokens} tokens lie outside {small} (a proxy) to {most} "
            "(a training run), between which data repeat alike; change transfer.shape.schedule"
        )


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
    _resolve_evaluations(content, path.parent)
    try:
        preset = TypeAdapter(Preset).validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        raise PresetError(validation_message(str(path), error)) from error
    _require_mixers(preset, path)
    _require_corpora(preset, path)
    _require_profiles(preset)
    return preset


def _resolve_evaluations(content: dict[str, object], folder: Path) -> None:
    """Make the paths of evaluations relative to the preset's file."""
    contamination = content.get("contamination")
    named = contamination.get("evaluations") if isinstance(contamination, dict) else None
    if isinstance(named, dict):
        named.update({name: str(folder / str(value)) for name, value in named.items()})


def _require_profiles(preset: Preset) -> None:
    """Refuse a corpus whose cleaning profile does not exist before anything is read."""
    for corpus in load_catalogue(preset.catalogue).values():
        try:
            find_profile(corpus.cleaning)
        except ValueError as error:
            raise PresetError(
                f"{preset.catalogue}, corpus {corpus.name!r}, field 'cleaning': {error}"
            ) from error


def _require_corpora(preset: Preset, path: Path) -> None:
    """Refuse a list that names no corpus of the catalogue, or one twice."""
    known = load_catalogue(preset.catalogue)
    named: dict[str, list[str]] = {"deduplication.priority": list(preset.deduplication.priority)}
    if preset.tags is not None:
        named["tags.corpora"] = list(preset.tags.corpora)
    if preset.score is not None:
        sides = [*preset.score.reference, *preset.score.background]
        named["score.reference and score.background"] = sides
        if set(preset.score.reference) >= set(known):
            raise PresetError(f"{path}: score.reference: no corpus is left for the background")
    for where, names in named.items():
        wrong = [name for name in names if name not in known or names.count(name) > 1]
        if wrong:
            raise PresetError(
                f"{path}: {where}: {wrong[0]!r} is unknown or stands there twice; name each of "
                f"{sorted(known)} at most once"
            )


def training_domains(preset: Preset) -> tuple[str, ...]:
    """Domains that models are trained on, sorted: those of the corpora, or what cuts them."""
    catalogue = load_catalogue(preset.catalogue)
    of_corpora = tuple(sorted({corpus.domain for corpus in catalogue.values()}))
    return of_corpora if preset.domains is None else preset.domains.domains(of_corpora)


def _require_mixers(preset: Preset, path: Path) -> None:
    """Build every mixer once, so that wrong settings do not wait for the training runs."""
    domains = training_domains(preset)
    for label, mixer in preset.methods.items():
        if mixer.method not in (PLAN, LEARNED, SCORED):
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
    domains: tuple[str, ...],
    shape: RunShape,
    where: str,
    *,
    has_reference: bool = False,
) -> Mixer:
    try:
        return make_mixer(
            mixer,
            domains=domains,
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
