"""Group preparation: documents fit for training, and those set aside to measure with."""

import dagster as dg
import polars as pl

from assets.automation import refresh_on_change
from assets.corpora import raw_corpora
from assets.gates import GateOverride, require_gates
from assets.lake import Lake, publishing
from assets.partitions import (
    CATALOGUE,
    OWNERS,
    PRESET,
    corpora_of,
    corpus_partitions,
    corpus_to_domain,
    domain_partitions,
    settings_of,
)
from assets.pictures import picture
from assets.plots import plot_cleaning
from assets.presets import config_digest
from assets.tables import table_metadata
from quality.cleaning import clean_corpus
from quality.cleaning_profiles import find_profile
from quality.heldout import choose_heldout

GROUP = "preparation"


@dg.asset(
    group_name=GROUP,
    partitions_def=corpus_partitions,
    deps=[raw_corpora],
    kinds={"polars", "parquet"},
    owners=OWNERS,
    code_version="2",
    automation_condition=refresh_on_change(),
)
def cleaned_shards(
    context: dg.AssetExecutionContext, config: GateOverride, lake: Lake
) -> dg.MaterializeResult[None]:
    """Kept documents of one corpus, and every dropped one with operator and reason."""
    corpus = CATALOGUE[context.partition_key]
    raw = lake.artifact("raw_corpora", corpus.name)
    clearance = require_gates(context, lake, raw, overrides=config)
    settings = settings_of("cleaned_shards", corpus.name)
    with publishing(context, lake, inputs=[raw], settings=settings) as draft:
        summary = clean_corpus(raw.folder, draft.folder, find_profile(corpus.cleaning))
    rejected = pl.DataFrame(
        [(row.operator, row.reason, row.num_documents) for row in summary.rejected],
        schema={"operator": pl.String, "reason": pl.String, "documents": pl.Int64},
        orient="row",
    )
    return draft.result(
        {
            **clearance.metadata(),
            "dagster/row_count": summary.kept,
            "raw": summary.raw,
            "kept_share": round(summary.kept / max(summary.raw, 1), 4),
            "cleaning": corpus.cleaning,
            "dropped": table_metadata(rejected),
            "picture": picture(plot_cleaning(summary)),
        }
    )


@dg.asset(
    group_name=GROUP,
    partitions_def=domain_partitions,
    deps=[dg.AssetDep(cleaned_shards, partition_mapping=corpus_to_domain)],
    kinds={"parquet"},
    owners=OWNERS,
    code_version=f"1-{config_digest(PRESET.heldout)}",
    automation_condition=refresh_on_change(),
)
def heldout_sets(
    context: dg.AssetExecutionContext, config: GateOverride, lake: Lake
) -> dg.MaterializeResult[None]:
    """Documents of one domain that no run ever trains on."""
    domain = context.partition_key
    cleaned = [lake.artifact("cleaned_shards", name) for name in corpora_of(domain)]
    clearance = require_gates(context, lake, *cleaned, overrides=config)
    folders = {str(artifact.partition): artifact.folder for artifact in cleaned}
    settings = settings_of("heldout_sets", domain)
    with publishing(context, lake, inputs=cleaned, settings=settings) as draft:
        summary = choose_heldout(folders, draft.folder, PRESET.heldout)
    return draft.result(
        {
            **clearance.metadata(),
            "dagster/row_count": summary.num_documents,
            "characters": summary.num_chars,
            "groups": summary.num_groups,
        }
    )
