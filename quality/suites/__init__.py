"""The suites behind the gates, by name.

Each takes the folder of one artifact and returns criteria; limits beyond the defaults are bound
with `functools.partial(suite.judge, limits=...)`.
"""

from collections.abc import Callable
from pathlib import Path

from quality.gates import Criterion
from quality.suites import (
    cleaned_shards,
    contamination_report,
    raw_corpora,
    score_tables,
    tag_tables,
    token_shards,
    whole_corpus,
)

Judge = Callable[[Path], tuple[Criterion, ...]]

SUITES: dict[str, Judge] = {
    "raw_documents": raw_corpora.judge,
    "cleaned_documents": cleaned_shards.judge,
    "contamination": contamination_report.judge,
    "skill_labels": tag_tables.judge,
    "score_tables": score_tables.judge,
    "token_tables": token_shards.judge,
    "whole_corpus": whole_corpus.judge,
}
