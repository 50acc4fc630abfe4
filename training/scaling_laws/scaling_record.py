"""The file of a fitted scaling law: scaling.json.

Keys A, B, E, alpha, beta and objective; beside each parameter <name>_low and <name>_high, bounds
of its interval. `refits` holds the bootstrap refits, so that a plan can say how sure it is without
the runs.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.scaling_laws.chinchilla import PARAMETERS, ChinchillaLaw
from training.scaling_laws.chinchilla_fit import HUBER
from training.scaling_laws.isoflop import IsoflopFit, NoIsoflopFit
from training.scaling_laws.scaling_evidence import ScalingEvidence
from training.scaling_runs import ScalingRuns

DIGITS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class ScalingRecord:
    """What a plan needs of scaling.json."""

    law: ChinchillaLaw
    """Fitted on all runs."""
    refits: tuple[ChinchillaLaw, ...]
    """Bootstrap refits; none where somebody wrote the file by hand."""
    level: float
    """Share of the refits inside an interval."""
    largest_flops: float | None
    """Budget of the largest run behind the law; beyond it a plan extrapolates."""


class _Record(BaseModel):
    """The keys that a plan reads; the others are for people."""

    model_config = ConfigDict(extra="ignore")
    A: float
    B: float
    E: float
    alpha: float
    beta: float
    level: float = Field(default=0.9, gt=0, lt=1)
    largest_flops: float | None = Field(default=None, gt=0)
    refits: dict[str, list[float]] = Field(default_factory=dict)


def scaling_record(
    evidence: ScalingEvidence, runs: ScalingRuns, isoflop: IsoflopFit | NoIsoflopFit
) -> dict[str, object]:
    """Content of scaling.json.

    Args:
        evidence: Law, refits and sensitivity.
        runs: What they were fitted on.
        isoflop: The check by parabolas, or why there is none.
    """
    bounds: dict[str, float] = {}
    for name, interval in evidence.parameters().items():
        bounds |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
    ratio = evidence.tokens_per_param()
    return {
        "form": "L(N, D) = E + A / N^alpha + B / D^beta",
        **bounds,
        "objective": evidence.fit.objective,
        "huber_threshold": HUBER,
        "gradient_norm": evidence.fit.gradient_norm,
        "starts": evidence.fit.num_starts,
        "starts_agreeing": evidence.fit.num_agreeing,
        "level": evidence.level,
        "num_runs": len(runs.losses),
        "largest_flops": float(runs.flops.max()),
        "reference_flops": evidence.reference_flops,
        "tokens_per_param": ratio.value,
        "tokens_per_param_low": ratio.low,
        "tokens_per_param_high": ratio.high,
        "sensitivity": [
            {
                "left_out": one.rule,
                "run_ids": list(one.run_ids),
                **one.law.to_json(),
                "objective": one.objective,
                "tokens_per_param": one.tokens_per_param,
            }
            for one in evidence.omissions
        ],
        "isoflop": {"absent": isoflop.reason}
        if isinstance(isoflop, NoIsoflopFit)
        else asdict(isoflop),
        "num_failed_refits": evidence.num_failed,
        "refits": {
            name: [float(f"{getattr(law, name):.{DIGITS}g}") for law in evidence.refits]
            for name in PARAMETERS
        },
        "run_ids": list(runs.run_ids),
    }


def read_scaling_record(path: Path) -> ScalingRecord:
    """Read scaling.json.

    Raises:
        ValueError: No such file, no JSON, a key is missing or out of range, or the refits are not
            as many for every parameter.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        record = _Record.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "content"
        raise ValueError(f"{path}: {key}: {first['msg']}") from error
    if record.refits and set(record.refits) != set(PARAMETERS):
        raise ValueError(f"{path}: refits of {sorted(record.refits)}, wanted {list(PARAMETERS)}")
    columns = [record.refits.get(name, []) for name in PARAMETERS]
    if len({len(column) for column in columns}) != 1:
        raise ValueError(f"{path}: refits: columns of different length")
    rows = [dict(zip(PARAMETERS, row, strict=True)) for row in zip(*columns, strict=True)]
    return ScalingRecord(
        law=_law(path, {name: getattr(record, name) for name in PARAMETERS}),
        refits=tuple(_law(path, row) for row in rows),
        level=record.level,
        largest_flops=record.largest_flops,
    )


def _law(path: Path, fields: Mapping[str, float]) -> ChinchillaLaw:
    try:
        return ChinchillaLaw.from_json(fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{path}: {first['loc'][0]}: {first['msg']}") from error
