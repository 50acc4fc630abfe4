"""Put filters, thresholds and profiles into docs/preparation.md: `python docs/print_filters.py`.

Everything comes from the modules of the filters, so a default stands in one place. A test fails
while the document says something else.
"""

import ast
import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from quality.cleaning_profiles import CLEANING_PROFILES
from quality.filters import FILTERS

DOCUMENT = Path(__file__).parent / "preparation.md"
BLOCK = re.compile(
    r"(<!-- (?P<name>filters|profiles):begin -->\n).*?(<!-- (?P=name):end -->)", re.S
)


def main() -> None:
    """Replace the text between the markers."""
    DOCUMENT.write_text(render(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")


def render(text: str) -> str:
    """Fill the marked blocks of the document."""
    blocks = {"filters": "".join(_filters()), "profiles": "".join(_profiles())}
    return BLOCK.sub(lambda found: found[1] + blocks[found["name"]] + found[3], text)


def _filters() -> Iterator[str]:
    for name, parts in FILTERS.items():
        settings = parts.settings
        assert isinstance(settings, type)
        assert dataclasses.is_dataclass(settings)
        module = sys.modules[settings.__module__]
        source = Path(str(module.__file__)).relative_to(DOCUMENT.parents[1])
        yield f"\n### `{name}`\n\n{_prose(inspect.getdoc(module) or '')}\n"
        yield f"\nIn `{source}`.\n\n| threshold | default | meaning |\n|---|---|---|\n"
        meanings = _meanings(settings)
        for field in dataclasses.fields(settings):
            yield f"| `{field.name}` | {say(field.default)} | {meanings[field.name]} |\n"


def say(threshold: object) -> str:
    """Write a threshold: `off`, `yes`, `no` or the number."""
    if threshold is None or isinstance(threshold, bool):
        return {None: "off", True: "yes", False: "no"}[threshold]
    assert isinstance(threshold, int | float)
    return f"{threshold:,.10g}"


def _prose(docstring: str) -> str:
    """Turn a docstring into Markdown: indented paragraphs become blocks of code."""
    paragraphs = docstring.split("\n\n")
    return "\n\n".join(
        f"```text\n{inspect.cleandoc(one)}\n```"
        if one.startswith("    ")
        else " ".join(one.split())
        for one in paragraphs
    )


def _meanings(settings: type) -> dict[str, str]:
    """Docstring of each field, which Python does not keep."""
    (body,) = ast.parse(inspect.cleandoc(inspect.getsource(settings))).body
    assert isinstance(body, ast.ClassDef)
    meanings = {}
    for field, docstring in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(docstring, ast.Expr):
            assert isinstance(field.target, ast.Name)
            meanings[field.target.id] = " ".join(ast.literal_eval(docstring.value).split())
    return meanings


def _profiles() -> Iterator[str]:
    yield "\n| profile | filter | thresholds that differ from its defaults |\n|---|---|---|\n"
    for profile in CLEANING_PROFILES.values():
        label = f"**{profile.name}**"
        for name, thresholds in profile.filters.items():
            told = ", ".join(f"`{key}` {say(value)}" for key, value in thresholds.items())
            yield f"| {label} | `{name}` | {told or 'none'} |\n"
            label = ""
        if not profile.deduplicate:
            yield f"| {label} | no exact deduplication | |\n"
    yield "\n"


if __name__ == "__main__":
    main()
