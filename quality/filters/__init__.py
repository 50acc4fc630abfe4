"""Filters by name. Adding one: a file with a `Filter`, a line here, its tests."""

from quality.filters.c4 import C4
from quality.filters.character_classes import CHARACTER_CLASSES
from quality.filters.declared_language import DECLARED_LANGUAGE
from quality.filters.fineweb import FINEWEB
from quality.filters.gopher_quality import GOPHER_QUALITY
from quality.filters.gopher_repetition import GOPHER_REPETITION
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
    "gopher_repetition": GOPHER_REPETITION,
    "gopher_quality": GOPHER_QUALITY,
    "c4": C4,
    "fineweb": FINEWEB,
}
"""In the order in which their rules are tried: the first that fails is the reason given."""
