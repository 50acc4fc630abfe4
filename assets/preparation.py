"""Group preparation: documents fit for training."""

import dagster as dg
import polars as pl

from assets.automation import refresh_on_change
from assets.corpora import raw_corpora
from assets.gates import GateOverride, require_gates
from assets.lake import Lake, publishing
from assets.partitions import CATALOGUE, OWNERS, corpus_partitions, settings_of
from assets.pictures import picture
from assets.plots import plot_cleaning
from assets.tables import table_metadata
from quality.cleaning import clean_corpus
from quality.cleaning_profiles import find_profile

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
