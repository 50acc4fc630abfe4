"""What a strict settings dataclass says of itself: keys, types, limits, defaults, meanings.

The dataclass is the only source: types and limits come from its JSON schema, meanings from the
docstring below each field. So what is printed for a person cannot differ from what is accepted.
"""

import ast
import dataclasses
import difflib
import inspect
import itertools
import re
import textwrap
import typing
from collections.abc import Mapping, Sequence
from functools import cache

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

Schema = Mapping[str, object]

_LIMITS = {
    "minimum": ">=",
    "exclusiveMinimum": ">",
    "maximum": "<=",
    "exclusiveMaximum": "<",
}
_TYPES = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SettingDoc:
    """One key."""

    name: str
    """As it stands in a file."""
    allowed: str
    """Type and limits in words."""
    required: bool
    """Whether there is no default."""
    default: object
    """JSON value; None if the key is required or null is its default."""
    meaning: str
    """Docstring of the field, on one line."""
    nested: type | None
    """The dataclass whose keys stand below this one."""


def describe_settings(kind: type) -> tuple[SettingDoc, ...]:
    """List the keys of a pydantic dataclass in their order.

    Args:
        kind: The dataclass.
    """
    fields: Mapping[str, FieldInfo] = kind.__pydantic_fields__  # type: ignore[attr-defined]
    schema = TypeAdapter(kind).json_schema()
    definitions = schema.get("$defs", {})
    properties = schema.get("properties", {})
    meanings = field_docstrings(kind)
    hints = typing.get_type_hints(kind)
    return tuple(
        SettingDoc(
            name=name,
            allowed=_in_words(properties[name], definitions),
            required=field.is_required(),
            default=None if field.is_required() or nested else _default(field),
            # A file says null.
            meaning=re.sub(r"\bNone\b", "null", meanings.get(name, "")),
            nested=nested,
        )
        for name, field in fields.items()
        for nested in (_dataclass_in(hints[name]),)
    )


def _default(field: FieldInfo) -> object:
    return field.get_default(call_default_factory=True, validated_data={})


@cache
def field_docstrings(kind: type) -> Mapping[str, str]:
    """Return the docstring below each field of a dataclass, inherited ones too, on one line."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if dataclasses.is_dataclass(base):
            found |= _own_docstrings(base)
    return found


def _own_docstrings(kind: type) -> dict[str, str]:
    (body,) = (
        node.body
        for node in ast.parse(textwrap.dedent(inspect.getsource(kind))).body
        if isinstance(node, ast.ClassDef)
    )
    found = {}
    for field, below in itertools.pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
        ):
            found[field.target.id] = " ".join(str(below.value.value).split())
    return found


def unknown_key_advice(kind: type, path: Sequence[int | str]) -> str:
    """Say what may stand in place of an unknown key: the nearest name, then all names.

    Args:
        kind: Dataclass of the whole file.
        path: Where the key stands, itself last.
    """
    for part in path[:-1]:
        hints = typing.get_type_hints(kind)
        if str(part) not in hints:
            continue  # pydantic names the member of a union on the way
        below = _dataclass_in(hints[str(part)])
        if below is None:
            return ""
        kind = below
    names = [field.name for field in dataclasses.fields(kind)]
    near = difflib.get_close_matches(str(path[-1]), names, n=1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return f"{guess}allowed here: {', '.join(names) or 'none'}"


def _dataclass_in(hint: object) -> type | None:
    """Find the dataclass in `X`, `X | None` or `Annotated[X, ...]`."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return hint
    for part in typing.get_args(hint):
        if isinstance(part, type) and dataclasses.is_dataclass(part):
            return part
    return None


def _in_words(schema: Schema, definitions: Mapping[str, Schema]) -> str:
    if "$ref" in schema:
        return _in_words(definitions[str(schema["$ref"]).rsplit("/", 1)[-1]], definitions)
    if "anyOf" in schema or "oneOf" in schema:
        options = typing.cast(list[Schema], schema.get("anyOf", schema.get("oneOf")))
        return " or ".join(dict.fromkeys(_in_words(one, definitions) for one in options))
    if "enum" in schema or "const" in schema:
        values = typing.cast(list[object], schema.get("enum", [schema.get("const")]))
        return " or ".join(f"{value!r}" for value in values)
    if schema.get("type") == "object":
        return _mapping_in_words(schema, definitions)
    if schema.get("type") == "array":
        items = typing.cast(Schema, schema.get("items", {}))
        return f"list of {_in_words(items, definitions)}"
    limits = [f"{sign} {schema[key]:g}" for key, sign in _LIMITS.items() if key in schema]
    return " ".join([_TYPES.get(str(schema.get("type")), "any value"), ", ".join(limits)]).strip()


def _mapping_in_words(schema: Schema, definitions: Mapping[str, Schema]) -> str:
    patterns = schema.get("patternProperties", {"": schema.get("additionalProperties")})
    (below,) = typing.cast(Mapping[str, object], patterns).values()
    if "properties" in schema or not isinstance(below, Mapping):
        return "keys below"
    return f"name -> {_in_words(below, definitions)}"
