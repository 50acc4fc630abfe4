"""JSON files that hold one number per name, as people write them for a command."""

import json
import math
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

ROUNDING = 0.01


def read_numbers(path: Path) -> dict[str, float]:
    """Read {"name": number, ...}; a file of `mixwright propose` gives its weights.

    Raises:
        ValueError: No such file, no JSON object of numbers, or a number that is not finite.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        text = path.read_bytes().decode("utf-8-sig")
        content = TypeAdapter(dict[str, object]).validate_python(
            json.loads(text, object_pairs_hook=_unique)
        )
        inner = content.get("weights", content)
        numbers = TypeAdapter(dict[str, float]).validate_python(inner, strict=True)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: no JSON: it is not UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: no JSON: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{path}: {where or 'content'}: {first['msg']}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    for name, number in numbers.items():
        if not math.isfinite(number):
            raise ValueError(f"{path}: {name}: must be finite, got {number}")
    return numbers


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object of JSON, in which a key must not stand twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice} stands there twice; keep one")
    return found


def read_tokens(path: Path) -> dict[str, float]:
    """Read available tokens, each at least 0 and one above it.

    Raises:
        ValueError: As `read_numbers`, or a number is negative, or all are 0.
    """
    tokens = read_numbers(path)
    for name, count in tokens.items():
        if count < 0:
            raise ValueError(f"{path}: {name}: tokens must not be negative, got {count:g}")
    if not sum(tokens.values()) > 0:
        raise ValueError(f"{path}: there are no tokens: {tokens}")
    return tokens


def read_shares(path: Path) -> dict[str, float]:
    """Read shares, each above 0; a sum within 1 % of 1 is taken for rounding and divided out.

    Raises:
        ValueError: As `read_numbers`, a share is not above 0, or the sum is not 1.
    """
    shares = read_numbers(path)
    for name, share in shares.items():
        if share <= 0:
            raise ValueError(
                f"{path}: {name}: a share must be above 0, got {share:g}; the divergence from a "
                f"share of 0 is infinite. To leave a domain out, say --forbid {name}"
            )
    total = sum(shares.values())
    if abs(total - 1) > ROUNDING:
        raise ValueError(f"{path}: shares must sum to 1, got {total:.6g}; divide by it")
    return {name: share / total for name, share in shares.items()}
