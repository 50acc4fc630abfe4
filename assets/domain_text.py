"""The text of one training domain: of its corpora, through the cut of the preset if it has one."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from assets.duplicates import members_of
from assets.lake import Artifact, Lake, by_partition, write_json
from assets.leaks import contamination_of
from assets.partitions import CATALOGUE, PRESET, corpora_for, corpora_of
from quality.domain_cut import best_documents, documents_of_skill, stratum_of
from quality.training_text import heldout_documents, iterate_training_documents

CUT_FILE = "cut.json"
"""In token shards: how their domain was cut; absent for a domain of corpora."""
Chosen = Mapping[str, frozenset[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class DomainText:
    """What one training domain is made of, in exact versions."""

    cleaned: list[Artifact]
    """Cleaned shards of its corpora."""
    members: list[Artifact]
    """What deduplication says of them."""
    reports: list[Artifact]
    """What contaminates them."""
    heldout: list[Artifact]
    """Held-out sets of the domains of its corpora."""
    labels: list[Artifact]
    """Skill tags or quality scores of its corpora; none without a cut or filter."""
    belonging: Chosen | None
    """Documents that belong to it by corpus, held out or not; None: all."""
    trained: Chosen | None
    """Documents that may be trained on by corpus; None: all."""
    facts: Mapping[str, float | int | str | list[str]]
    """How it was cut; empty without a cut."""

    @property
    def inputs(self) -> list[Artifact]:
        """Everything that is read."""
        return [*self.cleaned, *self.members, *self.reports, *self.heldout, *self.labels]

    @property
    def judged(self) -> list[Artifact]:
        """Inputs that have gates."""
        return [*self.cleaned, *self.reports, *self.labels]

    def training(self) -> Iterator[tuple[str, str]]:
        """Yield id and text of what is trained on."""
        yield from iterate_training_documents(
            by_partition(self.cleaned),
            [artifact.folder for artifact in self.heldout],
            members=by_partition(self.members),
            contaminated=by_partition(self.reports),
            chosen=self.trained,
        )

    def held_out(self) -> Iterator[tuple[str, str]]:
        """Yield id and text of what is measured with; the quality filter leaves it alone."""
        folders = [artifact.folder for artifact in self.heldout]
        yield from heldout_documents(folders, chosen=self.belonging)

    def write_facts(self, folder: Path) -> None:
        """Write how the domain was cut, if it was."""
        if self.facts:
            write_json(folder / CUT_FILE, dict(self.facts))


def read_domain_text(lake: Lake, domain: str) -> DomainText:
    """Find the current versions of all that a training domain is made of.

    Raises:
        ArtifactMissing: Something was never made.
        dg.Failure: A version is about another one of what it describes.
    """
    corpora = corpora_for(domain)
    cleaned = [lake.artifact("cleaned_shards", name) for name in corpora]
    cut = PRESET.domains
    labels: list[Artifact] = []
    belonging: Chosen | None = None
    facts: dict[str, float | int | str | list[str]] = {}
    if cut is not None and cut.skills is not None:
        labels = [_labels_of(lake, "skill_tags", artifact) for artifact in cleaned]
        belonging = documents_of_skill(cut, domain, by_partition(labels))
        facts = {"skills": list(cut.skills.get(domain, ())), "rest": domain == cut.rest}
    elif cut is not None:
        labels = [_labels_of(lake, "quality_scores", artifact) for artifact in cleaned]
        stratum = stratum_of(cut, domain, by_partition(labels))
        belonging = stratum.documents
        facts = {
            "least_score": stratum.least_score,
            "greatest_score": stratum.greatest_score,
            "sampling_weight": stratum.sampling_weight,
        }
    filtered = _best(lake, cleaned)
    return DomainText(
        cleaned=cleaned,
        members=[members_of(lake, artifact) for artifact in cleaned],
        reports=[contamination_of(lake, artifact) for artifact in cleaned],
        heldout=[
            lake.artifact("heldout_sets", one)
            for one in sorted({CATALOGUE[name].domain for name in corpora})
        ],
        labels=[*labels, *(one for one in filtered.scores if one not in labels)],
        belonging=belonging,
        trained=_both(belonging, filtered.best),
        facts=facts,
    )


@dataclass(frozen=True, slots=True)
class _Filter:
    scores: list[Artifact]
    best: Chosen | None


def _best(lake: Lake, cleaned: list[Artifact]) -> _Filter:
    """The documents that the quality filter leaves, chosen in each domain of the corpora."""
    if PRESET.score is None or PRESET.score.keep_share == 1.0:
        return _Filter([], None)
    scores = {str(one.partition): _labels_of(lake, "quality_scores", one) for one in cleaned}
    best: dict[str, frozenset[str]] = {}
    for domain in sorted({CATALOGUE[name].domain for name in scores}):
        folders = {name: scores[name].folder for name in corpora_of(domain)}
        best |= best_documents(PRESET.score.keep_share, folders)
    return _Filter(list(scores.values()), best)


def _both(one: Chosen | None, other: Chosen | None) -> Chosen | None:
    if one is None or other is None:
        return other if one is None else one
    return {corpus: one[corpus] & other[corpus] for corpus in one}


def _labels_of(lake: Lake, asset: str, cleaned: Artifact) -> Artifact:
    """What is said of exactly this version of cleaned shards.

    Raises:
        dg.Failure: It was said of another version; a retry would not help.
    """
    labels = lake.artifact(asset, cleaned.partition)
    described = labels.json("summary.json")["cleaned_version"]
    if described != cleaned.data_version:
        raise dg.Failure(
            f"{labels.name} is about version {described} of {cleaned.name}, which is now "
            f"{cleaned.data_version}: materialise {labels.name} again",
            allow_retries=False,
        )
    return labels


def weights_by_score(shards: Mapping[str, Artifact], tokens: Mapping[str, int]) -> dict[str, float]:
    """Share of each stratum when documents are drawn by their quality, each domain as before.

    Args:
        shards: Stratum -> its token shards.
        tokens: Stratum -> its training tokens.
    """
    cut = PRESET.domains
    assert cut is not None
    shares: dict[str, float] = {}
    for domain in sorted({str(cut.corpus_domain(name)) for name in shards}):
        mine = [name for name in shards if cut.corpus_domain(name) == domain]
        weighted = {name: tokens[name] * _sampling_weight(shards[name]) for name in mine}
        natural = sum(tokens[name] for name in mine) / sum(tokens.values())
        shares |= {name: natural * weighted[name] / sum(weighted.values()) for name in mine}
    return shares


def _sampling_weight(shards: Artifact) -> float:
    weight = json.loads((shards.folder / CUT_FILE).read_text())["sampling_weight"]
    assert isinstance(weight, float), f"{shards.name}: {weight!r} is no weight"
    return weight
