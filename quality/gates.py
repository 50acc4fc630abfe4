"""A gate is a value: the stored verdict of one gate on one exact version of one artifact.

A report consists of criteria, each with what was observed and what was allowed. A failed criterion
of severity "error" stops every consumer of that version; one of severity "warning" is shown and
counted, and stops nobody.
"""

import json
import math
from collections.abc import Iterable
from itertools import islice
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

Severity = Literal["error", "warning"]
Observed = bool | int | float | str | None
MAX_EXAMPLES = 5
"""Offending values or ids kept per criterion."""
_STRICT = ConfigDict(extra="forbid", strict=True)


class GateCrashed(RuntimeError):
    """A criterion could not be evaluated: an error of the gate, not a verdict about the data."""


@dataclass(frozen=True, kw_only=True, slots=True, config=_STRICT)
class Criterion:
    """One line of a verdict."""

    name: Annotated[str, Field(min_length=1)]
    """What was tested, for example `expect_column_values_to_be_unique` or `readable`."""
    column: str | None = None
    """Column it is about; None for the table or the whole artifact."""
    severity: Severity = "error"
    """Whether a failure stops consumers."""
    passed: bool
    """The verdict."""
    observed: Observed
    """What was found; a number where there is one, None where nothing could be found."""
    limit: str
    """What was allowed."""
    examples: tuple[str, ...] = ()
    """A few offending values or ids."""

    def describe(self) -> str:
        """Return the criterion in one line for an error message."""
        column = f" of {self.column}" if self.column is not None else ""
        examples = f", for example {', '.join(self.examples)}" if self.examples else ""
        return f"{self.name}{column}: observed {self.observed}, allowed {self.limit}{examples}"


@dataclass(frozen=True, kw_only=True, slots=True, config=_STRICT)
class GateReport:
    """The verdict of one gate on one version of one artifact."""

    gate: Annotated[str, Field(min_length=1)]
    """Name of the gate, which is the name of its check."""
    asset: Annotated[str, Field(min_length=1)]
    """Name of the asset."""
    partition: str | None
    """Partition key; None for an asset without partitions."""
    data_version: Annotated[str, Field(min_length=1)]
    """The exact version that was judged."""
    rows: Annotated[tuple[Criterion, ...], Field(min_length=1)]
    """All criteria, passed and failed. A verdict without criteria would be an empty promise."""

    @property
    def failed(self) -> tuple[Criterion, ...]:
        """Criteria that do not hold, of either severity."""
        return tuple(row for row in self.rows if not row.passed)

    @property
    def passed(self) -> bool:
        """Whether every criterion holds, warnings included."""
        return not self.failed

    @property
    def severity(self) -> Severity:
        """Return the gravest severity among the failed criteria; "error" if none failed."""
        only_warnings = bool(self.failed) and not self.stops_consumers
        return "warning" if only_warnings else "error"

    @property
    def stops_consumers(self) -> bool:
        """Whether a criterion of severity "error" failed."""
        return any(row.severity == "error" for row in self.failed)

    def to_json(self) -> str:
        """Return the report as JSON text, with the derived verdict for other readers."""
        content = TypeAdapter(GateReport).dump_python(self, mode="json")
        derived = {"passed": self.passed, "severity": self.severity}
        return json.dumps({**content, **derived}, sort_keys=True, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str, *, file: str) -> Self:
        """Read a report back.

        Args:
            text: What `to_json` returned.
            file: Where it was stored, for the message.

        Raises:
            ValueError: It is no report, or its stored verdict is not the one its criteria give.
        """
        try:
            content = json.loads(text)
            derived = {name: content.pop(name) for name in ("passed", "severity")}
            report = TypeAdapter(cls).validate_json(json.dumps(content))
        except (
            json.JSONDecodeError,
            AttributeError,
            KeyError,
            TypeError,
            ValidationError,
        ) as error:
            raise ValueError(f"{file}: not a gate report ({error}); run the check again") from error
        if derived != {"passed": report.passed, "severity": report.severity}:
            raise ValueError(
                f"{file}: the stored verdict {derived} contradicts its criteria "
                f"(passed={report.passed}, severity={report.severity}); run the check again"
            )
        return report


def limit_check(
    name: str,
    observed: int | float,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    severity: Severity = "error",
    examples: Iterable[str] = (),
) -> Criterion:
    """Compare one number with its bounds; NaN never passes.

    Args:
        name: Name of the criterion.
        observed: The number.
        at_least: Lower bound, inclusive; None for no bound.
        at_most: Upper bound, inclusive; None for no bound.
        severity: Whether a failure stops consumers.
        examples: Offending values or ids; shown only if the criterion fails.
    """
    low = at_least is None or observed >= at_least
    high = at_most is None or observed <= at_most
    passed = low and high and not math.isnan(observed)
    bounds = ((">=", at_least), ("<=", at_most))
    return Criterion(
        name=name,
        severity=severity,
        passed=passed,
        observed=observed,
        limit=" and ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None),
        examples=() if passed else tuple(islice(examples, MAX_EXAMPLES)),
    )


def equality_check(
    name: str, observed: Observed, expected: Observed, *, examples: Iterable[str] = ()
) -> Criterion:
    """Compare one value with the only one allowed.

    Args:
        name: Name of the criterion.
        observed: The value found.
        expected: The value that must be found.
        examples: Offending values or ids; shown only if the criterion fails.
    """
    passed = observed == expected
    return Criterion(
        name=name,
        passed=passed,
        observed=observed,
        limit=f"= {expected}",
        examples=() if passed else tuple(islice(examples, MAX_EXAMPLES)),
    )
