"""Training domains that are not corpora: skills of a tagger, or strata of a quality score.

Without a cut a document belongs to the domain of its corpus. A cut assigns it to another:

    skills     the domain that lists its skill; `rest` for every other document, or none
    strata     <domain of its corpus>-q<k>, k = 1 for the lowest scores: equal numbers of documents

Held-out text is chosen before the cut, within the domains of the corpora, so that no cut can part
near-copies or one source file between training and held-out text; then both are cut alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from quality.catalogue import NAME_PATTERN
from quality.corpus_scores import read_scores
from quality.corpus_tags import read_skills
from quality.quality_score import SCORE, score_strata, score_weights

Name = Annotated[str, Field(pattern=NAME_PATTERN)]


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class DomainCut:
    """How training domains are cut; exactly one of skills and strata."""

    skills: Mapping[Name, Annotated[list[str], Field(min_length=1)]] | None = None
    """Domain -> skills that belong to it."""
    rest: Name | None = None
    """Domain of documents without such a skill. None: they are not trained on."""
    strata: Annotated[int, Field(ge=2)] | None = None
    """Strata of the quality score in each domain of the corpora."""

    def __post_init__(self) -> None:
        """Refuse both ways at once, one domain only, and a skill in two domains."""
        if (self.skills is None) == (self.strata is None):
            raise ValueError("a cut needs either skills or strata")
        if self.skills is None:
            if self.rest is not None:
                raise ValueError("rest: strata take every document; remove it")
            return
        listed = [skill for skills in self.skills.values() for skill in skills]
        if twice := sorted({skill for skill in listed if listed.count(skill) > 1}):
            raise ValueError(f"skills: {twice[0]!r} belongs to two domains; name it once")
        if self.rest in self.skills:
            raise ValueError(f"rest: {self.rest!r} is a domain of skills already")
        if len(self.skills) + (self.rest is not None) < 2:
            raise ValueError("skills: a mixture needs at least two domains")

    def domains(self, corpus_domains: tuple[str, ...]) -> tuple[str, ...]:
        """Names of the training domains, sorted."""
        if self.skills is not None:
            return tuple(sorted([*self.skills, *([self.rest] if self.rest else [])]))
        assert self.strata is not None
        return tuple(
            sorted(
                stratum_name(domain, k)
                for domain in corpus_domains
                for k in range(1, self.strata + 1)
            )
        )

    def corpus_domain(self, domain: str) -> str | None:
        """Domain of the corpora that a stratum is cut from; None: skills come from all."""
        return None if self.strata is None else domain.rpartition("-q")[0]


def stratum_name(domain: str, stratum: int) -> str:
    """Name of a stratum, 1 for the lowest scores."""
    return f"{domain}-q{stratum}"


def documents_of_skill(
    cut: DomainCut, domain: str, tags: Mapping[str, Path]
) -> dict[str, frozenset[str]]:
    """Ids of the documents of a training domain by corpus.

    Args:
        cut: A cut by skills.
        domain: One of its domains.
        tags: Corpus -> folder of its skill tags.
    """
    assert cut.skills is not None
    listed = {skill for skills in cut.skills.values() for skill in skills}
    mine = set(cut.skills.get(domain, ()))
    chosen = {}
    for corpus, folder in tags.items():
        skills = read_skills(folder)
        chosen[corpus] = frozenset(
            name
            for name, skill in skills.items()
            if (skill not in listed if domain == cut.rest else skill in mine)
        )
    return chosen


@plain_dataclass(frozen=True, kw_only=True, slots=True)
class Stratum:
    """Documents of one stratum."""

    documents: dict[str, frozenset[str]]
    """Corpus -> ids."""
    least_score: float
    """Least score."""
    greatest_score: float
    """Greatest score."""
    sampling_weight: float
    """How much oftener its text is drawn than in proportion, if documents are drawn by
    `score_weights`: mean over its text, where the mean over the text of all strata is one."""


def stratum_of(cut: DomainCut, domain: str, scores: Mapping[str, Path]) -> Stratum:
    """The documents of a training domain that is a stratum.

    Args:
        cut: A cut by strata.
        domain: One of its domains.
        scores: Corpus -> folder of its scores, all corpora of the stratum's domain.

    Raises:
        BadDocuments: A table is missing or damaged.
        ValueError: There are fewer documents than strata.
    """
    assert cut.strata is not None
    table = read_scores(scores)
    values = table[SCORE].to_numpy()
    wanted = int(domain.rpartition("-q")[2]) - 1
    mine = score_strata(values, cut.strata) == wanted
    text_weights = score_weights(values) * table["num_bytes"].to_numpy()
    sizes = table["num_bytes"].to_numpy().astype(np.float64)
    mean = float(text_weights.sum() / sizes.sum())
    return Stratum(
        documents=_by_corpus(table, mine, scores),
        least_score=float(values[mine].min()),
        greatest_score=float(values[mine].max()),
        sampling_weight=float(text_weights[mine].sum() / sizes[mine].sum() / mean),
    )


def best_documents(share: float, scores: Mapping[str, Path]) -> dict[str, frozenset[str]]:
    """Ids of the best-scored share of the documents of some corpora together.

    Args:
        share: In (0, 1]; rounded up to a whole document.
        scores: Corpus -> folder of its scores.

    Raises:
        BadDocuments: A table is missing or damaged.
    """
    table = read_scores(scores)
    num_kept = int(np.ceil(share * table.height))
    ranks = np.empty(table.height, dtype=np.int64)
    ranks[np.argsort(-table[SCORE].to_numpy(), kind="stable")] = np.arange(table.height)
    return _by_corpus(table, ranks < num_kept, scores)


def _by_corpus(
    table: pl.DataFrame, mine: NDArray[np.bool_], corpora: Mapping[str, Path]
) -> dict[str, frozenset[str]]:
    chosen = table.filter(pl.Series(mine))
    return {
        corpus: frozenset(chosen.filter(pl.col("corpus") == corpus)["id"]) for corpus in corpora
    }
