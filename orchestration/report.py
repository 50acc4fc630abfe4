"""The HTML report: one file that holds its pictures, asks no server for anything, and prints."""

from collections.abc import Sequence
from pathlib import Path

from assets.lake import Lake
from orchestration.pages import write_page
from orchestration.report_runs import predictions_section, runs_section, weights_section
from orchestration.report_sections import (
    Section,
    corpora_section,
    costs_section,
    domains_section,
    gates_section,
    labels_section,
    law_section,
    newest_change,
    plan_section,
    swarm_section,
)
from orchestration.results import read_evaluations

TEMPLATE = "report.html.j2"


def write_report(
    lake: Lake, out: Path, *, preset: str | None = None, run_ids: Sequence[str] | None = None
) -> Path:
    """Write what the lake says now; what is missing is said in words.

    Args:
        lake: Artifacts and verdicts.
        out: HTML file; its folder is created, an older report is replaced.
        preset: Name of the preset, for the heading; None: not said.
        run_ids: Training runs that count; None: all that were evaluated.

    Returns:
        The absolute path of the file.
    """
    values = {"preset": preset, "changed": newest_change(lake), **_sections(lake, run_ids)}
    return write_page(TEMPLATE, out, values)


def _sections(lake: Lake, run_ids: Sequence[str] | None) -> dict[str, Section]:
    """Every section by the name that the template gives it."""
    evaluations = read_evaluations(lake, run_ids)
    return {
        "corpora": corpora_section(lake),
        "labels": labels_section(lake),
        "domains": domains_section(lake),
        "swarm": swarm_section(lake),
        "law": law_section(lake),
        "plan": plan_section(lake),
        "runs": runs_section(lake, evaluations),
        "weights": weights_section(lake, evaluations),
        "predictions": predictions_section(lake),
        "costs": costs_section(lake),
        "gates": gates_section(lake),
    }
