"""Pictures of curves, of a critical share, and of what transfers between scales."""

import warnings

import numpy as np
import pytest

from assets.plots import (
    Estimate,
    plot_critical_share,
    plot_extended_curves,
    plot_residuals,
    plot_style,
    plot_transfer,
)

X = np.array([1.0, 2, 4])
LOSSES = np.array([[[3.0, 2.5, np.nan], [2.0, 1.8, 1.7]]])


@pytest.fixture
def drawn(monkeypatch):
    """Figures that are rendered."""
    figures = []
    render = plot_style.as_png
    monkeypatch.setattr(
        plot_style, "as_png", lambda figure: figures.append(figure) or render(figure)
    )
    return figures


def test_each_curve_is_drawn_to_the_wanted_point(drawn):
    png = plot_extended_curves(
        ["x"], X, LOSSES, predict=lambda target, curve, x: 2 + 0 * x + curve, to=16.0, by="step"
    )
    assert png.startswith(b"\x89PNG")
    (axes,) = drawn[0].axes
    lines = [line for line in axes.lines if len(line.get_xdata()) > 2]
    assert [line.get_ydata()[0] for line in lines] == [2.0, 3.0]
    assert [line.get_xdata()[-1] for line in lines] == [pytest.approx(16.0)] * 2
    with pytest.raises(ValueError, match=r"losses must have shape \(2, C, 3\), got \(1, 2, 3\)"):
        plot_extended_curves(["x", "y"], X, LOSSES, predict=np.add, to=9.0, by="step")


@pytest.mark.parametrize(("found", "num_lines"), [(0.3, 3), (None, 2)])
def test_the_critical_share_is_marked_where_there_is_one(drawn, found, num_lines):
    shares = np.linspace(0, 1, 11)
    losses = 3 - shares
    png = plot_critical_share(
        shares,
        losses,
        low=losses - 0.1,
        high=losses + 0.1,
        runs=(shares[:2], losses[:2]),
        limit=2.7,
        found=found,
        domain="old_text",
        target="old_text",
    )
    assert png.startswith(b"\x89PNG")
    (axes,) = drawn[0].axes
    assert len(axes.lines) == num_lines
    assert axes.get_xlabel() == "share of old text"


def test_transfer_shows_losses_ranks_and_levels(drawn):
    ranks = [Estimate(name="average", value=0.8, low=0.1, high=1.0)]
    png = plot_transfer(
        [3.0, 3.2], [2.5, 2.6], correction=(-0.5, 1.0), ranks=ranks, errors={"average": (0.5, 0.1)}
    )
    assert png.startswith(b"\x89PNG")
    left, middle, right = drawn[0].axes
    assert left.lines[1].get_ydata().tolist() == [2.5, 2.7]
    assert [label.get_text() for label in middle.get_yticklabels()] == ["average"]
    assert right.get_xlim()[0] == 0
    with pytest.raises(ValueError, match="one prediction per run, got 1 and 2"):
        plot_transfer([3.0], [2.5, 2.6], correction=(0.0, 1.0), ranks=ranks, errors={})


def test_letters_that_the_font_lacks_are_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_residuals(["数学"], np.ones((3, 1)), np.zeros((3, 1)))
