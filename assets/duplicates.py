"""Group preparation: copies within and across corpora, found without reading a text twice.

Adding or changing one corpus makes the fingerprints of that corpus only. The clusters of all are
found from fingerprints, in seconds; then each corpus gets its part of them, and what reads a corpus
depends on that part alone, so that a change elsewhere leaves it fresh.
"""

import dagster as dg
import polars as pl

from assets.automation import refresh_on_change
from assets.gates import GateOverride, require_gates
from assets.lake import Artifact, Lake, publishing, write_json
from assets.partitions import CATALOGUE, OWNERS, PRESET, corpus_partitions, settings_of
from assets.pictures import picture
from assets.plots import plot_dropped
from assets.preparation import GROUP, cleaned_shards
from assets.presets import config_digest
from assets.tables import table_metadata
from quality.dedup.clusters import find_clusters
from quality.dedup.corpus_fingerprints import fingerprint_corpus
from quality.dedup.fingerprints import read_fingerprints
from quality.dedup.members import CLUSTERS, write_members
from quality.dedup.members import SUMMARY as MEMBER_SUMMARY

SOURCES = "sources.json"
"""In the clusters: corpus -> version of its cleaned shards, and its number of documents."""


@dg.asset(
    group_name=GROUP,
    partitions_def=corpus_partitions,
    deps=[cleaned_shards],
    kinds={"numba", "parquet"},
    owners=OWNERS,
    code_version=f"1-{config_digest(PRESET.deduplication.minhash)}",
    automation_condition=refresh_on_change(),
)
def fingerprints(
    context: dg.AssetExecutionContext, config: GateOverride, lake: Lake
) -> dg.MaterializeResult[None]:
    """Exact hash, MinHash bands and a sketch of each document of one corpus."""
    cleaned = lake.artifact("cleaned_shards", context.partition_key)
    clearance = require_gates(context, lake, cleaned, overrides=config)
    with publishing(context, lake, inputs=[cleaned]) as draft:
        counts = fingerprint_corpus(cleaned.folder, draft.folder, PRESET.deduplication.minhash)
        source = {"cleaned_version": cleaned.data_version, "num_documents": counts["documents"]}
        write_json(draft.folder / SOURCES, {context.partition_key: source})
    shown = pl.DataFrame({"what": list(counts), "number": list(counts.values())})
    return draft.result(
        {
            **clearance.metadata(),
            "dagster/row_count": counts["documents"],
            "fingerprinted": table_metadata(shown),
        }
    )


@dg.asset(
    group_name=GROUP,
    deps=[dg.AssetDep(fingerprints, partition_mapping=dg.AllPartitionMapping())],
    kinds={"numba", "polars"},
    owners=OWNERS,
    code_version=f"2-{config_digest(PRESET.deduplication)}",
    automation_condition=refresh_on_change(),
)
def duplicate_clusters(context: dg.AssetExecutionContext, lake: Lake) -> dg.MaterializeResult[None]:
    """Documents of all corpora that are copies of each other, and which of them stay."""
    prints = {name: lake.artifact("fingerprints", name) for name in CATALOGUE}
    settings = settings_of("duplicate_clusters", None)
    with publishing(context, lake, inputs=list(prints.values()), settings=settings) as draft:
        clusters = find_clusters(
            {name: read_fingerprints(artifact.folder) for name, artifact in prints.items()},
            PRESET.deduplication,
            order=list(CATALOGUE),
        )
        clusters.write_parquet(draft.folder / CLUSTERS, compression="zstd")
        sources = {name: artifact.json(SOURCES)[name] for name, artifact in prints.items()}
        write_json(draft.folder / SOURCES, sources)
    removed = clusters.filter(pl.col("kind") != "kept")
    across = removed.filter(pl.col("corpus") != pl.col("kept_corpus"))
    table = removed.group_by("corpus", "kept_corpus", "kind").len("documents")
    return draft.result(
        {
            "dagster/row_count": clusters.height,
            "clusters": clusters["cluster"].n_unique(),
            "removed": removed.height,
            "removed_across_corpora": across.height,
            "copies": table_metadata(table.sort("documents", "corpus", descending=True).head(50)),
        }
    )


@dg.asset(
    group_name=GROUP,
    partitions_def=corpus_partitions,
    deps=[duplicate_clusters],
    kinds={"polars"},
    owners=OWNERS,
    code_version="1",
    automation_condition=refresh_on_change(),
)
def cluster_members(context: dg.AssetExecutionContext, lake: Lake) -> dg.MaterializeResult[None]:
    """Documents of one corpus that have copies anywhere: which of them stay, which go and why."""
    corpus = context.partition_key
    clusters = lake.artifact("duplicate_clusters")
    source = clusters.json(SOURCES)[corpus]
    assert isinstance(source, dict)
    with publishing(context, lake, inputs=[clusters]) as draft:
        summary = write_members(
            pl.read_parquet(clusters.folder / CLUSTERS), corpus, draft.folder, **source
        )
    removed = dict(summary.removed)
    num_kept = summary.num_documents - sum(removed.values())
    return draft.result(
        {
            "dagster/row_count": summary.in_clusters,
            "removed": sum(removed.values()),
            "kept_share": round(num_kept / max(summary.num_documents, 1), 4),
            "picture": picture(
                plot_dropped(summary.num_documents, num_kept, list(removed.items()))
            ),
        }
    )


def members_of(lake: Lake, cleaned: Artifact) -> Artifact:
    """Return what deduplication says about exactly this version of cleaned shards.

    Raises:
        dg.Failure: It was said about another version; a retry would not help.
    """
    members = lake.artifact("cluster_members", cleaned.partition)
    compared = members.json(MEMBER_SUMMARY)["cleaned_version"]
    if compared != cleaned.data_version:
        raise dg.Failure(
            f"{members.name} is about version {compared} of {cleaned.name}, which is now "
            f"{cleaned.data_version}: materialise fingerprints[{cleaned.partition}], "
            f"duplicate_clusters and {members.name} again",
            allow_retries=False,
        )
    return members
