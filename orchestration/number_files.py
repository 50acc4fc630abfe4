"""JSON files that hold one number per name, as people write them for a command."""

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
        content = TypeAdapter(dict[str, object]).validate_json(path.read_bytes())
        inner = content.get("weights", content)
        numbers = TypeAdapter(dict[str, float]).validate_python(inner, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{path}: {where or 'content'}: {first['msg']}") from error
    for name, number in numbers.items():
        if not math.isfinite(number):
            raise ValueError(f"{path}: {name}: must be finite, got {number}")
    return numbers


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
