"""Partitions: a corpus, a domain, a run; and the settings that each partition depends on.

The catalogue and the preset decide which partitions exist, so they are read when the code location
loads: `MIXWRIGHT_PRESET` names the preset (default: demo).
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import dagster as dg

from assets.lake import WHOLE, Artifact, Lake
from assets.presets import (
    LEARNED,
    LEARNED_FROM,
    PLAN,
    SCORED,
    Learner,
    Preset,
    config_digest,
    load_preset,
    training_domains,
)
from quality.catalogue import Corpus, load_catalogue
from quality.cleaning_profiles import find_profile
from quality.judgement import rule_limits
from training.config import MixerConfig
from training.swarm import read_swarm, run_key

PRESET: Preset = load_preset(os.environ.get("MIXWRIGHT_PRESET", "demo"))
CATALOGUE: dict[str, Corpus] = load_catalogue(PRESET.catalogue)
CORPUS_DOMAINS: tuple[str, ...] = tuple(sorted({corpus.domain for corpus in CATALOGUE.values()}))
"""Domains that corpora are of: held-out text is chosen within each."""
DOMAINS: tuple[str, ...] = training_domains(PRESET)
"""Domains that models are trained on: the same, unless the preset cuts others."""
OWNERS = ["team:mixwright"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferenceRun:
    """What one partition of `reference_runs` trains."""

    mixer: MixerConfig
    """Its rule."""
    seed: int
    """Its seed."""

    @property
    def key(self) -> str:
        """`<method>-s<seed>-<digest of all that the preset says of the run>`."""
        spec = {"mixer": asdict(self.mixer), "proxy": config_digest(PRESET.proxy)}
        return run_key(f"{self.mixer.method}-s{self.seed}", {**spec, "seed": self.seed})


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightRun:
    """What one partition of `weight_runs` trains: a proxy run that learns weights."""

    label: str
    """Label of the learner in the preset."""
    learner: Learner
    """How it learns."""
    seed: int
    """Its seed, and that of its reference."""

    @property
    def key(self) -> str:
        """`<label>-s<seed>-<digest of all that the preset says of the run>`."""
        spec = {"learner": asdict(self.learner), "proxy": config_digest(PRESET.proxy)}
        return run_key(f"{self.label}-s{self.seed}", {**spec, "seed": self.seed})

    @property
    def reference(self) -> ReferenceRun | None:
        """The run whose losses it compares its own with, if any."""
        mixer = self.learner.reference
        return None if mixer is None else ReferenceRun(mixer=mixer, seed=self.seed)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingRun:
    """What one partition of `training_runs` trains."""

    label: str
    """Method label of the preset."""
    mixer: MixerConfig
    """Its rule."""
    seed: int
    """Its seed."""

    @property
    def key(self) -> str:
        """`<label>-s<seed>-<digest of all that the preset says of the run>`."""
        spec = {"mixer": asdict(self.mixer), "target": config_digest(PRESET.target)}
        if self.weight_run is not None:
            spec["weights"] = self.weight_run.key
        return run_key(f"{self.label}-s{self.seed}", {**spec, "seed": self.seed})

    @property
    def weight_run(self) -> "WeightRun | None":
        """The run whose learned weights it trains on, if any."""
        if self.mixer.method != LEARNED:
            return None
        label = str(self.mixer.settings[LEARNED_FROM])
        return WeightRun(label=label, learner=PRESET.learners[label], seed=self.seed)

    @property
    def needs_plan(self) -> bool:
        """Whether it trains on the proposed weights."""
        return self.mixer.method == PLAN

    @property
    def follows_score(self) -> bool:
        """Whether it trains on strata in proportion to their quality."""
        return self.mixer.method == SCORED


TRAINING_RUNS: dict[str, TrainingRun] = {
    run.key: run
    for run in (
        TrainingRun(label=label, mixer=mixer, seed=seed)
        for seed in PRESET.seeds
        for label, mixer in PRESET.methods.items()
    )
}


WEIGHT_RUNS: dict[str, WeightRun] = {
    run.key: run
    for run in (
        WeightRun(label=label, learner=learner, seed=seed)
        for seed in PRESET.seeds
        for label, learner in PRESET.learners.items()
    )
}
REFERENCE_RUNS: dict[str, ReferenceRun] = {
    run.reference.key: run.reference for run in WEIGHT_RUNS.values() if run.reference is not None
}
"""Learners with the same reference share its runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SkillRun:
    """What one partition of `skill_runs` trains."""

    trained: tuple[str, ...]
    """Domains, equal shares; none: all of them, natural shares."""
    seed: int
    """Its seed."""

    @property
    def key(self) -> str:
        """`<domains or natural>-s<seed>-<digest of all that the preset says of the run>`."""
        spec = {"trained": self.trained, "proxy": config_digest(PRESET.proxy), "seed": self.seed}
        return run_key(f"{'-'.join(self.trained) or 'natural'}-s{self.seed}", spec)


def _skill_runs() -> list[SkillRun]:
    if PRESET.skills is None:
        return []
    sizes = (0, 1, 2) if PRESET.skills.pairs else (0, 1)
    chosen = [trained for size in sizes for trained in combinations(DOMAINS, size)]
    return [SkillRun(trained=trained, seed=s) for s in PRESET.skills.seeds for trained in chosen]


SKILL_RUNS: dict[str, SkillRun] = {run.key: run for run in _skill_runs()}

corpus_partitions = dg.StaticPartitionsDefinition(list(CATALOGUE))
corpus_domain_partitions = dg.StaticPartitionsDefinition(list(CORPUS_DOMAINS))
domain_partitions = dg.StaticPartitionsDefinition(list(DOMAINS))
proxy_run_partitions = dg.DynamicPartitionsDefinition(name="proxy_run")
transfer_run_partitions = dg.DynamicPartitionsDefinition(name="transfer_run")
skill_run_partitions = dg.StaticPartitionsDefinition(list(SKILL_RUNS))
training_run_partitions = dg.StaticPartitionsDefinition(list(TRAINING_RUNS))
reference_run_partitions = dg.StaticPartitionsDefinition(list(REFERENCE_RUNS))
weight_run_partitions = dg.StaticPartitionsDefinition(list(WEIGHT_RUNS))
reference_to_weights = dg.StaticPartitionMapping(
    {
        key: [run.key for run in WEIGHT_RUNS.values() if run.reference == reference]
        for key, reference in REFERENCE_RUNS.items()
    }
)
weights_to_training = dg.StaticPartitionMapping(
    {
        key: [run.key for run in TRAINING_RUNS.values() if run.weight_run == weights]
        for key, weights in WEIGHT_RUNS.items()
    }
)
corpus_to_domain = dg.StaticPartitionMapping(
    {name: corpus.domain for name, corpus in CATALOGUE.items()}
)


def corpora_of(domain: str) -> list[str]:
    """Names of the corpora whose documents belong to a domain of corpora, in catalogue order."""
    return [name for name, corpus in CATALOGUE.items() if corpus.domain == domain]


def corpora_for(domain: str) -> list[str]:
    """Names of the corpora that a training domain draws from, in catalogue order."""
    if PRESET.domains is None:
        return corpora_of(domain)
    of_corpora = PRESET.domains.corpus_domain(domain)
    return list(CATALOGUE) if of_corpora is None else corpora_of(of_corpora)


corpus_to_training_domain = dg.StaticPartitionMapping(
    {name: [domain for domain in DOMAINS if name in corpora_for(domain)] for name in CATALOGUE}
)
heldout_to_training_domain = dg.StaticPartitionMapping(
    {
        one: [domain for domain in DOMAINS if set(corpora_of(one)) & set(corpora_for(domain))]
        for one in CORPUS_DOMAINS
    }
)

_OF_CORPORA = (
    "raw_corpora",
    "corpus_profiles",
    "cleaned_shards",
    "fingerprints",
    "cluster_members",
    "contaminated_documents",
    "skill_tags",
    "quality_scores",
)
_OF_PRESET: dict[str, list[str]] = {
    **{asset: list(CATALOGUE) for asset in _OF_CORPORA},
    "heldout_sets": list(CORPUS_DOMAINS),
    "token_shards": list(DOMAINS),
    "skill_runs": list(SKILL_RUNS),
    "reference_runs": list(REFERENCE_RUNS),
    "weight_runs": list(WEIGHT_RUNS),
    "training_runs": list(TRAINING_RUNS),
    "evaluations": list(TRAINING_RUNS),
}
"""Asset -> its partitions, where the preset alone decides them."""
_OF_DESIGN = {"proxy_runs": "swarm", "transfer_runs": "transfer_mixtures"}
"""Asset -> the asset whose table of designed runs decides its partitions."""


def current_partitions(lake: Lake, asset: str) -> list[str]:
    """Partitions that an asset has under this preset; the lake may hold those of others too."""
    if asset not in _OF_DESIGN:
        return _OF_PRESET[asset]
    design = lake.find(_OF_DESIGN[asset])
    return [] if design is None else list(read_swarm(design.folder).run_ids)


def offer_runs(
    instance: dg.DagsterInstance,
    partitions_def: dg.DynamicPartitionsDefinition,
    run_ids: Sequence[str],
) -> None:
    """Make designed runs partitions: those of an earlier design go, unless still wanted."""
    name = str(partitions_def.name)
    for key in set(instance.get_dynamic_partitions(name)) - set(run_ids):
        instance.delete_dynamic_partition(name, key)
    instance.add_dynamic_partitions(name, list(run_ids))


def current_artifacts(lake: Lake, asset: str) -> list[Artifact]:
    """Current versions of an asset under this preset, without partitions that others left."""
    there = lake.partitions(asset)
    if there in ([], [WHOLE]):
        return [lake.artifact(asset) for _ in there]
    return [lake.artifact(asset, key) for key in current_partitions(lake, asset) if key in there]


def settings_of(asset: str, partition: str | None) -> str:
    """Digest of what one partition depends on beside its inputs and the asset's code version."""
    return _SETTINGS[asset](partition or "") if asset in _SETTINGS else ""


def _settings_of_raw(name: str) -> str:
    corpus = CATALOGUE[name]
    entry = {
        key: value for key, value in asdict(corpus).items() if key not in ("folder", "coverage")
    }
    return config_digest(entry, _source_stamp(corpus))


def _settings_of_cleaned(name: str) -> str:
    profile = find_profile(CATALOGUE[name].cleaning)
    others = (profile.name, profile.redact, profile.deduplicate, profile.edits_lines)
    return config_digest(others, rule_limits(profile.rules()))


def _settings_of_tags(name: str) -> str:
    assert PRESET.tags is not None
    tags = PRESET.tags
    return config_digest(tags.counting(name), tags.beside, tags.min_coverage)


def _settings_of_scores(_: str) -> str:
    assert PRESET.score is not None
    return config_digest(PRESET.score.min_auc)


def _settings_of_contamination(_: str) -> str:
    evaluations = sorted(PRESET.contamination.evaluations.items())
    return config_digest(CORPUS_DOMAINS, [(name, _stamps(path)) for name, path in evaluations])


def _settings_of_tokens(domain: str) -> str:
    share = None if PRESET.score is None else PRESET.score.keep_share
    return config_digest(corpora_for(domain), PRESET.domains, share)


_SETTINGS: dict[str, Callable[[str], str]] = {
    "raw_corpora": _settings_of_raw,
    "cleaned_shards": _settings_of_cleaned,
    "duplicate_clusters": lambda _: config_digest(list(CATALOGUE)),
    "heldout_sets": lambda domain: config_digest(corpora_of(domain)),
    "contaminated_documents": _settings_of_contamination,
    "skill_tags": _settings_of_tags,
    "quality_scores": _settings_of_scores,
    "token_shards": _settings_of_tokens,
}


def _source_stamp(corpus: Corpus) -> list[tuple[str, int, int]]:
    """Name, size and change time of a local source's files; empty for a pinned download."""
    path = corpus.source.get("path")
    if path is None:
        return []
    return _stamps(corpus.folder / str(path))


def _stamps(root: Path) -> list[tuple[str, int, int]]:
    files = sorted(file for file in root.rglob("*") if file.is_file()) if root.is_dir() else [root]
    return [
        (file.relative_to(root).as_posix(), file.stat().st_size, file.stat().st_mtime_ns)
        for file in files
        if file.exists()
    ]
