"""The gates on skill tags and quality scores; a preset that makes neither has none of them."""

import dagster as dg

from assets.gate_checks import make_gate_check
from assets.partitions import PRESET, corpus_partitions
from quality.suites import score_tables, tag_tables


def of_preset() -> list[dg.AssetChecksDefinition]:
    """Make the checks of what the preset tags and scores."""
    found = []
    if (tags := PRESET.tags) is not None:
        tag_limits = tag_tables.TagLimits(min_coverage=tags.min_coverage)
        found.append(
            make_gate_check(
                "skill_tags",
                "skill_labels",
                description="Every document has its row of tags; most have a skill.",
                judge=lambda folder: tag_tables.judge(folder, tag_limits),
                partitions_def=corpus_partitions,
            )
        )
    if (score := PRESET.score) is not None:
        score_limits = score_tables.ScoreLimits(min_auc=score.min_auc)
        found.append(
            make_gate_check(
                "quality_scores",
                "score_tables",
                description="Every document has a score, and scores tell reference from the rest.",
                judge=lambda folder: score_tables.judge(folder, score_limits),
                partitions_def=corpus_partitions,
            )
        )
    return found
