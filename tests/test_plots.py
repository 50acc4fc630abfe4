import base64
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pytest

from assets import plots
from assets.plots import plot_style, training_plots
from assets.plots.mixture_plots import whiskers

DOMAINS = ("code", "legal_texts", "prose")


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


def png_size(png):
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert png[-8:-4] == b"IEND"
    return struct.unpack(">II", png[16:24])


@dataclass(frozen=True)
class Dropped:
    reason: str
    num_documents: int


@dataclass(frozen=True)
class Cleaned:
    raw: int
    kept: int
    rejected: tuple[Dropped, ...]


CLEANED = Cleaned(raw=100, kept=90, rejected=(Dropped("too short", 7), Dropped("exact copy", 3)))
WEIGHTS = np.array([[0.5, 0.3, 0.2], [0.0, 0.9, 0.1]])
LOSSES = np.array([[5.0, 4.0, 3.0], [5.5, 4.2, 2.9], [5.2, 4.1, 3.3]])
DIFFERENCES = [
    plots.MethodDifference(
        method="aioli", domain="code", by_seed=(-0.02, -0.01, -0.03), low=-0.045, high=0.005
    ),
    plots.MethodDifference(
        method="proportional", domain="code", by_seed=(0.1,), low=None, high=None
    ),
]
PREDICTED = [
    plots.PredictedLoss(
        method="uniform",
        domain="code",
        predicted=4.0,
        low=3.9,
        high=4.2,
        actual=4.1,
        actual_error=0.02,
    ),
    plots.PredictedLoss(
        method="uniform",
        domain="prose",
        predicted=5.0,
        low=None,
        high=None,
        actual=4.9,
        actual_error=None,
    ),
]


@dataclass(frozen=True)
class Found:
    num_documents: int


@dataclass(frozen=True)
class Profile:
    length_histogram_edges_chars: tuple[float, ...] = (10, 100, 1000)
    length_histogram_documents: tuple[int, ...] = (5, 3)
    languages: Mapping[str, Found] = field(default_factory=lambda: {"en": Found(7), "de": Found(1)})


CONFUSION = pl.DataFrame(
    {"first": ["code", "code", None], "second": ["law", None, None], "num_documents": [2, 1, 1]}
)
CASES = {
    "profile": (lambda: plots.plot_corpus_profile(Profile()), 2),
    "cleaning": (lambda: plots.plot_cleaning(CLEANED), 1),
    "tokens": (lambda: plots.plot_tokens({"code": 10, "prose": 5}, {"code": 1, "prose": 1}), 1),
    "swarm": (lambda: plots.plot_swarm(["a", "b"], DOMAINS, WEIGHTS), 2),  # and the colour bar
    "law_fit": (
        lambda: plots.plot_law_fit(DOMAINS, LOSSES, LOSSES + 0.1, notes={"code": "0.9"}),
        3,
    ),
    "baselines": (
        lambda: plots.plot_baselines(
            {"law": 0.9, "mean": None}, {"law": 0.01, "mean": 0.2}, emphasised="law"
        ),
        2,
    ),
    "estimates": (
        lambda: plots.plot_estimates(
            [plots.Estimate(name="code", value=-0.1, low=-0.2, high=0.1)], label="nats"
        ),
        1,
    ),
    "plan": (
        lambda: plots.plot_plan(
            {"code": 0.4, "prose": 0.6},
            [
                plots.Estimate(name="code", value=0.7, low=0.6, high=0.8),
                plots.Estimate(name="prose", value=0.3),
            ],
            {"code": 1.5, "prose": 0.2},
        ),
        1,
    ),
    "training_losses": (
        lambda: plots.plot_training_losses(
            [1, 2, 3],
            [9.0, 8.0, 7.5],
            {"code": [9.0, None, 7.0], "prose": [None, None, None]},
            heldout={3: {"code": 7.1}},
        ),
        2,
    ),
    "sampling_weights": (
        lambda: plots.plot_sampling_weights([1, 2], {"code": [0.5, 0.2], "prose": [0.5, 0.8]}),
        1,
    ),
    "evaluation": (
        lambda: plots.plot_evaluation({"code": 4.0, "prose": 5.0}, {"code": 0.1, "prose": None}),
        1,
    ),
    "methods": (lambda: plots.plot_methods(DIFFERENCES, baseline="uniform", min_seeds=3), 1),
    "predicted": (lambda: plots.plot_predicted_against_actual(PREDICTED), 1),
    "skills": (lambda: plots.plot_skills({"code": 3, "": 1}, None), 1),
    "two_taggers": (lambda: plots.plot_skills({"code": 3, "": 1}, CONFUSION), 2),
    "scores": (lambda: plots.plot_scores(np.array([0.1, 0.2, 0.9])), 1),
    "cost": (lambda: plots.plot_cost({"proxy_runs": 90.0, "swarm": 0.2}, {"proxy_runs": 5.0}), 1),
}


@pytest.mark.parametrize("name", CASES)
def test_plot_is_a_png_with_its_axes_and_labelled_units(name, drawn):
    make, num_axes = CASES[name]
    png = make()
    size = png_size(png)
    (figure,) = drawn
    np.testing.assert_allclose(
        size, plot_style.DOTS_PER_INCH * figure.get_size_inches(), rtol=0, atol=1
    )
    assert len(figure.axes) == num_axes
    labels = [figure.get_supxlabel(), *(axes.get_xlabel() for axes in figure.axes)]
    labels += [axes.get_ylabel() for axes in figure.axes]
    assert any(labels)


@pytest.mark.parametrize("name", CASES)
def test_names_are_written_horizontally(name, drawn):
    CASES[name][0]()
    for axes in drawn[0].axes:
        for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
            assert label.get_rotation() == 0


def test_same_values_give_the_same_bytes():
    assert plots.plot_cleaning(CLEANED) == plots.plot_cleaning(CLEANED)


def test_style_does_not_leak():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    plots.plot_cleaning(CLEANED)
    assert dict(mpl.rcParams) == before


def test_rare_languages_become_one_bar(drawn):
    languages = {f"l{number}": 100 - number for number in range(11)}
    plots.plot_histograms([1, 2], [1], languages)
    names = [label.get_text() for label in drawn[0].axes[1].get_yticklabels()]
    assert names == [f"l{number}" for number in range(8)] + ["3 others"]


def test_dropped_reasons_come_by_size_after_raw_and_kept(drawn):
    plots.plot_cleaning(CLEANED)
    axes = drawn[0].axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "raw",
        "kept",
        "too short",
        "exact copy",
    ]
    assert [bar.get_width() for bar in axes.patches] == [100, 90, 7, 3]


def test_evaluation_draws_no_bar_where_the_error_is_unknown(drawn):
    plots.plot_evaluation({"prose": 5.0, "code": 4.0}, {"prose": None, "code": 0.1})
    (bars,) = drawn[0].axes[0].containers
    code, prose = bars[2][0].get_segments()
    np.testing.assert_allclose(code, [[3.9, 0], [4.1, 0]])
    assert not np.isfinite(prose).any()


def test_dearest_asset_is_on_top_with_its_time(drawn):
    plots.plot_cost({"swarm": 0.2, "proxy_runs": 90.0}, {"proxy_runs": 5.0})
    axes = drawn[0].axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["proxy runs", "swarm"]
    assert [text.get_text() for text in axes.texts] == ["1 min 35 s", "0.2 s"]


def test_profile_uses_a_logarithmic_axis_for_wide_lengths(drawn):
    plots.plot_corpus_profile(Profile())
    assert drawn[0].axes[0].get_xscale() == "log"
    assert drawn[0].axes[0].patches[0].get_data().values.tolist() == [5, 3]


def test_predicted_and_actual_share_limits_that_hold_every_bar(drawn):
    plots.plot_predicted_against_actual(PREDICTED)
    axes = drawn[0].axes[0]
    assert axes.get_xlim() == axes.get_ylim()
    # the bar from 3.9 and the point at 5.0, and 6 % of the distance beyond
    np.testing.assert_allclose(axes.get_xlim(), (3.9 - 0.066, 5.0 + 0.066))


def test_no_interval_is_drawn_for_too_few_seeds(drawn):
    plots.plot_methods(DIFFERENCES, baseline="uniform", min_seeds=3)
    bars = [container for container in drawn[0].axes[0].containers if container.has_xerr]
    segments = [segment for bar in bars for segment in bar[2][0].get_segments()]
    assert len(segments) == 1
    np.testing.assert_allclose(segments[0][:, 0], [-0.045, 0.005])


def test_sampling_weights_legend_reads_like_the_stack(drawn):
    plots.plot_sampling_weights([1, 2], {"code": [0.5, 0.2], "prose": [0.5, 0.8]})
    legend = [text.get_text() for text in drawn[0].axes[0].get_legend().get_texts()]
    assert legend == ["prose", "code"]


def test_a_run_of_one_step_is_seen(drawn):
    """A line or an area through one point would have no length."""
    plots.plot_training_losses([1], [2.5], {"code": [2.0]})
    left, right = drawn[0].axes
    assert [line.get_marker() for line in (*left.lines, *right.lines)] == ["o", "o"]
    plots.plot_sampling_weights([1], {"code": [0.5], "prose": [0.5]})
    axes = drawn[1].axes[0]
    assert axes.get_xlim() == (0.5, 1.5)
    widths = [np.ptp(area.get_paths()[0].vertices[:, 0]) for area in axes.collections]
    assert widths == [1, 1]


def test_ticks_between_whole_percentages_keep_their_decimal(drawn):
    CASES["plan"][0]()
    formatter = drawn[0].axes[0].xaxis.get_major_formatter()
    formatter.set_locs([0.0, 0.025, 0.05])
    formatter.axis.set_view_interval(0.0, 0.05, ignore=True)
    assert formatter(0.025) == "2.5%"


def test_no_two_of_thirty_series_look_alike():
    looks = {(look.colour, look.dash) for look in map(plot_style.series_look, range(30))}
    assert len(looks) == 30


def test_running_mean_worked_by_hand_skips_unknown_values():
    values = np.array([1.0, np.nan, 3.0, 8.0, np.nan, np.nan, np.nan])
    np.testing.assert_allclose(
        training_plots.running_mean(values, 3), [1.0, 2.0, 5.5, 5.5, 8.0, np.nan, np.nan]
    )


def test_whiskers_never_point_inwards():
    np.testing.assert_allclose(
        whiskers([1.0, 1.0], [0.5, 1.2], [1.5, 1.3]), [[0.5, 0.0], [0.5, 0.3]]
    )


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (950, "950"), (12345, "12.3 k"), (999_999, "1.00 M"), (4_560_000, "4.56 M")],
)
def test_short_count(count, text):
    assert plot_style.short_count(count) == text


def test_markdown_holds_the_image_itself():
    markdown = plots.as_markdown(b"\x89PNG...", "loss")
    assert markdown == "![loss](data:image/png;base64,iVBORy4uLg==)"
    assert base64.b64decode("iVBORy4uLg==") == b"\x89PNG..."


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.plot_histograms([1, 2], [1, 2], {}), "3 edges, got 2"),
        (lambda: plots.plot_dropped(10, 5, [("short", 4)]), "10 != 5 \\+ 4"),
        (lambda: plots.plot_tokens({"a": 1}, {"b": 1}), "domains differ"),
        (lambda: plots.plot_swarm(["a"], DOMAINS, WEIGHTS), r"shape \(1, 3\), got \(2, 3\)"),
        (lambda: plots.plot_law_fit(DOMAINS, LOSSES, LOSSES[:2]), r"got \(3, 3\) and \(2, 3\)"),
        (lambda: plots.plot_baselines({"a": 1}, {"b": 1}, emphasised="a"), "predictors differ"),
        (lambda: plots.plot_plan({"a": 1}, [], {"a": 1}), "domains differ"),
        (lambda: plots.plot_evaluation({"a": 1}, {}), "domains differ"),
    ],
)
def test_plot_rejects(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_bars_of_two_taggers_have_the_shares_of_the_second(drawn):
    plots.plot_skills({"code": 3, "": 1}, CONFUSION)
    _, right = drawn[0].axes
    widths = {bars.get_label(): [bar.get_width() for bar in bars] for bars in right.containers}
    assert widths == {"(none)": pytest.approx([1 / 3, 1]), "law": pytest.approx([2 / 3, 0])}
