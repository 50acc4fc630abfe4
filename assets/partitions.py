"""Partitions: a corpus, a domain, a run; and the settings that each partition depends on.

The catalogue and the preset decide which partitions exist, so they are read when the code location
loads: `MIXWRIGHT_PRESET` names the preset (default: demo).
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

import dagster as dg

from assets.lake import WHOLE, Artifact, Lake
from assets.presets import (
    LEARNED,
    LEARNED_FROM,
    PLAN,
    Learner,
    Preset,
    config_digest,
    load_preset,
)
from quality.catalogue import Corpus, load_catalogue
from quality.cleaning_profiles import find_profile
from quality.judgement import rule_limits
from training.config import MixerConfig
from training.swarm import read_swarm, run_key

PRESET: Preset = load_preset(os.environ.get("MIXWRIGHT_PRESET", "demo"))
CATALOGUE: dict[str, Corpus] = load_catalogue(PRESET.catalogue)
DOMAINS: tuple[str, ...] = tuple(sorted({corpus.domain for corpus in CATALOGUE.values()}))
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


_OF_CORPORA = (
    "raw_corpora",
    "corpus_profiles",
    "cleaned_shards",
    "fingerprints",
    "cluster_members",
)
"""Assets with one partition per corpus."""


def corpora_of(domain: str) -> list[str]:
    """Names of the corpora whose documents belong to a domain, in catalogue order."""
    return [name for name, corpus in CATALOGUE.items() if corpus.domain == domain]


def current_partitions(lake: Lake, asset: str) -> list[str]:
    """Partitions that an asset has under this preset; the lake may hold those of others too."""
    if asset == "transfer_runs":
        chosen = lake.find("transfer_mixtures")
        return [] if chosen is None else list(read_swarm(chosen.folder).run_ids)
    if asset in _OF_CORPORA:
        return list(CATALOGUE)
    if asset in ("heldout_sets", "token_shards"):
        return list(DOMAINS)
    if asset == "proxy_runs":
        design = lake.find("swarm")
        return [] if design is None else list(read_swarm(design.folder).run_ids)
    of_preset = {
        "skill_runs": list(SKILL_RUNS),
        "reference_runs": list(REFERENCE_RUNS),
        "weight_runs": list(WEIGHT_RUNS),
    }
    if asset in of_preset:
        return of_preset[asset]
    assert asset in ("training_runs", "evaluations"), f"{asset} has no partitions"
    return list(TRAINING_RUNS)


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
    if asset == "raw_corpora":
        assert partition is not None
        corpus = CATALOGUE[partition]
        entry = {
            key: value for key, value in asdict(corpus).items() if key not in ("folder", "coverage")
        }
        return config_digest(entry, _source_stamp(corpus))
    if asset == "cleaned_shards":
        assert partition is not None
        profile = find_profile(CATALOGUE[partition].cleaning)
        others = (profile.name, profile.redact, profile.deduplicate, profile.edits_lines)
        return config_digest(others, rule_limits(profile.rules()))
    if asset in ("heldout_sets", "token_shards"):
        assert partition is not None
        return config_digest(corpora_of(partition))
    if asset == "duplicate_clusters":
        return config_digest(list(CATALOGUE))
    return ""


def _source_stamp(corpus: Corpus) -> list[tuple[str, int, int]]:
    """Name, size and change time of a local source's files; empty for a pinned download."""
    path = corpus.source.get("path")
    if path is None:
        return []
    root = corpus.folder / str(path)
    files = sorted(file for file in root.rglob("*") if file.is_file()) if root.is_dir() else [root]
    return [
        (file.relative_to(root).as_posix(), file.stat().st_size, file.stat().st_mtime_ns)
        for file in files
        if file.exists()
    ]
