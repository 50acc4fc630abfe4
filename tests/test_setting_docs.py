from typing import Annotated, Literal

import pytest
from pydantic import Field
from pydantic.dataclasses import dataclass

from training.config import STRICT, RunConfig
from training.setting_docs import describe_settings, field_docstrings, unknown_key_advice


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Pool:
    """Base."""

    rows: Annotated[int, Field(ge=1)] = 4
    """P, rows of
    a pool."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Band(Pool):
    """Derived."""

    low: Annotated[float, Field(ge=0, lt=1)]
    """Lower end; None is not allowed."""
    form: Literal["a", "b"] | None = None
    """None: chosen."""
    shares: dict[str, float] = Field(default_factory=dict)
    """By domain."""
    inner: Pool = Field(default_factory=Pool)
    """Another."""
    bare: bool = True


def test_keys_types_limits_and_defaults_are_those_of_the_dataclass():
    told = {one.name: one for one in describe_settings(Band)}
    assert list(told) == ["rows", "low", "form", "shares", "inner", "bare"]
    assert (told["rows"].allowed, told["rows"].default) == ("whole number >= 1", 4)
    assert told["rows"].meaning == "P, rows of a pool."
    assert (told["low"].allowed, told["low"].required) == ("number >= 0, < 1", True)
    assert told["low"].meaning == "Lower end; null is not allowed."
    assert (told["form"].allowed, told["form"].default) == ("'a' or 'b' or null", None)
    assert (told["shares"].allowed, told["shares"].default) == ("name -> number", {})
    assert told["inner"].nested is Pool
    assert (told["bare"].allowed, told["bare"].meaning) == ("true or false", "")


def test_docstrings_are_inherited():
    assert set(field_docstrings(Band)) == {"rows", "low", "form", "shares", "inner"}


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        (("lwo",), "did you mean 'low'? allowed here: rows, low, form, shares, inner, bare"),
        (("inner", "zzz"), "allowed here: rows"),
        (("inner", "tag of a union", "rwos"), "did you mean 'rows'? allowed here: rows"),
        (("shares", "x", "y"), ""),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest_and_all(path, advice):
    assert unknown_key_advice(Band, path) == advice


def test_every_key_of_a_run_is_explained():
    def check(kind):
        for one in describe_settings(kind):
            assert one.meaning, f"{kind.__name__}.{one.name} has no docstring"
            if one.nested is not None:
                check(one.nested)

    check(RunConfig)
