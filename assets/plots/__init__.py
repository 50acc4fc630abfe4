"""Plots as PNG bytes, made from values; nothing here knows Dagster."""

from assets.plots.corpus_plots import (
    plot_cleaning,
    plot_corpus_profile,
    plot_dropped,
    plot_histograms,
    plot_tokens,
)
from assets.plots.curve_plots import plot_critical_share, plot_extended_curves
from assets.plots.evaluation_plots import (
    MethodDifference,
    PredictedLoss,
    plot_cost,
    plot_evaluation,
    plot_methods,
    plot_predicted_against_actual,
)
from assets.plots.label_plots import plot_scores, plot_skills
from assets.plots.law_plots import plot_predictions, plot_residuals
from assets.plots.mixture_plots import (
    Estimate,
    plot_baselines,
    plot_estimates,
    plot_law_fit,
    plot_plan,
    plot_swarm,
)
from assets.plots.plot_style import as_data_uri, as_markdown
from assets.plots.scaling_plots import plot_isoflop_curve, plot_scaling_fit
from assets.plots.skill_plots import plot_skill_graph
from assets.plots.training_plots import plot_sampling_weights, plot_training_losses
from assets.plots.transfer_plots import plot_transfer

__all__ = [
    "Estimate",
    "MethodDifference",
    "PredictedLoss",
    "as_data_uri",
    "as_markdown",
    "plot_baselines",
    "plot_cleaning",
    "plot_corpus_profile",
    "plot_cost",
    "plot_critical_share",
    "plot_dropped",
    "plot_estimates",
    "plot_evaluation",
    "plot_extended_curves",
    "plot_histograms",
    "plot_isoflop_curve",
    "plot_law_fit",
    "plot_methods",
    "plot_plan",
    "plot_predicted_against_actual",
    "plot_predictions",
    "plot_residuals",
    "plot_sampling_weights",
    "plot_scaling_fit",
    "plot_scores",
    "plot_skill_graph",
    "plot_skills",
    "plot_swarm",
    "plot_tokens",
    "plot_training_losses",
    "plot_transfer",
]
