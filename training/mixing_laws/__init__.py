"""Mixing laws by name: held-out loss as a function of the weights."""

from training.mixing_laws import (
    additive,
    boosted_residual,
    boosted_trees,
    exponential,
    gaussian_process,
    linear,
    log_linear,
    quadratic,
    soft_minimum,
)
from training.mixing_laws.interface import LawFamily, each_domain

LAWS: dict[str, LawFamily] = {
    "log_linear": LawFamily(
        refit=log_linear.refit_each_log_linear,
        from_json=log_linear.LogLinearLaw.from_json,
        min_runs=log_linear.min_runs,
        convex=True,
        formula="L(p) = c + exp(t . p)",
    ),
    "additive": LawFamily(
        refit=additive.refit_additive,
        from_json=additive.AdditiveLaw.from_json,
        min_runs=additive.min_runs,
        convex=True,
        formula="L(p) = b + t . p + sum_j k_j ((p_j + s)^-a - 1) / a, k_j >= 0",
        widening=additive.interval_widening,
    ),
    "additive_signed": LawFamily(
        refit=additive.refit_signed_additive,
        from_json=additive.AdditiveLaw.from_json,
        min_runs=additive.min_runs,
        convex=False,
        formula="L(p) = b + t . p + sum_j k_j ((p_j + s)^-a - 1) / a",
        widening=additive.interval_widening,
    ),
    "exponential": LawFamily(
        refit=exponential.refit_exponential,
        from_json=exponential.ExponentialLaw.from_json,
        min_runs=exponential.min_runs,
        convex=True,
        formula="L_i(p) = c_i + k_i exp(a p_i + t . p)",
        widening=exponential.interval_widening,
    ),
    "soft_minimum": LawFamily(
        refit=each_domain(soft_minimum.refit_soft_minimum),
        from_json=soft_minimum.SoftMinimumLaw.from_json,
        min_runs=soft_minimum.min_runs,
        convex=True,
        formula="L(p) = -b log(sum_j p_j exp(-l_j / b))",
    ),
    "linear": LawFamily(
        refit=each_domain(linear.refit_linear),
        from_json=linear.LinearLaw.from_json,
        min_runs=linear.min_runs,
        convex=True,
        formula="L(p) = t . p",
    ),
    "quadratic": LawFamily(
        refit=each_domain(quadratic.refit_quadratic),
        from_json=quadratic.QuadraticLaw.from_json,
        min_runs=quadratic.min_runs,
        convex=False,
        formula="L(p) = t . p + sum_{i<j} b_ij p_i p_j",
    ),
    "lightgbm": LawFamily(
        refit=each_domain(boosted_trees.refit_boosted_trees),
        from_json=boosted_trees.BoostedTreesLaw.from_json,
        min_runs=boosted_trees.min_runs,
        convex=False,
        formula="L(p) = mean + trees(p)",
        intervals="heldout",
    ),
    "gaussian_process": LawFamily(
        refit=each_domain(gaussian_process.refit_gaussian_process),
        from_json=gaussian_process.GaussianProcessLaw.from_json,
        min_runs=gaussian_process.min_runs,
        convex=False,
        formula="L(p) = mean + k(p, runs) . a",
        intervals="heldout",
    ),
    "boosted_residual": boosted_residual.boosted_residual(
        log_linear.refit_log_linear,
        from_json=log_linear.LogLinearLaw.from_json,
        min_runs=log_linear.min_runs,
        formula="L(p) = c + exp(t . p)",
    ),
}
