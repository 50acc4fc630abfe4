"""Chooses the documents of a domain that no model is ever trained on.

Documents that must not be parted form a group: exact copies (same `text_hash`, in any corpus of the
domain), documents of one cluster of near-copies, and documents of one source file (the key `group`
of the metadata; a document without it stands alone). Groups are the connected components of these
relations. Copies that deduplication removes are neither held out nor trained on. A group with a
cluster of which another domain keeps a document is passed over, since that document stays in
training there: so no held-out text has a near-copy in the training text of any domain. Groups are
taken in the order of a keyed hash of the group's name until the budget is reached:

    budget = min(share * characters of the domain, max_chars)

The order depends on the seed and the names only, so a new document leaves the rank of all other
groups as it was. A group is passed over if with it the set would hold more than twice the budget or
more than half of the documents. If that leaves none, the smallest group is taken, since a domain
needs one.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Annotated

import polars as pl
from pydantic import ConfigDict, Field, PositiveInt
from pydantic.dataclasses import dataclass

from quality.dedup.members import Members, read_members
from quality.document_batches import DOCUMENTS, BadDocuments, read_batches

SUMMARY = "summary.json"
SCHEMA = {
    "id": pl.String,
    "corpus": pl.String,
    "text": pl.String,
    "text_hash": pl.String,
    "num_bytes": pl.Int64,
    "cluster": pl.String,
}
"""Columns of `documents.parquet` of a held-out set; `cluster` is null where a text is unique."""

_COLUMNS = ("id", "text", "text_hash", "metadata")
_MAX_OVERSHOOT = 2.0
_MAX_DOCUMENT_SHARE = 0.5


class DomainTooSmall(ValueError):
    """A domain of which nothing can be held out; the message names the remedy."""


@dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class HeldoutConfig:
    """How much of each domain is held out."""

    share: Annotated[float, Field(gt=0.0, le=0.5)] = 0.05
    """Share of the domain's characters aimed at."""
    max_chars: PositiveInt | None = None
    """Most characters aimed at; None: the share alone decides."""
    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0
    """Key of the hash that orders the groups."""


@plain_dataclass(frozen=True, kw_only=True, slots=True)
class HeldoutSummary:
    """What was held out of one domain."""

    num_documents: int
    """Documents held out, > 0."""
    num_groups: int
    """Groups that they form, > 0."""
    num_chars: int
    """Their characters."""
    num_bytes: int
    """Their UTF-8 bytes."""
    share: float
    """Their characters / characters of the domain."""
    domain_documents: int
    """Documents of the domain, held-out ones included."""
    domain_groups: int
    """Groups of the domain."""
    domain_chars: int
    """Characters of the domain."""
    passed_over: int
    """Groups whose turn came but that were too large, or shared with another domain."""
    made_from: Mapping[str, str]
    """Versions of what was read, so that the set changes whenever the text of its domain does, and
    whoever compares with it looks again."""


@plain_dataclass(frozen=True, kw_only=True, slots=True)
class _Group:
    name: str
    members: tuple[tuple[str, str], ...]
    num_chars: int
    is_shared: bool  # another domain keeps near-copies


def choose_heldout(
    cleaned: Mapping[str, Path],
    out: Path,
    config: HeldoutConfig,
    *,
    members: Mapping[str, Path] | None = None,
    made_from: Mapping[str, str] | None = None,
) -> HeldoutSummary:
    """Write `documents.parquet` and `summary.json` of a domain's held-out set.

    Args:
        cleaned: Corpus name -> folder of its cleaned shards, all corpora of one domain.
        out: Existing folder, filled here.
        config: Budget and seed.
        members: Corpus name -> folder of its cluster members; None: nothing was deduplicated.
        made_from: Name -> version of what is read, for the summary; None: nothing to say.

    Raises:
        DomainTooSmall: The domain has fewer than two documents, or its smallest group holds more
            than half of the documents.
        BadDocuments: A table is missing, damaged, lacks a column, or holds metadata that is not a
            JSON object.
    """
    copies = {name: read_members(folder) for name, folder in (members or {}).items()}
    groups = _find_groups(cleaned, copies)
    chosen, passed_over = _choose(groups, config, cleaned)
    table = _collect(cleaned, {member for group in chosen for member in group.members}, copies)
    table.write_parquet(out / DOCUMENTS, compression="zstd")
    num_chars = sum(group.num_chars for group in chosen)
    domain_chars = sum(group.num_chars for group in groups)
    summary = HeldoutSummary(
        num_documents=table.height,
        num_groups=len(chosen),
        num_chars=num_chars,
        num_bytes=int(table["num_bytes"].sum()),
        share=num_chars / domain_chars,
        domain_documents=sum(len(group.members) for group in groups),
        domain_groups=len(groups),
        domain_chars=domain_chars,
        passed_over=passed_over,
        made_from=dict(made_from or {}),
    )
    assert summary.num_documents == sum(len(group.members) for group in chosen)
    (out / SUMMARY).write_text(json.dumps(asdict(summary), sort_keys=True, indent=1) + "\n")
    return summary


def _choose(
    groups: Sequence[_Group], config: HeldoutConfig, cleaned: Mapping[str, Path]
) -> tuple[list[_Group], int]:
    """Take groups by rank; also count those passed over."""
    num_documents = sum(len(group.members) for group in groups)
    budget = config.share * sum(group.num_chars for group in groups)
    if config.max_chars is not None:
        budget = min(budget, config.max_chars)
    most_documents = _MAX_DOCUMENT_SHARE * num_documents
    chosen: list[_Group] = []
    chars = documents = passed_over = 0
    for group in sorted(groups, key=lambda group: _rank(group.name, config.seed)):
        if chosen and chars >= budget:
            break
        fits_budget = chars + group.num_chars <= _MAX_OVERSHOOT * budget
        too_many = documents + len(group.members) > most_documents
        if not fits_budget or too_many or group.is_shared:
            passed_over += 1
            continue
        chosen.append(group)
        chars += group.num_chars
        documents += len(group.members)
    if not chosen:
        chosen = _smallest(groups, most_documents, cleaned)
    return chosen, passed_over


def _smallest(
    groups: Sequence[_Group], most_documents: float, cleaned: Mapping[str, Path]
) -> list[_Group]:
    candidates = [
        group for group in groups if len(group.members) <= most_documents and not group.is_shared
    ]
    if not candidates:
        folders = ", ".join(str(folder / DOCUMENTS) for folder in cleaned.values())
        raise DomainTooSmall(
            f"{folders}: the domain has {sum(len(g.members) for g in groups)} documents in "
            f"{len(groups)} groups of copies and source files, and no group leaves at least half "
            "of the documents for training; add documents to the domain, or split its files at "
            "natural borders into several groups"
        )
    return [min(candidates, key=lambda group: (group.num_chars, group.name))]


def _rank(name: str, seed: int) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=16, key=seed.to_bytes(8, "little")).digest()


def _find_groups(cleaned: Mapping[str, Path], copies: Mapping[str, Members]) -> list[_Group]:
    """Connected components of documents under shared hash, cluster and source file."""
    forest = _Forest()
    shared: set[tuple[str, ...]] = set()
    chars: dict[tuple[str, str], int] = {}
    for corpus in sorted(cleaned):
        for batch in read_batches(cleaned[corpus], _COLUMNS):
            lengths = batch["text"].str.len_chars()
            for row, num_chars in zip(batch.iter_rows(named=True), lengths, strict=True):
                document = (corpus, row["id"])
                cluster = None
                if corpus in copies:
                    if row["id"] in copies[corpus].removed:
                        continue
                    cluster = copies[corpus].clusters.get(row["id"])
                chars[document] = num_chars
                group = _source_group(row["metadata"], cleaned[corpus], row["id"])
                forest.join(("document", *document), ("hash", row["text_hash"]))
                if group is not None:
                    forest.join(("document", *document), ("group", corpus, group))
                if cluster is not None:
                    forest.join(("document", *document), ("cluster", cluster))
                    if copies[corpus].kept_in[cluster] - cleaned.keys():
                        shared.add(("document", *document))
    shared_roots = {forest.root(name) for name in shared}
    members: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for document in chars:
        members.setdefault(forest.root(("document", *document)), []).append(document)
    return [
        _Group(
            name="\x00".join(min(documents)),
            members=tuple(documents),
            num_chars=sum(chars[document] for document in documents),
            is_shared=root in shared_roots,
        )
        for root, documents in members.items()
    ]


class _Forest:
    """Disjoint sets of names."""

    def __init__(self) -> None:
        self._parent: dict[tuple[str, ...], tuple[str, ...]] = {}

    def root(self, name: tuple[str, ...]) -> tuple[str, ...]:
        """Representative of the set of a name, shortening the way to it."""
        parent = self._parent.setdefault(name, name)
        while parent != name:
            grandparent = self._parent[parent]
            self._parent[name] = grandparent
            name, parent = parent, grandparent
        return name

    def join(self, one: tuple[str, ...], other: tuple[str, ...]) -> None:
        """Unite two sets; the smaller root stays, so the order of calls does not matter."""
        low, high = sorted((self.root(one), self.root(other)))
        self._parent[high] = low


def _source_group(metadata: str | None, folder: Path, document_id: str) -> str | None:
    """Value of `group` in the metadata, None if there is none."""
    if not metadata:
        return None
    try:
        content = json.loads(metadata)
    except json.JSONDecodeError as error:
        raise BadDocuments(
            f"{folder / DOCUMENTS}: metadata of document {document_id!r} is not JSON ({error}); "
            "write it as a JSON object where the corpus is read"
        ) from error
    if not isinstance(content, dict):
        raise BadDocuments(
            f"{folder / DOCUMENTS}: metadata of document {document_id!r} is {content!r}, not a "
            "JSON object; write it as one where the corpus is read"
        )
    group = content.get("group")
    return None if group is None else str(group)


def _collect(
    cleaned: Mapping[str, Path], chosen: set[tuple[str, str]], copies: Mapping[str, Members]
) -> pl.DataFrame:
    """Read the chosen documents, by corpus name and then in document order."""
    parts = [pl.DataFrame(schema=SCHEMA)]
    for corpus in sorted(cleaned):
        ids = [document_id for name, document_id in chosen if name == corpus]
        clusters = copies[corpus].clusters if corpus in copies else {}
        cluster_of = {name: clusters[name] for name in ids if name in clusters}
        for batch in read_batches(cleaned[corpus], ("id", "text", "text_hash")):
            parts.append(
                batch.filter(pl.col("id").is_in(ids))
                .with_columns(
                    corpus=pl.lit(corpus),
                    num_bytes=pl.col("text").str.len_bytes().cast(pl.Int64),
                    cluster=pl.col("id").replace_strict(
                        cluster_of, default=None, return_dtype=pl.String
                    ),
                )
                .select(list(SCHEMA))
            )
    return pl.concat(parts)
