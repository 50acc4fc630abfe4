"""The value of a setting in a run file, before the method that it belongs to checks it.

Which kind a value is follows from the value itself, so a wrong one is told as one mistake and not
as one for each kind that it might have been.
"""

from typing import Annotated

from pydantic import Discriminator, Tag

_KINDS: dict[type, str] = {
    bool: "true or false",
    int: "whole number",
    float: "any number",
    str: "any text",
}
_MAPPING = "name to number"
_NESTED = "name to name to number"
SETTING_KINDS = (*_KINDS.values(), _MAPPING, _NESTED)
"""Names of the kinds; pydantic puts them into the places of mistakes."""


def _kind(value: object) -> str | None:
    if isinstance(value, dict):
        return _NESTED if any(isinstance(below, dict) for below in value.values()) else _MAPPING
    return _KINDS.get(type(value))


Setting = Annotated[
    Annotated[float, Tag(_KINDS[float])]
    | Annotated[int, Tag(_KINDS[int])]
    | Annotated[str, Tag(_KINDS[str])]
    | Annotated[bool, Tag(_KINDS[bool])]
    | Annotated[dict[str, float], Tag(_MAPPING)]
    | Annotated[dict[str, dict[str, float]], Tag(_NESTED)],
    Discriminator(
        _kind,
        custom_error_type="setting",
        custom_error_message=(
            "Input should be a number, a text, true, false or a mapping of names to numbers"
        ),
    ),
]
