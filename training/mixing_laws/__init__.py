"""Mixing laws by name: held-out loss as a function of the weights."""

from training.mixing_laws import log_linear
from training.mixing_laws.interface import LawFamily, each_domain

LAWS: dict[str, LawFamily] = {
    "log_linear": LawFamily(
        refit=each_domain(log_linear.refit_log_linear),
        from_json=log_linear.LogLinearLaw.from_json,
        min_runs=log_linear.min_runs,
        convex=True,
        formula="L(p) = c + exp(t . p)",
    ),
}
