"""Group corpora: documents as they came, and what they look like."""

import dagster as dg
import polars as pl

from assets.automation import refresh_on_change
from assets.lake import Lake, publishing
from assets.partitions import CATALOGUE, OWNERS, corpus_partitions, settings_of
from assets.pictures import picture
from assets.plots import plot_histograms
from assets.tables import table_metadata
from quality.corpus_profile import profile_corpus, write_profile
from quality.raw_corpus import write_raw_corpus

GROUP = "corpora"


@dg.asset(
    group_name=GROUP,
    partitions_def=corpus_partitions,
    kinds={"parquet"},
    owners=OWNERS,
    code_version="1",
)
def raw_corpora(context: dg.AssetExecutionContext, lake: Lake) -> dg.MaterializeResult[None]:
    """Documents of one origin as Parquet; what could not be read is kept beside them."""
    corpus = CATALOGUE[context.partition_key]
    settings = settings_of("raw_corpora", corpus.name)
    with publishing(context, lake, inputs=[], settings=settings) as draft:
        summary = write_raw_corpus(corpus, draft.folder, cache=lake.downloads)
    return draft.result(
        {
            "dagster/row_count": summary.num_documents,
            "unreadable": summary.num_unreadable,
            "megabytes": round(summary.num_bytes / 1e6, 3),
            "domain": corpus.domain,
            "licence": corpus.licence,
        }
    )


@dg.asset(
    group_name=GROUP,
    partitions_def=corpus_partitions,
    deps=[raw_corpora],
    kinds={"polars"},
    owners=OWNERS,
    code_version="1",
    automation_condition=refresh_on_change(behind_gates=False),
)
def corpus_profiles(context: dg.AssetExecutionContext, lake: Lake) -> dg.MaterializeResult[None]:
    """Counts, lengths, languages and defects of one corpus, also of one that failed its gate."""
    raw = lake.artifact("raw_corpora", context.partition_key)
    with publishing(context, lake, inputs=[raw]) as draft:
        profile = profile_corpus(raw.folder)
        write_profile(profile, draft.folder)

    languages = pl.DataFrame(
        [
            {"language": name, "documents": share.num_documents, "characters": share.num_chars}
            for name, share in profile.languages.items()
        ]
    )
    return draft.result(
        {
            "dagster/row_count": profile.num_documents,
            "megabytes": round(profile.num_bytes / 1e6, 3),
            "estimated_tokens": profile.estimated_tokens,
            "exact_copies": profile.num_exact_copies,
            "unreadable": sum(profile.unreadable.values()),
            "length_quantiles_chars": dg.MetadataValue.json(profile.length_quantiles_chars),
            "languages": table_metadata(languages.head(20)),
            "picture": picture(
                plot_histograms(
                    profile.length_histogram_edges_chars,
                    profile.length_histogram_documents,
                    {name: share.num_documents for name, share in profile.languages.items()},
                )
            ),
        }
    )
