"""What taggers and scores learn from: training text of all corpora, an even sample of each."""

from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg
import polars as pl

from assets.duplicates import cluster_members, members_of
from assets.gates import GateClearance, GateOverride, require_gates
from assets.heldout_sets import heldout_sets
from assets.lake import Artifact, Lake, by_partition
from assets.leaks import contaminated_documents, contamination_of
from assets.partitions import CATALOGUE, CORPUS_DOMAINS
from assets.preparation import cleaned_shards
from quality.corpus_sample import sample_training_text

READS = [cleaned_shards, cluster_members, heldout_sets, contaminated_documents]
"""Assets that the sample is read from; every partition of each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSample:
    """A sample and where it comes from."""

    documents: pl.DataFrame
    """Columns `quality.corpus_sample.SAMPLE_COLUMNS`."""
    inputs: list[Artifact]
    """The versions that were read."""
    clearance: GateClearance
    """Why they could be."""


def read_sample(
    context: dg.AssetExecutionContext,
    lake: Lake,
    config: GateOverride,
    *,
    corpora: Sequence[str],
    rows: int,
) -> TrainingSample:
    """Read up to so many training documents of each of some corpora.

    Raises:
        dg.Failure: A gate was not passed, or an input is about another version of another.
    """
    cleaned = [lake.artifact("cleaned_shards", name) for name in corpora]
    reports = [contamination_of(lake, artifact) for artifact in cleaned]
    clearance = require_gates(context, lake, *cleaned, *reports, overrides=config)
    members = [members_of(lake, artifact) for artifact in cleaned]
    heldout = {domain: lake.artifact("heldout_sets", domain) for domain in CORPUS_DOMAINS}
    documents = sample_training_text(
        by_partition(cleaned),
        {name: heldout[CATALOGUE[name].domain].folder for name in corpora},
        members=by_partition(members),
        contaminated=by_partition(reports),
        rows=rows,
    )
    inputs = [*cleaned, *members, *reports, *heldout.values()]
    return TrainingSample(documents=documents, inputs=inputs, clearance=clearance)
