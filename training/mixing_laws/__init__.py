"""Mixing laws by name: held-out loss as a function of the weights."""

from training.mixing_laws import additive, exponential, log_linear, soft_minimum
from training.mixing_laws.interface import LawFamily, each_domain

LAWS: dict[str, LawFamily] = {
    "log_linear": LawFamily(
        refit=each_domain(log_linear.refit_log_linear),
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
    ),
    "additive_signed": LawFamily(
        refit=additive.refit_signed_additive,
        from_json=additive.AdditiveLaw.from_json,
        min_runs=additive.min_runs,
        convex=False,
        formula="L(p) = b + t . p + sum_j k_j ((p_j + s)^-a - 1) / a",
    ),
    "exponential": LawFamily(
        refit=exponential.refit_exponential,
        from_json=exponential.ExponentialLaw.from_json,
        min_runs=exponential.min_runs,
        convex=True,
        formula="L_i(p) = c_i + k_i exp(a p_i + t . p)",
    ),
    "soft_minimum": LawFamily(
        refit=each_domain(soft_minimum.refit_soft_minimum),
        from_json=soft_minimum.SoftMinimumLaw.from_json,
        min_runs=soft_minimum.min_runs,
        convex=True,
        formula="L(p) = -b log(sum_j p_j exp(-l_j / b))",
    ),
}
