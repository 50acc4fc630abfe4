"""Plots of texts: the profile of a corpus, what cleaning dropped, tokens of the domains."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from assets.plots import plot_style as style

MOST_LANGUAGES = 8
LOG_ABOVE = 50.0
"""Ratio of the last to the first edge above which a histogram gets a logarithmic axis."""


class DroppedCount(Protocol):
    """Documents that one rule rejected."""

    @property
    def reason(self) -> str:
        """What is wrong with them."""

    @property
    def num_documents(self) -> int:
        """How many."""


class CleaningCounts(Protocol):
    """What the summary of a cleaning has for a plot."""

    @property
    def raw(self) -> int:
        """Documents before."""

    @property
    def kept(self) -> int:
        """Documents after."""

    @property
    def rejected(self) -> Sequence[DroppedCount]:
        """One entry per rule."""


def plot_cleaning(summary: CleaningCounts) -> bytes:
    """Bars of raw, kept and dropped documents of one cleaned corpus, as PNG."""
    dropped = [(entry.reason, entry.num_documents) for entry in summary.rejected]
    return plot_dropped(summary.raw, summary.kept, dropped)


class LanguageCount(Protocol):
    """Documents of one language."""

    @property
    def num_documents(self) -> int:
        """How many."""


class ProfileCounts(Protocol):
    """What the profile of a corpus has for a plot."""

    @property
    def length_histogram_edges_chars(self) -> Sequence[float]:
        """Limits of the bins."""

    @property
    def length_histogram_documents(self) -> Sequence[int]:
        """Documents of each bin."""

    @property
    def languages(self) -> Mapping[str, LanguageCount]:
        """Found language -> its documents."""


def plot_corpus_profile(profile: ProfileCounts) -> bytes:
    """Length histogram and languages of one raw corpus, as PNG."""
    return plot_histograms(
        profile.length_histogram_edges_chars,
        profile.length_histogram_documents,
        {code: found.num_documents for code, found in profile.languages.items()},
    )


def plot_histograms(
    edges: Sequence[float],
    counts: Sequence[int],
    languages: Mapping[str, int],
    *,
    unit: str = "characters",
) -> bytes:
    """Length histogram beside the documents of each language, as PNG.

    Args:
        edges: Limits of the bins, ascending, one more than counts.
        counts: Documents of each bin.
        languages: Language code -> documents; the rarest are drawn as one bar.
        unit: Of the lengths.

    Raises:
        ValueError: There is not one edge more than counts.
    """
    if len(edges) != len(counts) + 1:
        raise ValueError(f"{len(counts)} bins have {len(counts) + 1} edges, got {len(edges)}")
    shown = _commonest(languages)
    height = max(2.8, 1.1 + 0.28 * len(shown))
    with style.sheet(9.2, height, columns=2, ratios=(3, 2)) as (figure, (left, right)):
        left.stairs(counts, edges, fill=True, color=style.ACCENT)
        if edges[0] > 0 and edges[-1] / edges[0] > LOG_ABOVE:
            left.set_xscale("log")
        left.grid(axis="y")
        style.thousands(left)
        style.thousands(left, "y")
        left.set(
            title="Length of the documents", xlabel=f"length ({unit})", ylabel="documents", ylim=0
        )
        total = max(sum(languages.values()), 1)
        values = list(shown.values())
        right.barh(range(len(shown)), values, color=style.ACCENT, height=0.65)
        style.name_rows(right, list(shown))
        texts = [f"{style.short_count(value)} ({value / total:.1%})" for value in values]
        style.label_bars(right, values, texts, room=1.5)
        style.thousands(right)
        right.set(title="Language found", xlabel="documents")
        return style.as_png(figure)


def _commonest(languages: Mapping[str, int]) -> dict[str, int]:
    ranked = sorted(languages.items(), key=lambda entry: (-entry[1], entry[0]))
    shown = dict(ranked[:MOST_LANGUAGES])
    rest = ranked[MOST_LANGUAGES:]
    if rest:
        shown[f"{len(rest)} others"] = sum(count for _, count in rest)
    return shown


def plot_dropped(raw: int, kept: int, dropped: Sequence[tuple[str, int]]) -> bytes:
    """Bars of raw and kept documents, then of the dropped ones by reason, as PNG.

    Args:
        raw: Documents before.
        kept: Documents after.
        dropped: (reason, documents) in any order; drawn with the commonest on top.

    Raises:
        ValueError: raw is not kept plus all dropped.
    """
    total = sum(count for _, count in dropped)
    if raw != kept + total:
        raise ValueError(f"raw = kept + dropped must hold, got {raw} != {kept} + {total}")
    reasons = sorted(dropped, key=lambda entry: (-entry[1], entry[0]))
    names = ["raw", "kept", *(reason for reason, _ in reasons)]
    values = [raw, kept, *(count for _, count in reasons)]
    colours = [style.LIGHT, style.ACCENT, *[style.WARNING] * len(reasons)]
    with style.sheet(9.2, 1.2 + 0.28 * len(names)) as (figure, (axes,)):
        axes.barh(range(len(names)), values, color=colours, height=0.65)
        style.name_rows(axes, names)
        share = [f"{value:,} ({value / max(raw, 1):.1%})" for value in values]
        style.label_bars(axes, values, share)
        style.thousands(axes)
        axes.set(title="Raw, kept, and dropped by reason", xlabel="documents")
        return style.as_png(figure)


def plot_tokens(train: Mapping[str, int], heldout: Mapping[str, int]) -> bytes:
    """Training and held-out tokens of each domain, as PNG.

    Args:
        train: Domain -> tokens to train on.
        heldout: Domain -> tokens held out, the same domains.

    Raises:
        ValueError: The two name different domains.
    """
    if train.keys() != heldout.keys():
        raise ValueError(f"domains differ: {sorted(train)} and {sorted(heldout)}")
    names = sorted(train, key=lambda name: (-train[name], name))
    learned = np.array([train[name] for name in names], dtype=np.float64)
    kept_back = np.array([heldout[name] for name in names], dtype=np.float64)
    with style.sheet(9.2, 1.5 + 0.3 * len(names)) as (figure, (axes,)):
        rows = np.arange(len(names))
        axes.barh(rows, learned, color=style.ACCENT, height=0.65, label="training")
        axes.barh(rows, kept_back, left=learned, color=style.LIGHT, height=0.65, label="held out")
        style.name_rows(axes, names)
        texts = [
            f"{style.short_count(one)} + {style.short_count(other)}"
            for one, other in zip(learned, kept_back, strict=True)
        ]
        style.label_bars(axes, list(learned + kept_back), texts)
        style.thousands(axes)
        axes.set(title="Tokens of the domains", xlabel="tokens")
        style.legend_above(axes)
        return style.as_png(figure)
