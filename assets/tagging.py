"""Group skills: what skill each document is of, as one tagger says it or as two do.

Loaded where the preset has a `tags` section. Taggers are fitted once, on a sample of all corpora,
and pinned like the tokenizer: a document more or less does not make another tagger.
"""

import dagster as dg
import polars as pl

from assets.automation import refresh_on_change
from assets.freshness import REFRESH_TAG
from assets.gates import GateOverride, require_gates
from assets.lake import Lake, publishing
from assets.partitions import CATALOGUE, OWNERS, PRESET, corpus_partitions, settings_of
from assets.pictures import picture
from assets.plots import plot_skills
from assets.preparation import cleaned_shards
from assets.presets import config_digest
from assets.tables import table_metadata
from assets.training_sample import READS, read_sample
from quality.corpus_tags import TaggerChoice, TagSummary, write_tags
from quality.fitted_taggers import load_tagger, save_tagger
from quality.tagger_comparison import TaggerComparison

GROUP = "skills"
SHOWN = 30
"""Rows of a table in the interface."""
TAGS = PRESET.tags


def choices(corpus: str) -> dict[str, TaggerChoice]:
    """Kind -> tagger of one corpus; the one that counts comes first."""
    assert TAGS is not None
    named = [TAGS.counting(corpus), *([TAGS.beside] if TAGS.beside else [])]
    return {choice.tagger: choice for choice in named}


def _file_name(choice: TaggerChoice) -> str:
    return f"{choice.tagger}-{config_digest(choice)}.npz"


@dg.asset(
    group_name=GROUP,
    deps=[dg.AssetDep(asset, partition_mapping=dg.AllPartitionMapping()) for asset in READS],
    kinds={"scikitlearn"},
    owners=OWNERS,
    tags={REFRESH_TAG: "pinned"},
    code_version="1-" + config_digest(TAGS and [TAGS.by, TAGS.corpora, TAGS.beside, TAGS.fit_rows]),
)
def skill_taggers(
    context: dg.AssetExecutionContext, config: GateOverride, lake: Lake
) -> dg.MaterializeResult[None]:
    """What the taggers of the preset have learnt from a sample of all training text."""
    assert TAGS is not None
    sample = read_sample(context, lake, config, corpora=list(CATALOGUE), rows=TAGS.fit_rows)
    wanted = {_file_name(choice): choice for name in CATALOGUE for choice in choices(name).values()}
    labels = []
    with publishing(context, lake, inputs=sample.inputs) as draft:
        for name, choice in wanted.items():
            tagger = choice.make().fit(sample.documents)
            save_tagger(tagger, draft.folder / name)
            labels += [{"tagger": choice.tagger, "skill": label} for label in tagger.labels]
    known = pl.DataFrame(labels, schema={"tagger": pl.String, "skill": pl.String})
    return draft.result(
        {
            **sample.clearance.metadata(),
            "dagster/row_count": sample.documents.height,
            "taggers": len(wanted),
            "skills": table_metadata(known.head(SHOWN)),
        }
    )


@dg.asset(
    group_name=GROUP,
    partitions_def=corpus_partitions,
    deps=[cleaned_shards, skill_taggers],
    kinds={"polars", "parquet"},
    owners=OWNERS,
    code_version="1",
    automation_condition=refresh_on_change(),
)
def skill_tags(
    context: dg.AssetExecutionContext, config: GateOverride, lake: Lake
) -> dg.MaterializeResult[None]:
    """Skill and confidence of each document of one corpus, by each tagger."""
    corpus = context.partition_key
    cleaned = lake.artifact("cleaned_shards", corpus)
    fitted = lake.artifact("skill_taggers")
    clearance = require_gates(context, lake, cleaned, overrides=config)
    chosen = choices(corpus)
    settings = settings_of("skill_tags", corpus)
    with publishing(context, lake, inputs=[cleaned, fitted], settings=settings) as draft:
        summary, compared = write_tags(
            cleaned.folder,
            {
                kind: load_tagger(choice.make(), fitted.folder / _file_name(choice))
                for kind, choice in chosen.items()
            },
            draft.folder,
            counting=next(iter(chosen)),
            cleaned_version=cleaned.data_version,
        )
    drawing = plot_skills(summary.skills, None if compared is None else compared.confusion)
    return draft.result(
        {
            **clearance.metadata(),
            "dagster/row_count": summary.num_documents,
            "tagger": summary.tagger,
            "tagged_share": 1 - summary.skills.get("", 0) / max(summary.num_documents, 1),
            "skills": table_metadata(_shares(summary)),
            **({} if compared is None else _comparison(compared, list(chosen))),
            "picture": picture(drawing),
        }
    )


def _shares(summary: TagSummary) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "skill": skill or "(none)",
                "documents": count,
                "share": count / summary.num_documents,
            }
            for skill, count in list(summary.skills.items())[:SHOWN]
        ],
        schema={"skill": pl.String, "documents": pl.Int64, "share": pl.Float64},
    )


def _comparison(
    compared: TaggerComparison, kinds: list[str]
) -> dict[str, float | str | dg.TableMetadataValue]:
    """Numbers and the table of how two taggers agree; what cannot be said is left out."""
    numbers = {
        "agreement": compared.agreement,
        "kappa": compared.kappa,
        "matched_agreement": compared.matched_agreement,
        "mutual_information": compared.mutual_information,
    }
    told = {name: value for name, value in numbers.items() if value is not None}
    table = compared.confusion.head(SHOWN).with_columns(
        pl.col("first", "second").fill_null("(none)")
    )
    return {
        "compared_with": kinds[1],
        **told,
        "both_taggers": table_metadata(table.rename({"first": kinds[0], "second": kinds[1]})),
    }
