"""Taggers by name. Adding one: a file with its settings, a line here, its tests."""

from quality.taggers.clusters import ClusterSettings
from quality.taggers.interface import Tagger, TaggerSettings
from quality.taggers.linear import LinearSettings
from quality.taggers.metadata import MetadataTagger
from quality.taggers.rules import RulesTagger

__all__ = ["TAGGERS", "Tagger", "TaggerSettings"]

TAGGERS: dict[str, type[TaggerSettings]] = {
    "metadata": MetadataTagger,
    "rules": RulesTagger,
    "linear": LinearSettings,
    "clusters": ClusterSettings,
}
"""Name -> class of the settings, which fit a tagger."""
