"""Partitions: a corpus, a domain, a run; and the settings that each partition depends on.

The catalogue and the preset decide which partitions exist, so they are read when the code location
loads: `MIXWRIGHT_PRESET` names the preset (default: demo).
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import dagster as dg

from assets.lake import WHOLE, Artifact, Lake
from assets.presets import PLAN, Preset, config_digest, load_preset
from quality.catalogue import Corpus, load_catalogue
from quality.cleaning_profiles import find_profile
from quality.judgement import rule_limits
from training.config import MixerConfig
from training.swarm import read_swarm, run_key

PRESET: Preset = load_preset(os.environ.get("MIXWRIGHT_PRESET", "demo"))
CATALOGUE: dict[str, Corpus] = load_catalogue(PRESET.catalogue)
CORPUS_DOMAINS: tuple[str, ...] = tuple(sorted({corpus.domain for corpus in CATALOGUE.values()}))
"""Domains that corpora are of: held-out text is chosen within each."""
DOMAINS: tuple[str, ...] = CORPUS_DOMAINS
"""Domains that models are trained on."""
OWNERS = ["team:mixwright"]


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
        return run_key(f"{self.label}-s{self.seed}", {**spec, "seed": self.seed})

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
skill_run_partitions = dg.StaticPartitionsDefinition(list(SKILL_RUNS))
training_run_partitions = dg.StaticPartitionsDefinition(list(TRAINING_RUNS))
corpus_to_domain = dg.StaticPartitionMapping(
    {name: corpus.domain for name, corpus in CATALOGUE.items()}
)


_OF_CORPORA = (
    "raw_corpora",
    "corpus_profiles",
    "cleaned_shards",
    "fingerprints",
    "cluster_members",
    "contaminated_documents",
)
"""Assets with one partition per corpus."""


def corpora_of(domain: str) -> list[str]:
    """Names of the corpora whose documents belong to a domain, in catalogue order."""
    return [name for name, corpus in CATALOGUE.items() if corpus.domain == domain]


def current_partitions(lake: Lake, asset: str) -> list[str]:
    """Partitions that an asset has under this preset; the lake may hold those of others too."""
    if asset in _OF_CORPORA:
        return list(CATALOGUE)
    if asset == "heldout_sets":
        return list(CORPUS_DOMAINS)
    if asset == "token_shards":
        return list(DOMAINS)
    if asset == "proxy_runs":
        design = lake.find("swarm")
        return [] if design is None else list(read_swarm(design.folder).run_ids)
    if asset == "skill_runs":
        return list(SKILL_RUNS)
    assert asset in ("training_runs", "evaluations"), f"{asset} has no partitions"
    return list(TRAINING_RUNS)


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
    if asset == "contaminated_documents":
        return config_digest(
            list(CORPUS_DOMAINS), evaluation_stamps(PRESET.contamination.evaluations)
        )
    if asset == "duplicate_clusters":
        return config_digest(list(CATALOGUE))
    return ""


def _source_stamp(corpus: Corpus) -> list[tuple[str, int, int]]:
    """Name, size and change time of a local source's files; empty for a pinned download."""
    path = corpus.source.get("path")
    if path is None:
        return []
    return _stamps(corpus.folder / str(path))


def evaluation_stamps(
    evaluations: Mapping[str, Path],
) -> dict[str, list[tuple[str, int, int]]]:
    """Name, size and change time of the files of each evaluation that the user names."""
    return {name: _stamps(path) for name, path in sorted(evaluations.items())}


def _stamps(root: Path) -> list[tuple[str, int, int]]:
    files = sorted(file for file in root.rglob("*") if file.is_file()) if root.is_dir() else [root]
    return [
        (file.relative_to(root).as_posix(), file.stat().st_size, file.stat().st_mtime_ns)
        for file in files
        if file.exists()
    ]
