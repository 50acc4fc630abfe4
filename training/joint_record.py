"""The file of a joint law: laws in mixture, parameters and tokens, with what speaks for them.

As law.json of a mixing law (`law_record`), with the size and length of every run. At one scale it
is a record of a mixing law, which is what predictions and proposals take.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.arrays import Floats, require_simplex
from training.joint_laws import FORMS, JointLaws, JointTable
from training.law_record import LawRecord, read_law_record
from training.mixing_laws.interface import named_vector
from training.mixing_laws.scaled_laws import ScaledLaw
from training.run_table import RunTable
from training.runs_csv import CsvColumns

FORMAT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ScaleColumns:
    """Columns of a file that hold size and length."""

    params: str = "params"
    """Number of parameters."""
    tokens: str = "tokens"
    """Training tokens."""


class _Law(BaseModel):
    model_config = ConfigDict(extra="forbid")
    limit: float = Field(ge=0)
    exponents: tuple[float, float]
    references: tuple[float, float]
    amplitudes: tuple[float, float]
    sensitivities: list[dict[str, float]]


class _Runs(BaseModel):
    model_config = ConfigDict(extra="forbid")
    run_ids: list[str]
    weights: list[list[float]]
    params: list[float]
    tokens: list[float]
    losses: list[list[float]]


class _Columns(BaseModel):
    model_config = ConfigDict(extra="forbid")
    weights_prefix: str
    losses_prefix: str
    params: str
    tokens: str


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")
    format: Literal[1]
    method: Literal["joint_additive", "joint_log_linear"]
    domains: list[str]
    eval_domains: list[str]
    laws: dict[str, _Law]
    level: float = Field(gt=0, lt=1)
    refits: list[dict[str, _Law]]
    half_widths_nats: dict[str, float]
    runs: _Runs
    evidence: dict[str, object]
    gate: dict[str, object]
    columns: _Columns
    notes: list[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class JointRecord:
    """Joint laws, and what stands behind them."""

    laws: JointLaws
    """Fitted on all runs."""
    table: JointTable
    """The runs."""
    refits: tuple[JointLaws, ...]
    """On drawn mixtures."""
    half_widths_nats: Mapping[str, float]
    """Evaluation domain -> half the width of the interval of one run."""
    level: float
    """Share of losses that an interval is to hold."""
    evidence: Mapping[str, object]
    """Held-out scores."""
    gate: Mapping[str, object]
    """Verdict."""
    columns: CsvColumns
    """Prefixes of the columns in the file of the runs."""
    scale_columns: ScaleColumns
    """Names of its other columns."""
    notes: tuple[str, ...]
    """What was done to its rows."""

    def at(self, *, params: float, tokens: float) -> LawRecord:
        """The mixing laws of runs of one size and length, with their intervals.

        Raises:
            ValueError: Parameters or tokens are not positive.
        """
        return LawRecord(
            laws=self.laws.at(params=params, tokens=tokens),
            table=self.table.runs,
            refits=tuple(refit.at(params=params, tokens=tokens) for refit in self.refits),
            half_widths_nats=self.half_widths_nats,
            level=self.level,
            evidence=self.evidence,
            gate=self.gate,
            columns=self.columns,
            notes=self.notes,
        )

    def to_json(self) -> dict[str, object]:
        """Content of law.json."""
        runs = self.table.runs
        return {
            "format": FORMAT,
            "method": self.laws.method,
            "domains": list(self.laws.domains),
            "eval_domains": list(self.laws.eval_domains),
            "laws": _plain(self.laws),
            "level": self.level,
            "refits": [_plain(one) for one in self.refits],
            "half_widths_nats": dict(self.half_widths_nats),
            "runs": {
                "run_ids": list(runs.run_ids),
                "weights": runs.weights.tolist(),
                "params": self.table.params.tolist(),
                "tokens": self.table.tokens.tolist(),
                "losses": runs.losses.tolist(),
            },
            "evidence": dict(self.evidence),
            "gate": dict(self.gate),
            "columns": {**asdict(self.columns), **asdict(self.scale_columns)},
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, object]) -> "JointRecord":
        """Read what `to_json` wrote.

        Raises:
            ValueError: A field is missing, unknown or of another shape.
        """
        record = _Record.model_validate(fields)
        lacking = set(record.eval_domains) - set(record.half_widths_nats)
        if lacking:
            raise ValueError(f"half_widths_nats holds none of {sorted(lacking)}")
        prefixes = record.columns
        return cls(
            laws=_read(record, record.laws),
            table=_table(record),
            refits=tuple(_read(record, laws) for laws in record.refits),
            half_widths_nats=record.half_widths_nats,
            level=record.level,
            evidence=record.evidence,
            gate=record.gate,
            columns=CsvColumns(
                weights_prefix=prefixes.weights_prefix, losses_prefix=prefixes.losses_prefix
            ),
            scale_columns=ScaleColumns(params=prefixes.params, tokens=prefixes.tokens),
            notes=tuple(record.notes),
        )


def read_any_law(path: Path) -> LawRecord | JointRecord:
    """Read law.json of either kind.

    Raises:
        ValueError: There is no such file, or it is not what `fit-law` writes; it names the field.
    """
    try:
        content = json.loads(path.read_bytes()) if path.is_file() else None
    except ValueError:
        content = None
    if not isinstance(content, dict) or content.get("method") not in FORMS:
        return read_law_record(path)
    try:
        return JointRecord.from_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{path}: not a law file: {where}: {first['msg']}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_law_at(path: Path, *, params: float | None, tokens: float | None) -> LawRecord:
    """Read a mixing law, or a joint one as the mixing law of one scale.

    Args:
        path: law.json of either kind.
        params: Size; needed by a joint law, refused beside another.
        tokens: Length; likewise.

    Raises:
        ValueError: As `read_any_law`, or the scale is missing or makes no sense.
    """
    record = read_any_law(path)
    if isinstance(record, LawRecord):
        if params is not None or tokens is not None:
            raise ValueError(
                f"{path}: {record.laws.method} knows no parameters and tokens: leave --params and "
                "--tokens out, or fit a joint law"
            )
        return record
    if params is None or tokens is None:
        raise ValueError(
            f"{path}: {record.laws.method} is a law of mixture, parameters and tokens: say which "
            "scale with --params and --tokens"
        )
    return record.at(params=params, tokens=tokens)


def read_law_for_plan(path: Path, *, params: float, tokens: float) -> LawRecord:
    """Read a mixing law as it is, or a joint one at the planned scale.

    Raises:
        ValueError: As `read_any_law`.
    """
    record = read_any_law(path)
    return record if isinstance(record, LawRecord) else record.at(params=params, tokens=tokens)


def _plain(laws: JointLaws) -> dict[str, object]:
    return {
        name: {
            "limit": law.limit,
            "exponents": list(law.exponents),
            "references": list(law.references),
            "amplitudes": list(law.amplitudes),
            "sensitivities": [
                dict(zip(laws.domains, row, strict=True)) for row in law.sensitivities.tolist()
            ],
        }
        for name, law in zip(laws.eval_domains, laws.laws, strict=True)
    }


def _read(record: _Record, laws: Mapping[str, _Law]) -> JointLaws:
    if set(laws) != set(record.eval_domains):
        raise ValueError(f"laws of {sorted(laws)}, wanted {sorted(record.eval_domains)}")
    form = FORMS[record.method]
    rows = 1 if form == "additive" else 2
    for name, law in laws.items():
        if len(law.sensitivities) != rows or not min(*law.references, *law.amplitudes) >= 0:
            raise ValueError(f"laws.{name}: {form} needs {rows} rows of sensitivities")
    return JointLaws(
        method=record.method,
        domains=tuple(record.domains),
        eval_domains=tuple(record.eval_domains),
        laws=tuple(
            ScaledLaw(
                form=form,
                limit=laws[name].limit,
                exponents=laws[name].exponents,
                references=laws[name].references,
                amplitudes=laws[name].amplitudes,
                sensitivities=np.array(
                    [
                        named_vector("sensitivities", row, record.domains)
                        for row in laws[name].sensitivities
                    ]
                ),
            )
            for name in record.eval_domains
        ),
    )


def _table(record: _Record) -> JointTable:
    runs = record.runs
    arrays: dict[str, tuple[Floats, tuple[int, ...]]] = {
        "weights": (np.array(runs.weights), (len(runs.run_ids), len(record.domains))),
        "losses": (np.array(runs.losses), (len(runs.run_ids), len(record.eval_domains))),
        "params": (np.array(runs.params), (len(runs.run_ids),)),
        "tokens": (np.array(runs.tokens), (len(runs.run_ids),)),
    }
    for name, (array, shape) in arrays.items():
        if array.shape != shape:
            raise ValueError(f"runs.{name} must have shape {shape}, got {array.shape}")
    require_simplex(arrays["weights"][0], name="runs.weights")
    return JointTable(
        runs=RunTable(
            run_ids=tuple(runs.run_ids),
            domains=tuple(record.domains),
            eval_domains=tuple(record.eval_domains),
            weights=arrays["weights"][0],
            losses=arrays["losses"][0],
        ),
        params=arrays["params"][0],
        tokens=arrays["tokens"][0],
    )
