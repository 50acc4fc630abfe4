"""The file law.json: laws with everything that is needed to use and to doubt them.

    method, domains, eval_domains, laws     the laws fitted on all runs
    intervals                               refits, or the size of errors on left-out runs
    runs                                    ids, shares and losses of the admitted runs
    evidence, gate                          held-out scores and the verdict on them
    columns, notes                          prefixes of the file that was read, and what was done

Two kinds of interval. Of the expected loss: the middle of refits on runs drawn with replacement; it
says where the mean over repeats of a run lies, *if the form of the law is right*. Of one run: the
prediction plus or minus the `level` quantile of the absolute error on left-out runs (Barber et al.
2021, "Predictive inference with the jackknife+", arXiv:1905.02928, simplified: the folds' models
are not kept); it holds noise and misfit, among mixtures like the runs, and is as wide everywhere.
Laws too large to be kept a hundred times (trees, processes) offer the second kind alone.
Shapes: N runs, D training domains, E evaluation domains, M mixtures.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.arrays import Floats, require_simplex
from training.fitted_laws import FittedLaws, prediction_intervals
from training.law_evidence import LawEvidence
from training.law_gate import LawVerdict
from training.run_region import hull_distance
from training.run_table import RunTable
from training.runs_csv import CsvColumns

FORMAT = 1


class _Intervals(BaseModel):
    model_config = ConfigDict(extra="forbid")
    level: float = Field(gt=0, lt=1)
    refits: list[dict[str, dict[str, object]]]
    half_widths_nats: dict[str, float]


class _Runs(BaseModel):
    model_config = ConfigDict(extra="forbid")
    run_ids: list[str]
    weights: list[list[float]]
    losses: list[list[float]]


class _Columns(BaseModel):
    model_config = ConfigDict(extra="forbid")
    weights_prefix: str
    losses_prefix: str


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")
    format: Literal[1]
    method: str
    domains: list[str]
    eval_domains: list[str]
    laws: dict[str, dict[str, object]]
    intervals: _Intervals
    runs: _Runs
    evidence: dict[str, object]
    gate: dict[str, object]
    columns: _Columns
    notes: list[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class LawRecord:
    """Laws, and what stands behind them."""

    laws: FittedLaws
    """Fitted on all runs."""
    table: RunTable
    """The runs."""
    refits: tuple[FittedLaws, ...] = ()
    """Refits on drawn runs; none for large laws."""
    half_widths_nats: Mapping[str, float] = field(default_factory=dict)
    """Evaluation domain -> half the width of the interval of one run."""
    level: float = 0.9
    """Share of losses that an interval is to hold."""
    evidence: Mapping[str, object] = field(default_factory=dict)
    """Held-out scores, as `LawEvidence.to_json` says them."""
    gate: Mapping[str, object] = field(default_factory=dict)
    """Verdict, as `LawVerdict.to_json` says it."""
    columns: CsvColumns = field(default_factory=CsvColumns)
    """Prefixes of the columns in the file of the runs."""
    notes: tuple[str, ...] = ()
    """What was done to the rows of that file."""

    def intervals(self, weights: Floats, *, of_run: bool = False) -> tuple[Floats, Floats]:
        """Low and high losses of mixtures of shape (M, D), shape (M, E) each.

        Args:
            weights: Rows on the simplex.
            of_run: Of one run instead of the expected loss; large laws know no other.
        """
        if self.refits and not of_run:
            return prediction_intervals(
                self.refits,
                weights,
                level=self.level,
                fitted=self.laws,
                num_runs=len(self.table.run_ids),
            )
        middle = self.laws.predict(weights)
        half = np.array([self.half_widths_nats[name] for name in self.laws.eval_domains])
        return middle - half, middle + half

    def hull_distances(self, weights: Floats) -> Floats:
        """Total variation distance of mixtures (M, D) from the hull of the runs, shape (M,)."""
        return np.array([hull_distance(self.table.weights, mixture) for mixture in weights])

    def to_json(self) -> dict[str, object]:
        """Content of law.json."""
        return {
            "format": FORMAT,
            **self.laws.to_json(),
            "intervals": {
                "level": self.level,
                "refits": [laws.to_json()["laws"] for laws in self.refits],
                "half_widths_nats": dict(self.half_widths_nats),
            },
            "runs": {
                "run_ids": list(self.table.run_ids),
                "weights": self.table.weights.tolist(),
                "losses": self.table.losses.tolist(),
            },
            "evidence": dict(self.evidence),
            "gate": dict(self.gate),
            "columns": asdict(self.columns),
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, object]) -> "LawRecord":
        """Read what `to_json` wrote.

        Raises:
            ValueError: A field is missing, unknown or of another shape, or the laws are not
                readable (as `FittedLaws.from_json`).
        """
        record = _Record.model_validate(fields)

        def read(laws: Mapping[str, object]) -> FittedLaws:
            names = {"domains": record.domains, "eval_domains": record.eval_domains}
            return FittedLaws.from_json({"method": record.method, **names, "laws": laws})

        table = _table(record)
        lacking = set(record.eval_domains) - set(record.intervals.half_widths_nats)
        if lacking:
            raise ValueError(f"intervals hold no half widths of {sorted(lacking)}")
        return cls(
            laws=read(record.laws),
            table=table,
            refits=tuple(read(laws) for laws in record.intervals.refits),
            half_widths_nats=record.intervals.half_widths_nats,
            level=record.intervals.level,
            evidence=record.evidence,
            gate=record.gate,
            columns=CsvColumns(**record.columns.model_dump()),
            notes=tuple(record.notes),
        )


def read_law_record(path: Path) -> LawRecord:
    """Read law.json.

    Raises:
        ValueError: There is no such file, or it is not what `fit-law` writes; it names the field.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file; `mixwright fit-law` writes one")
    try:
        return LawRecord.from_json(json.loads(path.read_text(encoding="utf-8")))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: no JSON: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "content"
        raise ValueError(f"{path}: not a law file: {where}: {first['msg']}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: no JSON: it is not UTF-8 text") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def build_record(
    laws: FittedLaws,
    *,
    evidence: LawEvidence,
    verdict: LawVerdict,
    refits: Sequence[FittedLaws] = (),
    columns: CsvColumns | None = None,
    notes: Sequence[str] = (),
) -> LawRecord:
    """Bring laws and their evidence together; intervals of one run come from its errors."""
    residuals = np.abs(evidence.predicted - evidence.table.losses)
    half_widths = {
        name: heldout_half_width(residuals[:, target], level=evidence.level)
        for target, name in enumerate(evidence.table.eval_domains)
    }
    return LawRecord(
        laws=laws,
        table=evidence.table,
        refits=tuple(refits),
        half_widths_nats=half_widths,
        level=evidence.level,
        evidence=evidence.to_json(),
        gate=verdict.to_json(),
        columns=columns or CsvColumns(),
        notes=tuple(notes),
    )


def heldout_half_width(errors: Floats, *, level: float) -> float:
    """Smallest width that holds a new error with probability `level`: the ceil((N + 1) level)-th.

    With fewer than level / (1 - level) errors no width is known to do that; the largest is given.

    Args:
        errors: Absolute errors on left-out runs, shape (N,).
        level: In (0, 1).
    """
    rank = min(math.ceil((len(errors) + 1) * level), len(errors))
    return float(np.sort(errors)[rank - 1])


def _table(record: _Record) -> RunTable:
    weights = np.array(record.runs.weights, dtype=np.float64)
    losses = np.array(record.runs.losses, dtype=np.float64)
    num_runs = len(record.runs.run_ids)
    for what, array, names in (
        ("weights", weights, record.domains),
        ("losses", losses, record.eval_domains),
    ):
        if array.shape != (num_runs, len(names)):
            raise ValueError(f"runs.{what} must have shape {(num_runs, len(names))}, {array.shape}")
    require_simplex(weights, name="runs.weights")
    return RunTable(
        run_ids=tuple(record.runs.run_ids),
        domains=tuple(record.domains),
        eval_domains=tuple(record.eval_domains),
        weights=weights,
        losses=losses,
    )
