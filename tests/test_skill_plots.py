import struct

import numpy as np
import pytest
from matplotlib.text import Annotation

from assets.plots import plot_skill_graph, plot_style

NAMES = ("add", "long_carry", "sum")
WEIGHTS = np.array([[0.5, 0.2, 0.01], [-0.1, 0.4, 0.3], [0.0, 0.0, 0.6]])
SIGNS = np.array(
    [
        ["positive", "positive", "none"],
        ["negative", "positive", "positive"],
        ["none", "none", "positive"],
    ]
)


@pytest.fixture
def drawn(monkeypatch):
    """Figures in the order in which they were rendered."""
    figures = []
    render = plot_style.as_png

    def remember(figure):
        figures.append(figure)
        return render(figure)

    monkeypatch.setattr(plot_style, "as_png", remember)
    return figures


def arrows(figure):
    axes = figure.axes[0]
    return [child for child in axes.get_children() if isinstance(child, Annotation)]


def size(png):
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", png[16:24])


def test_significant_edges_between_skills_are_arrows(drawn):
    png = plot_skill_graph(NAMES, NAMES, WEIGHTS, SIGNS)
    assert min(size(png)) > 300
    found = arrows(drawn[0])
    assert len(found) == 3  # two positive, one negative; no self-edges, none that are not sure
    widths = [arrow.arrow_patch.get_linewidth() for arrow in found]
    assert widths == pytest.approx([0.6 + 2.6 * part for part in (0.2 / 0.3, 0.1 / 0.3, 1.0)])
    assert [arrow.arrow_patch.get_linestyle() for arrow in found] == ["-", "--", "-"]
    assert found[0].xyann == found[2].xyann or found[0].xy == found[2].xyann  # add -> long carry
    cells = {text.get_text(): text for text in drawn[0].axes[1].texts}
    assert cells["0.20"].get_fontweight() == "bold"
    assert cells["0.01"].get_fontweight() == "normal"


def test_other_evaluated_skills_stand_on_the_right(drawn):
    signs = np.array([["positive", "unknown"], ["none", "positive"], ["none", "none"]])
    plot_skill_graph(NAMES, ("exam", "quiz"), WEIGHTS[:, :2], signs)
    found = arrows(drawn[0])
    assert [(arrow.xyann[0], arrow.xy[0]) for arrow in found] == [(-0.8, 0.8)] * 2


def test_no_edge_at_all_is_a_drawing_too(drawn):
    plot_skill_graph(NAMES, NAMES, np.zeros((3, 3)), np.full((3, 3), "none"))
    assert arrows(drawn[0]) == []


def test_refuses_shapes_that_do_not_fit_the_names():
    with pytest.raises(ValueError, match=r"must have shape \(3, 3\), got \(3, 2\) and \(3, 3\)"):
        plot_skill_graph(NAMES, NAMES, WEIGHTS[:, :2], SIGNS)
