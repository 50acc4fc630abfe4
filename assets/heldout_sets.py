"""Group preparation: documents set aside to measure with."""

import dagster as dg

from assets.automation import refresh_on_change
from assets.duplicates import cluster_members, members_of
from assets.gates import GateOverride, require_gates
from assets.lake import Lake, by_partition, publishing
from assets.partitions import (
    OWNERS,
    PRESET,
    corpora_of,
    corpus_domain_partitions,
    corpus_to_domain,
    settings_of,
)
from assets.preparation import GROUP, cleaned_shards
from assets.presets import config_digest
from quality.heldout import choose_heldout


@dg.asset(
    group_name=GROUP,
    partitions_def=corpus_domain_partitions,
    deps=[
        dg.AssetDep(cleaned_shards, partition_mapping=corpus_to_domain),
        dg.AssetDep(cluster_members, partition_mapping=corpus_to_domain),
    ],
    kinds={"parquet"},
    owners=OWNERS,
    code_version=f"3-{config_digest(PRESET.heldout)}",
    automation_condition=refresh_on_change(follows=("cluster_members",)),
)
def heldout_sets(
    context: dg.AssetExecutionContext, config: GateOverride, lake: Lake
) -> dg.MaterializeResult[None]:
    """Documents of one domain that no run ever trains on."""
    domain = context.partition_key
    cleaned = [lake.artifact("cleaned_shards", name) for name in corpora_of(domain)]
    clearance = require_gates(context, lake, *cleaned, overrides=config)
    members = [members_of(lake, artifact) for artifact in cleaned]
    settings = settings_of("heldout_sets", domain)
    inputs = [*cleaned, *members]
    with publishing(context, lake, inputs=inputs, settings=settings) as draft:
        summary = choose_heldout(
            by_partition(cleaned),
            draft.folder,
            PRESET.heldout,
            members=by_partition(members),
            made_from={artifact.name: artifact.data_version for artifact in inputs},
        )
    return draft.result(
        {
            **clearance.metadata(),
            "dagster/row_count": summary.num_documents,
            "characters": summary.num_chars,
            "groups": summary.num_groups,
        }
    )
