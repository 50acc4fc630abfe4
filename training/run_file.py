"""Reads a run file, JSON or YAML, into a RunConfig: folders made absolute, values replaced."""

import json
from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError

from training.config import RunConfig, UniqueKeyLoader, unique_keys, validation_message
from training.run_overrides import apply_overrides
from training.shard_format import MANIFEST_FILE
from training.shard_layout import find_domains

FOLDERS = ("domains", "tokenizer", "reference", "weights_from")
"""Keys whose values are folders; so is model.folder."""


def load_run_config(path: Path, *, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a run file, JSON or YAML. Relative folders are relative to the file.

    `domains` may be one folder: then every folder in it that holds token shards is a domain, or the
    folder itself if it does.

    Args:
        path: The file.
        overrides: `key=value` with a dotted key; values are JSON or YAML, folders relative to the
            working directory.

    Raises:
        ValueError: The file is missing or unreadable, or a value is wrong; the message names the
            file, the key and the value.
    """
    try:
        content = _read(path)
        json.dumps(content)  # dates and other things that YAML knows and JSON does not
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); name a run file") from error
    except (ValueError, TypeError, yaml.YAMLError) as error:
        told = " ".join(str(error).split())
        raise ValueError(f"{path}: cannot be read as a run file: {told}") from error
    if isinstance(content, dict):
        content = _with_absolute_folders(content, path.resolve().parent)
        content = _with_absolute_folders(apply_overrides(content, overrides), Path.cwd())
        content = {key: _expanded(key, value, path) for key, value in content.items()}
    try:
        return TypeAdapter(RunConfig).validate_json(json.dumps(content))
    except ValidationError as error:
        raise ValueError(validation_message(str(path), error, RunConfig)) from error


def _read(path: Path) -> object:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return json.loads(text, object_pairs_hook=unique_keys)
    if path.suffix in (".yaml", ".yml"):
        return yaml.load(text, UniqueKeyLoader)
    raise ValueError(f"a run file ends in .json, .yaml or .yml, got {path.suffix!r}")


def _with_absolute_folders(content: dict[str, object], base: Path) -> dict[str, object]:
    """Make the folders of a run file absolute; what is no text is left to the validation."""

    def absolute(value: object) -> object:
        if isinstance(value, dict):
            return {key: absolute(folder) for key, folder in value.items()}
        return str(base / value) if isinstance(value, str) else value

    changed = content | {key: absolute(content[key]) for key in FOLDERS if key in content}
    model = content.get("model")
    if isinstance(model, dict) and "folder" in model:
        changed["model"] = model | {"folder": absolute(model["folder"])}
    return changed


def _expanded(key: str, value: object, path: Path) -> object:
    """Turn one folder into the domains that it holds; other values stay.

    Raises:
        ValueError: It holds no domain, or half of one.
    """
    if key != "domains" or not isinstance(value, str):
        return value
    try:
        found = {name: str(folder) for name, folder in find_domains(Path(value)).items()}
    except ValueError as error:
        raise ValueError(f"{path}: domains: {error}") from error
    if not found:
        raise ValueError(
            f"{path}: domains: {value} holds no token shards; give a folder of them "
            f"({MANIFEST_FILE} in it, as mixwright tokenize writes it), one with such a folder for "
            f"each domain, divided into train/{MANIFEST_FILE} and heldout/{MANIFEST_FILE} or not, "
            "or a mapping of names to such folders"
        )
    return found
