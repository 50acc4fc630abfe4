"""What `fit-law` is asked and answers, whichever kind of law it fits; and the files it writes."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.arrays import Floats
    from training.joint_record import ScaleColumns
    from training.run_table import RunTable
    from training.runs_csv import CsvColumns

Report = Callable[[str, int, int], None]
"""(what is being done, fits done, fits in all)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FitRequest:
    """Options of the command."""

    runs: Path
    """Finished runs."""
    method: str
    """Key of the law."""
    columns: "CsvColumns"
    """Prefixes of shares and losses."""
    scale: "ScaleColumns"
    """Columns of size and length, for joint laws."""
    targets: list[str] | None
    """Losses to fit. None: all."""
    test: Path | None
    """Rows that no fit sees."""
    folds: int | None
    """Folds over mixtures. None: the law's default."""
    resamples: int
    """Refits behind the intervals."""
    seed: int
    """Decides folds and draws."""
    out: Path
    """law.json."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FitAnswer:
    """What the command prints."""

    summary: Mapping[str, object]
    """As JSON."""
    show: Callable[[], None]
    """As tables."""
    pictures: list[Path]
    """Beside law.json."""


def write_law(
    content: Mapping[str, object], table: "RunTable", predicted: "Floats", out: Path
) -> list[Path]:
    """Write law.json, and beside it predictions of runs left out and their errors; the pictures.

    Args:
        content: Of law.json.
        table: The runs.
        predicted: Losses predicted without the run, shape (N, E).
        out: law.json.
    """
    from assets.plots import plot_law_fit, plot_residuals

    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")
    pictures = {
        "fit": plot_law_fit(table.eval_domains, table.losses, predicted),
        "residuals": plot_residuals(table.eval_domains, table.losses, predicted),
    }
    written = []
    for name, png in pictures.items():
        written.append(out.with_name(f"{out.stem}_{name}.png"))
        written[-1].write_bytes(png)
    return written
