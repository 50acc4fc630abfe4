"""Changes to a run file from the command line: `schedule.steps=200`."""

import json
from collections.abc import Sequence

import yaml


def apply_overrides(content: dict[str, object], overrides: Sequence[str]) -> dict[str, object]:
    """Return the content of a run file with values replaced or added.

    Args:
        content: As read; it is not changed.
        overrides: `key=value`; dots in the key lead into sections. The value is JSON, or else YAML,
            so `1e-3`, `null`, `adamw`, `[1, 2]` and `{web: 0.5, code: 0.5}` all work.

    Raises:
        ValueError: No `=`, an empty key, a value that is no YAML, or a key below something that is
            no section.
    """
    changed: dict[str, object] = json.loads(json.dumps(content))
    for override in overrides:
        key, sign, text = override.partition("=")
        path = key.strip().split(".")
        if not sign or not all(path):
            raise ValueError(f"--set {override!r}: write key=value, for example schedule.steps=200")
        section = changed
        for depth, part in enumerate(path[:-1], start=1):
            below = section.setdefault(part, {})
            if not isinstance(below, dict):
                raise ValueError(
                    f"--set {override!r}: {'.'.join(path[:depth])} is {below!r}, not a section "
                    "with keys"
                )
            section = below
        section[path[-1]] = _value(text, override)
    return changed


def _value(text: str, override: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        value = yaml.safe_load(text)
        json.dumps(value)
    except (yaml.YAMLError, TypeError) as error:
        raise ValueError(f"--set {override!r}: the value is neither JSON nor YAML") from error
    return value
