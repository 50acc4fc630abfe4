"""Group skills: how much each document resembles what the preset calls good text.

Loaded where the preset has a `score` section. The model is pinned like the tokenizer: a document
more or less does not make another measure.
"""

import dagster as dg
import polars as pl

from assets.automation import refresh_on_change
from assets.freshness import REFRESH_TAG
from assets.gates import GateOverride, require_gates
from assets.lake import Lake, publishing
from assets.partitions import CATALOGUE, OWNERS, PRESET, corpus_partitions, settings_of
from assets.pictures import picture
from assets.plots import plot_scores
from assets.preparation import cleaned_shards
from assets.presets import config_digest
from assets.tables import table_metadata
from assets.training_sample import READS, read_sample
from quality.corpus_scores import SCORES_FILE, CrossFittedScore, fit_score, write_scores
from quality.quality_score import SCORE

GROUP = "skills"
CHOICE = PRESET.score


def _background() -> list[str]:
    assert CHOICE is not None
    others = [name for name in CATALOGUE if name not in CHOICE.reference]
    return list(CHOICE.background) or others


@dg.asset(
    group_name=GROUP,
    deps=[dg.AssetDep(asset, partition_mapping=dg.AllPartitionMapping()) for asset in READS],
    kinds={"scikitlearn"},
    owners=OWNERS,
    tags={REFRESH_TAG: "pinned"},
    code_version="1-"
    + config_digest(CHOICE and [CHOICE.reference, CHOICE.background, CHOICE.fit_rows, CHOICE.c]),
)
def quality_model(
    context: dg.AssetExecutionContext, config: GateOverride, lake: Lake
) -> dg.MaterializeResult[None]:
    """The score that tells the preset's reference from its background, and what it is worth."""
    assert CHOICE is not None
    background = _background()
    corpora = [name for name in CATALOGUE if name in (*CHOICE.reference, *background)]
    sample = read_sample(context, lake, config, corpora=corpora, rows=CHOICE.fit_rows)
    sides = [
        sample.documents.filter(pl.col("corpus").is_in(names))["text"].to_list()
        for names in (list(CHOICE.reference), background)
    ]
    with publishing(context, lake, inputs=sample.inputs) as draft:
        try:
            score = fit_score(*sides, c=CHOICE.c)
        except ValueError as error:
            raise dg.Failure(f"no quality score: {error}", allow_retries=False) from error
        score.save(draft.folder)
    worth = score.separation
    return draft.result(
        {
            **sample.clearance.metadata(),
            "auc": worth.auc,
            "reference": ", ".join(CHOICE.reference),
            "background": ", ".join(background),
            "reference_documents": len(sides[0]),
            "background_documents": len(sides[1]),
            "measured_on": worth.num_reference + worth.num_background,
        }
    )


@dg.asset(
    group_name=GROUP,
    partitions_def=corpus_partitions,
    deps=[cleaned_shards, quality_model],
    kinds={"polars", "parquet"},
    owners=OWNERS,
    code_version="1",
    automation_condition=refresh_on_change(),
)
def quality_scores(
    context: dg.AssetExecutionContext, config: GateOverride, lake: Lake
) -> dg.MaterializeResult[None]:
    """Quality score of each document of one corpus, by a model that has not seen it."""
    corpus = context.partition_key
    cleaned = lake.artifact("cleaned_shards", corpus)
    model = lake.artifact("quality_model")
    clearance = require_gates(context, lake, cleaned, overrides=config)
    settings = settings_of("quality_scores", corpus)
    with publishing(context, lake, inputs=[cleaned, model], settings=settings) as draft:
        summary = write_scores(
            cleaned.folder,
            CrossFittedScore.load(model.folder),
            draft.folder,
            cleaned_version=cleaned.data_version,
        )
    assert draft.artifact is not None
    scores = pl.read_parquet(draft.artifact.folder / SCORES_FILE)[SCORE]
    quantiles = pl.DataFrame(
        {"percent": list(summary.quantiles), SCORE: list(summary.quantiles.values())},
        schema={"percent": pl.String, SCORE: pl.Float64},
    )
    return draft.result(
        {
            **clearance.metadata(),
            "dagster/row_count": summary.num_documents,
            "auc": summary.auc,
            "median_score": summary.quantiles.get("50", 0.0),
            "quantiles": table_metadata(quantiles),
            "picture": picture(plot_scores(scores.to_numpy())),
        }
    )
