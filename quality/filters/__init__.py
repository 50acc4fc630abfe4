"""Filters by name. Adding one: a file with a `Filter`, a line here, its tests."""

from quality.filters.character_classes import CHARACTER_CLASSES
from quality.filters.declared_language import DECLARED_LANGUAGE
from quality.filters.length import LENGTH
from quality.filters.line_shape import LINE_SHAPE
from quality.filters.repetition import REPETITION
from quality.filters.rules import Filter

FILTERS: dict[str, Filter] = {
    "length": LENGTH,
    "language": DECLARED_LANGUAGE,
    "characters": CHARACTER_CLASSES,
    "lines": LINE_SHAPE,
    "repetition": REPETITION,
}
"""In the order in which their rules are tried: the first that fails is the reason given."""
