"""The page of results, benchmarks/RESULTS.md: a section for each family, replaced when measured."""

import re
import subprocess
from collections.abc import Mapping

from benchmarks.comparison import ROOT, Family

RESULTS = ROOT / "benchmarks" / "RESULTS.md"
_HEAD = """# Results

Written by `make bench`; do not edit. Rates are per processor second of one thread, ratios are of
paired turns (median, least to largest).
"""


def section(family: Family, circumstances: str) -> str:
    """Write the body of a section: when and on what, the table, the findings, the notes."""
    lines = [circumstances]
    if family.rows:
        lines += ["", "| step | here | peer | ratio |", "|---|---|---|---|"]
        lines += [row.row() for row in family.rows]
    if family.findings:
        lines += ["", *(f"- {finding}" for finding in family.findings)]
    for note in family.notes:
        lines += ["", note]
    return "\n".join(lines)


def read_sections(text: str) -> dict[str, str]:
    """Part a page into its sections: heading -> body."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)[1:]
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}


def write_page(sections: Mapping[str, str]) -> str:
    """Write all sections in their order."""
    return "\n".join([_HEAD, *(f"## {name}\n\n{body}\n" for name, body in sections.items())])


def commit() -> str:
    """Short name of the commit; says so where the folder is no repository."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()
