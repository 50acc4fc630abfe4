"""Group preparation: training documents that hold what models are measured with.

Every report is made anew when any held-out set changes, which takes a fraction of a second. It has
another content where something is found, and in the corpora of that set's domain; what follows
re-runs only there.
"""

import dagster as dg
import polars as pl

from assets.automation import refresh_on_change
from assets.duplicates import cluster_members, members_of
from assets.gates import GateOverride, require_gates
from assets.heldout_sets import heldout_sets
from assets.lake import Artifact, Lake, by_partition, publishing
from assets.partitions import (
    CATALOGUE,
    CORPUS_DOMAINS,
    OWNERS,
    PRESET,
    corpus_partitions,
    settings_of,
)
from assets.pictures import picture
from assets.plots import plot_dropped
from assets.preparation import GROUP, cleaned_shards
from assets.presets import config_digest
from assets.tables import table_metadata
from quality.contamination import (
    EVALUATIONS_FILE,
    MATCHES_FILE,
    SUMMARY,
    LeakSearch,
    report_contamination,
)
from quality.training_text import iterate_training_documents

SHOWN = 20
"""Rows of the report in the interface: the largest overlaps."""


@dg.asset(
    group_name=GROUP,
    partitions_def=corpus_partitions,
    deps=[
        cleaned_shards,
        cluster_members,
        dg.AssetDep(heldout_sets, partition_mapping=dg.AllPartitionMapping()),
    ],
    kinds={"numba", "parquet"},
    owners=OWNERS,
    code_version=f"1-{config_digest(PRESET.contamination)}",
    automation_condition=refresh_on_change(follows=("heldout_sets",)),
)
def contaminated_documents(
    context: dg.AssetExecutionContext, config: GateOverride, lake: Lake
) -> dg.MaterializeResult[None]:
    """Overlaps of one corpus's training text with all that models are measured with; what leaks."""
    corpus = CATALOGUE[context.partition_key]
    cleaned = lake.artifact("cleaned_shards", corpus.name)
    clearance = require_gates(context, lake, cleaned, overrides=config)
    members = members_of(lake, cleaned)
    heldout = {domain: lake.artifact("heldout_sets", domain) for domain in CORPUS_DOMAINS}
    settings = settings_of("contaminated_documents", corpus.name)
    inputs = [cleaned, members, *heldout.values()]
    with publishing(context, lake, inputs=inputs, settings=settings) as draft:
        documents = iterate_training_documents(
            by_partition([cleaned]),
            [heldout[corpus.domain].folder],
            members=by_partition([members]),
        )
        summary = report_contamination(
            documents,
            LeakSearch(by_partition(list(heldout.values())), PRESET.contamination),
            draft.folder,
            cleaned_version=cleaned.data_version,
            heldout_version=heldout[corpus.domain].data_version,
        )
    assert draft.artifact is not None
    matches = pl.read_parquet(draft.artifact.folder / MATCHES_FILE)
    evaluations = pl.read_parquet(draft.artifact.folder / EVALUATIONS_FILE)
    sound = summary.num_documents - summary.contaminated
    shares_text = summary.overlapping - summary.contaminated
    return draft.result(
        {
            **clearance.metadata(),
            "dagster/row_count": matches.height,
            "documents": summary.num_documents,
            "overlapping": summary.overlapping,
            "contaminated": summary.contaminated,
            "contaminated_characters_share": summary.contaminated_chars / max(summary.num_chars, 1),
            "evaluations": table_metadata(evaluations),
            "largest_overlaps": table_metadata(
                matches.sort("overlap", "id", descending=[True, False]).head(SHOWN)
            ),
            "picture": picture(
                plot_dropped(
                    summary.num_documents,
                    sound,
                    [("contaminated", summary.contaminated)] if summary.contaminated else [],
                )
            ),
            "kept_though_it_shares_text": shares_text,
        }
    )


def contamination_of(lake: Lake, cleaned: Artifact) -> Artifact:
    """Return the report on exactly this version of cleaned shards and the current held-out sets.

    Raises:
        dg.Failure: The report is about another version of one of them; a retry would not help.
    """
    report = lake.artifact("contaminated_documents", cleaned.partition)
    searched = report.json(SUMMARY)["cleaned_version"]
    looked_for = report.manifest["inputs"]
    assert isinstance(looked_for, dict), f"{report.name}: the manifest lists no inputs"
    current = [lake.artifact("heldout_sets", domain) for domain in CORPUS_DOMAINS]
    changed = [one.name for one in current if looked_for.get(one.name) != one.data_version]
    if searched != cleaned.data_version:
        changed.insert(0, cleaned.name)
    if changed:
        raise dg.Failure(
            f"{report.name} is about another version of {', '.join(changed)}: materialise "
            f"{report.name} again",
            allow_retries=False,
        )
    return report
