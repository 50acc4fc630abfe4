"""DoReMi: a proxy run whose loss leans to the domains where it lags behind a reference most.

    lambda_d = mean over the tokens of d in the batch of max(loss - reference loss, 0)
    alpha    = (1 - c) softmax(log alpha + eta lambda) + c / D        after every step
    loss     = sum_d alpha_d * mean loss of d's rows in the batch    (normalisation: domain)
    result   = mean of alpha over the steps, the uniform start included

Three stages, each a run: a reference on natural or uniform weights with any mixer; this proxy, with
`reference` naming the first; and the real run on this one's learned_weights, which result.json and
the metrics record. The proxy samples from fixed shares (uniform unless given) and alpha acts in the
loss alone: acting in both would count it twice.

A domain that is absent from a batch keeps its last score. One that was never seen has the mean of
the others, so that it is not moved. With `normalisation: batch` the loss is that of the released
code: tokens weigh alpha_d / sampling share, divided by the sum over the batch; it lets chance in
the batch's composition through. A reference that is weaker than the proxy leaves every score at
zero, and the weights go back to uniform by the factor 1 - c a step: see `mean_excess` in the
record.

Cost: a forward pass of the reference at each step, about a third of a step.
Source: Xie et al. 2023, "DoReMi: Optimizing Data Mixtures Speeds Up Language Model Pretraining",
arXiv:2305.10429. Deviation: the released code starts with the score log(vocabulary size).
Shapes: D domains.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as config_dataclass

from training.arrays import Floats, Ints
from training.config import STRICT, Setting
from training.mixers.interface import (
    Json,
    MixerState,
    MixingTask,
    Observation,
    SamplingMixer,
    Signal,
    by_domain,
    parse_settings,
    require_next_step,
    softmax,
    weights_by_name,
)


@config_dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class DoReMiSettings:
    """What the run file says."""

    eta: Annotated[float, Field(gt=0)] = 1.0
    """Step size; 0.1 if the weights run to one domain."""
    smoothing: Annotated[float, Field(ge=0, lt=1)] = 1e-3
    """c, share of the uniform mixture in alpha."""
    sampling_weights: dict[str, float] | None = None
    """Shares of the batches, by domain; None: uniform. A domain without a share is not weighted."""
    normalisation: Literal["domain", "batch"] = "domain"
    """Whether each domain's rows are averaged first, as in the paper, or the whole batch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DoReMiState(MixerState):
    """All that changes."""

    step: int
    """Last step observed; -2 before the first."""
    domain_weights: Floats
    """alpha, shape (D,)."""
    average_weights: Floats
    """Mean of alpha so far, shape (D,)."""
    scores: Floats
    """lambda, shape (D,), nats per token; -1 where never seen."""
    num_updates: int
    """Steps that updated alpha."""


class DoReMi(SamplingMixer):
    """The state machine over steps."""

    def __init__(self, settings: DoReMiSettings, task: MixingTask) -> None:
        """Check the settings against the run.

        Raises:
            ValueError: No reference, or shares that are no mixture over the domains.
        """
        if not task.has_reference:
            raise ValueError(
                "mixer 'doremi' compares losses with a reference model: set `reference` to the "
                "folder of a finished run on the same shards"
            )
        self._settings = settings
        self._domains = task.domains
        shares = settings.sampling_weights
        self._sampling = (
            np.full(len(task.domains), 1 / len(task.domains))
            if shares is None
            else weights_by_name(shares, task.domains, name="mixer.settings.sampling_weights")
        )
        self._drawn = self._sampling > 0

    def initial(self) -> DoReMiState:
        """Return the state before the first observation: alpha uniform over what is sampled."""
        uniform = self._drawn / self._drawn.sum()
        return DoReMiState(
            step=-2,
            domain_weights=uniform,
            average_weights=uniform,
            scores=np.full(len(self._domains), -1.0),
            num_updates=0,
        )

    def wants_evaluation(self, state: MixerState, step: int) -> bool:
        """Never: the signal is the training loss."""
        return False

    def wants(self, state: MixerState, step: int) -> frozenset[Signal]:
        """The excess losses of every step."""
        return frozenset({"excess_losses"}) if step >= 0 else frozenset()

    def observe(self, state: MixerState, observation: Observation) -> DoReMiState:
        """Move alpha towards the domains with a large excess.

        Raises:
            ValueError: A step out of order, or excess losses that are missing or not finite.
        """
        state = _own(state)
        require_next_step(state.step, observation)
        state = replace(state, step=observation.step)
        if observation.step < 0:
            return state
        sums, counts = observation.excess_sums, observation.train_token_counts
        if sums is None or not np.isfinite(sums).all():
            raise ValueError(f"step {observation.step} needs finite excess losses, got {sums}")
        scores = np.where(counts > 0, sums / np.maximum(counts, 1), state.scores)
        seen = scores >= 0
        known = np.where(seen, scores, scores[seen].mean())
        alpha = self._update(state.domain_weights, known)
        updates = state.num_updates + 1
        return replace(
            state,
            domain_weights=alpha,
            average_weights=state.average_weights + (alpha - state.average_weights) / (updates + 1),
            scores=scores,
            num_updates=updates,
        )

    def weights(self, state: MixerState, step: int) -> Floats:
        """Return the fixed shares of the batches."""
        return self._sampling.copy()

    def loss_weights(self, state: MixerState, counts: Ints) -> Floats:
        """Weight of a row of each domain, shape (D,), so that each counts by alpha."""
        alpha = _own(state).domain_weights
        shares = counts if self._settings.normalisation == "domain" else self._sampling
        return np.asarray(alpha / np.where(shares > 0, shares, np.inf))

    def learned_weights(self, state: MixerState) -> Floats:
        """Return the mean of alpha: the weights for the real run."""
        return _own(state).average_weights.copy()

    def describe(self, state: MixerState) -> dict[str, Json]:
        """Return shares, loss weights, their mean so far, and the scores."""
        state = _own(state)
        seen = state.scores >= 0
        return {
            "weights": by_domain(self._domains, self._sampling),
            "loss_weights": by_domain(self._domains, state.domain_weights),
            "learned_weights": by_domain(self._domains, state.average_weights),
            "mean_excess": float(state.scores[seen].mean()) if seen.any() else None,
            "excess": {
                name: score
                for name, score in zip(self._domains, state.scores.tolist(), strict=True)
                if score >= 0
            },
        }

    def _update(self, alpha: Floats, scores: Floats) -> Floats:
        drawn, smoothing = self._drawn, self._settings.smoothing
        moved = np.zeros(len(alpha))
        with np.errstate(divide="ignore"):
            moved[drawn] = softmax(np.log(alpha[drawn]) + self._settings.eta * scores[drawn])
        return np.asarray((1 - smoothing) * moved + smoothing * drawn / drawn.sum())


def make_doremi(settings: Mapping[str, Setting], task: MixingTask) -> DoReMi:
    """Return the DoReMi mixer of a proxy run.

    Raises:
        ValueError: A wrong setting, or a run without a reference.
    """
    return DoReMi(parse_settings(DoReMiSettings, "doremi", settings), task)


def _own(state: MixerState) -> DoReMiState:
    if not isinstance(state, DoReMiState):
        raise TypeError(f"expected a DoReMiState, got {type(state).__name__}")
    return state
