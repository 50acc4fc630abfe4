"""Runs one Great Expectations suite on one table and returns its criteria.

Three properties of Great Expectations 1.24 decide how it is used here:

- It reads pandas only and hashes the whole frame before each validation. So the frame holds
  projected columns without the text, and all expectations go into one suite, validated once.
- A crashed expectation is returned as a failed one with the exception beside it. Here it raises
  `GateCrashed`: that the gate is broken says nothing about the data.
- A missing column crashes an expectation and an empty table satisfies most of them. Here both are
  found before the suite runs, and are failures of the data.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from quality.gates import MAX_EXAMPLES, Criterion, GateCrashed, Observed, Severity

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.expectations.expectation import Expectation

EXAMPLE_CHARS = 120
"""Longer values are cut: an example is a hint, not a copy of the data."""
_NOT_A_LIMIT = frozenset({"column", "batch_id"})
_COLUMN_KEYS = ("column", "column_A", "column_B")


def run_suite(
    frame: "pd.DataFrame", expectations: Sequence["Expectation"], *, name: str
) -> tuple[Criterion, ...]:
    """Evaluate all expectations on one frame, in the order given.

    Args:
        frame: Projected columns, pyarrow-backed, without the text.
        expectations: A plain list. Severity `critical` becomes "error", anything else "warning".
        name: Name of the table, for messages.

    Raises:
        GateCrashed: An expectation could not be evaluated, or the list is empty or repeats one.
    """
    if not expectations:
        raise GateCrashed(f"{name}: a suite without expectations would pass anything")
    if frame.empty:
        return (Criterion(name="not_empty", passed=False, observed=0, limit="at least one row"),)
    runnable = [item for item in expectations if not _missing_columns(frame, item)]
    results = iter(_validate(frame, runnable, name=name) if runnable else ())
    return tuple(
        _absent(expectation, missing)
        if (missing := _missing_columns(frame, expectation))
        else _criterion(expectation, next(results))
        for expectation in expectations
    )


def _validate(
    frame: "pd.DataFrame", expectations: Sequence["Expectation"], *, name: str
) -> list["ExpectationValidationResult"]:
    """Return one result per expectation, in the same order."""
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    batch = (
        context.data_sources.add_pandas("memory")
        .add_dataframe_asset(name)
        .add_batch_definition_whole_dataframe("whole")
        .get_batch({"dataframe": frame})
    )
    # The results come back in another order; the position travels with each expectation.
    suite = gx.ExpectationSuite(name)
    for position, expectation in enumerate(expectations):
        suite.add_expectation(expectation.copy(update={"id": None, "meta": {"position": position}}))
    result = batch.validate(
        suite, result_format={"result_format": "BASIC", "partial_unexpected_count": MAX_EXAMPLES}
    )
    by_position = {item.expectation_config.meta["position"]: item for item in result.results}
    if sorted(by_position) != list(range(len(expectations))):
        raise GateCrashed(
            f"{name}: {len(expectations)} expectations gave {len(result.results)} results; "
            "remove the one that is listed twice"
        )
    crashes = [
        f"{expectations[position].expectation_type}({_limit(item)}): {message}"
        for position, item in sorted(by_position.items())
        if (message := _exception(item.exception_info)) is not None
    ]
    if crashes:
        raise GateCrashed(
            f"{name}: {len(crashes)} expectation(s) could not be evaluated, so there is no "
            f"verdict; correct the suite: {'; '.join(crashes)}"
        )
    return [by_position[position] for position in range(len(expectations))]


def _exception(info: Mapping[str, object] | None) -> str | None:
    """Return the hidden exception's message; it lies in the mapping or in one per metric."""
    found = [info] if info and "raised_exception" in info else list((info or {}).values())
    for item in found:
        if isinstance(item, Mapping) and item.get("raised_exception"):
            return str(item.get("exception_message") or "unknown error")
    return None


def _criterion(expectation: "Expectation", result: "ExpectationValidationResult") -> Criterion:
    return Criterion(
        name=expectation.expectation_type,
        column=_column(expectation),
        severity=_severity(expectation),
        passed=bool(result.success),
        observed=_observed(result.result),
        limit=_limit(result),
        examples=tuple(
            str(value)[:EXAMPLE_CHARS] for value in result.result.get("partial_unexpected_list", ())
        ),
    )


def _absent(expectation: "Expectation", missing: Sequence[str]) -> Criterion:
    return Criterion(
        name=expectation.expectation_type,
        column=_column(expectation),
        severity=_severity(expectation),
        passed=False,
        observed=f"no column {', '.join(missing)}",
        limit="the column exists",
    )


def _observed(result: Mapping[str, object]) -> Observed:
    if "observed_value" in result:
        value = result["observed_value"]
        if isinstance(value, bool | int | float | str) or value is None:
            return value
        return json.dumps(value, default=str)[:EXAMPLE_CHARS]
    if "unexpected_count" in result:
        return f"{result['unexpected_count']} of {result['element_count']} rows"
    return None


def _limit(result: "ExpectationValidationResult") -> str:
    kwargs = result.expectation_config.kwargs
    shown = {key: value for key, value in kwargs.items() if key not in _NOT_A_LIMIT}
    texts = (f"{key}={json.dumps(value, default=str)}" for key, value in sorted(shown.items()))
    return ", ".join(texts) or "every row"


def _severity(expectation: "Expectation") -> Severity:
    level = getattr(expectation.severity, "value", expectation.severity)
    return "error" if level == "critical" else "warning"


def _column(expectation: "Expectation") -> str | None:
    return ", ".join(_columns(expectation)) or None


def _columns(expectation: "Expectation") -> list[str]:
    kwargs = expectation.configuration.kwargs
    named = [kwargs[key] for key in _COLUMN_KEYS if key in kwargs]
    return [*named, *kwargs.get("column_list", ())]


def _missing_columns(frame: "pd.DataFrame", expectation: "Expectation") -> list[str]:
    return [column for column in _columns(expectation) if column not in frame.columns]
