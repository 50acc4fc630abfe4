"""Group skills: the tokenizer and each domain's tokens."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import dagster as dg
import polars as pl

from assets.automation import refresh_on_change
from assets.domain_text import read_domain_text
from assets.duplicates import cluster_members, members_of
from assets.freshness import REFRESH_TAG
from assets.gates import GateOverride, require_gates
from assets.heldout_sets import heldout_sets
from assets.lake import Artifact, Lake, by_partition, publishing
from assets.leaks import contaminated_documents, contamination_of
from assets.partitions import (
    CATALOGUE,
    CORPUS_DOMAINS,
    DOMAINS,
    OWNERS,
    PRESET,
    corpora_of,
    corpus_to_training_domain,
    domain_partitions,
    heldout_to_training_domain,
    settings_of,
)
from assets.pictures import picture
from assets.plots import plot_tokens
from assets.preparation import cleaned_shards
from assets.presets import config_digest
from assets.tables import table_metadata
from quality.suites.whole_corpus import write_shard_profile
from quality.training_text import iterate_training_documents
from training.shard_format import read_manifest

if TYPE_CHECKING:
    from training.shard_format import ShardManifest
    from training.shard_writer import EncodedDocuments

T = TypeVar("T")
GROUP = "skills"
ENCODE_BATCH = 256
"""Documents encoded at a time."""
PINNED = {REFRESH_TAG: "pinned"}
"""Tag of an asset that new content alone does not make stale: re-making it is a decision."""


@dg.asset(
    group_name=GROUP,
    deps=[cleaned_shards, cluster_members, heldout_sets, contaminated_documents],
    kinds={"tokenizers"},
    owners=OWNERS,
    tags=PINNED,
    code_version=f"2-{config_digest(PRESET.tokenizer)}",
)
def tokenizer(
    context: dg.AssetExecutionContext, config: GateOverride, lake: Lake
) -> dg.MaterializeResult[None]:
    """Byte-level BPE learnt from training text; pinned, for another one voids all token counts."""
    from training.tokenizer import save_tokenizer, train_tokenizer

    cleaned = [lake.artifact("cleaned_shards", name) for name in CATALOGUE]
    heldout = [lake.artifact("heldout_sets", domain) for domain in CORPUS_DOMAINS]
    reports = [contamination_of(lake, artifact) for artifact in cleaned]
    clearance = require_gates(context, lake, *cleaned, *reports, overrides=config)
    members = [members_of(lake, artifact) for artifact in cleaned]
    with publishing(context, lake, inputs=[*cleaned, *members, *reports, *heldout]) as draft:
        texts = _tokenizer_sample(cleaned, members, reports, heldout)
        trained = train_tokenizer(texts, vocab_size=PRESET.tokenizer.vocab_size)
        save_tokenizer(trained, draft.folder)
    assert draft.artifact is not None
    return draft.result({**clearance.metadata(), "vocab_size": trained.get_vocab_size()})


def _tokenizer_sample(
    cleaned: list[Artifact],
    members: list[Artifact],
    reports: list[Artifact],
    heldout: list[Artifact],
) -> Iterator[str]:
    """Training text up to an equal number of characters from the corpora of each domain."""
    budget = PRESET.tokenizer.sample_chars // len(CORPUS_DOMAINS)
    copies, leaks = by_partition(members), by_partition(reports)
    for aside in heldout:
        mine = corpora_of(str(aside.partition))
        folders = by_partition([artifact for artifact in cleaned if artifact.partition in mine])
        taken = 0
        for _, text in iterate_training_documents(
            folders, [aside.folder], members=copies, contaminated=leaks
        ):
            yield text
            taken += len(text)
            if taken >= budget:
                break


def _labels() -> list[dg.AssetDep]:
    """What a cut or a filter of the preset reads beside the corpora."""
    cut, score = PRESET.domains, PRESET.score
    names = ["skill_tags"] if cut is not None and cut.skills is not None else []
    if score is not None and (score.keep_share < 1 or (cut is not None and cut.strata is not None)):
        names.append("quality_scores")
    return [dg.AssetDep(name, partition_mapping=corpus_to_training_domain) for name in names]


LABELS = _labels()


@dg.asset(
    group_name=GROUP,
    partitions_def=domain_partitions,
    deps=[
        dg.AssetDep(cleaned_shards, partition_mapping=corpus_to_training_domain),
        dg.AssetDep(cluster_members, partition_mapping=corpus_to_training_domain),
        dg.AssetDep(heldout_sets, partition_mapping=heldout_to_training_domain),
        dg.AssetDep(contaminated_documents, partition_mapping=corpus_to_training_domain),
        tokenizer,
        *LABELS,
    ],
    kinds={"numpy"},
    owners=OWNERS,
    code_version="3",
    automation_condition=refresh_on_change(
        follows=(
            *("contaminated_documents", "tokenizer"),
            *(dep.asset_key.to_user_string() for dep in LABELS),
        )
    ),
)
def token_shards(
    context: dg.AssetExecutionContext, config: GateOverride, lake: Lake
) -> dg.MaterializeResult[None]:
    """Memory-mapped tokens of one domain: for training, and held out."""
    domain = context.partition_key
    text = read_domain_text(lake, domain)
    chosen = lake.artifact("tokenizer")
    clearance = require_gates(context, lake, *text.judged, overrides=config)
    settings = settings_of("token_shards", domain)
    with publishing(context, lake, inputs=[*text.inputs, chosen], settings=settings) as draft:
        train = _write_tokens(text.training(), draft.folder / "train", chosen)
        held = _write_tokens(text.held_out(), draft.folder / "heldout", chosen)
        text.write_facts(draft.folder)
    return draft.result(
        {
            **clearance.metadata(),
            "train_tokens": train.num_tokens,
            "heldout_tokens": held.num_tokens,
            "dagster/row_count": train.num_documents,
            "bytes_per_token": round(train.num_bytes / max(train.num_tokens, 1), 3),
            **({"cut": dg.MetadataValue.json(dict(text.facts))} if text.facts else {}),
        }
    )


@dg.asset(
    group_name=GROUP,
    deps=[
        dg.AssetDep(token_shards, partition_mapping=dg.AllPartitionMapping()),
        dg.AssetDep(heldout_sets, partition_mapping=dg.AllPartitionMapping()),
        dg.AssetDep(cleaned_shards, partition_mapping=dg.AllPartitionMapping()),
        dg.AssetDep(cluster_members, partition_mapping=dg.AllPartitionMapping()),
    ],
    kinds={"polars"},
    owners=OWNERS,
    code_version=f"3-{config_digest(PRESET.contamination)}",
    automation_condition=refresh_on_change(follows=("token_shards",)),
)
def shard_profile(context: dg.AssetExecutionContext, lake: Lake) -> dg.MaterializeResult[None]:
    """One row per domain and shard: the table behind claims about the whole corpus."""
    shards = {domain: lake.artifact("token_shards", domain) for domain in DOMAINS}
    heldout = {domain: lake.artifact("heldout_sets", domain) for domain in CORPUS_DOMAINS}
    cleaned = {name: lake.artifact("cleaned_shards", name) for name in CATALOGUE}
    members = {name: members_of(lake, artifact) for name, artifact in cleaned.items()}
    inputs = [*shards.values(), *heldout.values(), *cleaned.values(), *members.values()]
    with publishing(context, lake, inputs=inputs) as draft:
        profile = write_shard_profile(
            token_shards=_folders(shards),
            heldout_sets=_folders(heldout),
            cleaned_shards=_folders(cleaned),
            cluster_members=_folders(members),
            out=draft.folder,
            contamination=PRESET.contamination,
        )
    by_domain = profile.group_by("domain", maintain_order=True).agg(pl.col("num_tokens").sum())
    heldout_tokens = {
        domain: read_manifest(artifact.folder / "heldout").num_tokens
        for domain, artifact in shards.items()
    }
    return draft.result(
        {
            "dagster/row_count": profile.height,
            "profile": table_metadata(profile),
            "picture": picture(plot_tokens(dict(by_domain.iter_rows()), heldout_tokens)),
        }
    )


def _folders(artifacts: Mapping[str, Artifact]) -> dict[str, Path]:
    return {name: artifact.folder for name, artifact in artifacts.items()}


def _write_tokens(
    documents: Iterator[tuple[str, str]], out: Path, tokenizer: Artifact
) -> "ShardManifest":
    """Encode documents in batches and write one shard folder."""
    from training.shard_writer import EncodedDocuments, write_encoded
    from training.text_encoding import large_strings
    from training.tokenizer import Encoder, tokenizer_digest

    encoder = Encoder(tokenizer.folder)

    def encoded() -> "Iterator[EncodedDocuments]":
        for batch in batched(documents, ENCODE_BATCH):
            found = encoder.encode_texts(large_strings([text for _, text in batch]))
            yield EncodedDocuments(
                ids=[name for name, _ in batch],
                num_bytes=found.num_bytes,
                tokens=found.tokens,
                ends=found.ends,
            )

    out.mkdir()
    return write_encoded(
        encoded(),
        out,
        vocab_size=encoder.vocab_size,
        eos_id=encoder.eos_id,
        tokenizer_digest=tokenizer_digest(tokenizer.folder),
    )


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of up to `size` items (itertools.batched needs Python 3.12)."""
    stream = iter(items)
    while batch := list(islice(stream, size)):
        yield batch
