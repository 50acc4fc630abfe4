"""DoGE: a proxy run whose loss leans to the domains whose gradients help the others.

    g_j = gradient of the mean loss of domain j's rows in the batch
    W_j = <g_j, sum of g_i over i != j>         or  <g_j, gradient of the targets' held-out loss>
    s_j = clip(W_j / (mean_i |g_i| + 1e-6), clip_low, clip_high)
    alpha <- (1 - c) softmax(log alpha + N lr s / mu) + c / D          every N steps
    loss  = sum_d alpha_d * mean loss of d's rows in the batch
    result = mean of alpha over the steps

As with DoReMi the batches have fixed shares, alpha acts in the loss alone, and the real run is
trained on this one's learned_weights. Inner products are taken as training.gradient_alignment says,
for 5/3 of a step every N steps. A domain that is absent from the measured batch has no gradient:
its share moves like the mean of the others, no old gradient is used. Alignments below zero count as
clip_low = 0, so a harmful domain only loses by the gains of others. The move is in proportion to
the learning rate: weights barely move in the warm-up and stop with its decay. Inner products of one
batch are noisy: small mu, large N or small batches make the weights wander.

Source: Fan et al. 2023, "DoGE: Domain Reweighting with Generalization Estimation",
arXiv:2310.15393, and the released code (normalisation, clip, mu = .01).
Deviations, and why:
- The self term |g_j|^2 is left out (`self_term: true` keeps it): with it the domain with the
  largest gradient wins. The released code means to leave it out, but its test is never true.
- Measured every N steps, not at each; the move is N times as large, since it stands for N steps.
- Gradients are not clipped one by one before they are compared.
Shapes: D domains.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as config_dataclass

from training.arrays import Floats, Ints
from training.config import STRICT, Count, Setting
from training.mixers.interface import (
    AlignmentTarget,
    Json,
    MixerState,
    MixingTask,
    Observation,
    SamplingMixer,
    by_domain,
    parse_settings,
    require_next_step,
    softmax,
    weights_by_name,
)
from training.policies import GradientAlignments


@config_dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class DoGESettings:
    """What the run file says."""

    mu: Annotated[float, Field(gt=0)] = 0.01
    """Strength of the pull to the weights before; small: large moves."""
    every_steps: Count = 50
    """N, steps between two measurements."""
    clip_low: float = 0.0
    """Least alignment."""
    clip_high: float = 5.0
    """Largest alignment."""
    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """c, share of the uniform mixture in alpha."""
    self_term: bool = False
    """Whether a domain's own gradient is part of what it is compared with."""
    targets: dict[str, float] | None = None
    """Weights of the held-out losses to help, by domain, naming all; None: all that is trained."""
    sampling_weights: dict[str, float] | None = None
    """Shares of the batches, by domain; None: uniform. A domain without a share is not weighted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DoGEState(MixerState):
    """All that changes."""

    step: int
    """Last step observed; -2 before the first."""
    domain_weights: Floats
    """alpha, shape (D,)."""
    summed_weights: Floats
    """Sum of alpha over the steps trained on it, shape (D,)."""
    scores: Floats
    """s of the last measurement, shape (D,); not a number where absent."""
    num_updates: int
    """Measurements so far."""


class DoGE(SamplingMixer):
    """The state machine over steps."""

    def __init__(self, settings: DoGESettings, task: MixingTask) -> None:
        """Check the settings against the run.

        Raises:
            ValueError: Shares that are no mixture over the domains, or an empty clip range.
        """
        if settings.clip_low >= settings.clip_high:
            raise ValueError(
                f"mixer 'doge': clip_low {settings.clip_low} must be below clip_high "
                f"{settings.clip_high}"
            )
        if settings.every_steps > task.steps:
            raise ValueError(
                f"mixer 'doge': a run of {task.steps} steps ends before the first comparison of "
                f"gradients at every_steps {settings.every_steps}; train longer or compare sooner"
            )
        self._settings = settings
        self._domains = task.domains
        self._sampling = self._by_name(settings.sampling_weights, "sampling_weights")
        if self._sampling is None:
            self._sampling = np.full(len(task.domains), 1 / len(task.domains))
        self._targets = self._by_name(settings.targets, "targets")
        self._drawn = self._sampling > 0

    def _by_name(self, weights: Mapping[str, float] | None, name: str) -> Floats | None:
        if weights is None:
            return None
        return weights_by_name(weights, self._domains, name=f"mixer.settings.{name}")

    def initial(self) -> DoGEState:
        """Return the state before the first observation: alpha uniform over what is sampled."""
        size = len(self._domains)
        return DoGEState(
            step=-2,
            domain_weights=self._drawn / self._drawn.sum(),
            summed_weights=np.zeros(size),
            scores=np.full(size, np.nan),
            num_updates=0,
        )

    def wants_evaluation(self, state: MixerState, step: int) -> bool:
        """Never: the signal is the gradients."""
        return False

    def wants_alignment(self, state: MixerState, step: int) -> AlignmentTarget | None:
        """Every N steps."""
        if step < 0 or (step + 1) % self._settings.every_steps:
            return None
        return AlignmentTarget(heldout_weights=self._targets)

    def observe(self, state: MixerState, observation: Observation) -> DoGEState:
        """Book a step; after a measurement, move alpha.

        Raises:
            ValueError: A step out of order, or gradients that are missing or not finite.
        """
        state = _own(state)
        require_next_step(state.step, observation)
        state = replace(state, step=observation.step)
        if observation.step < 0:
            return state
        state = replace(state, summed_weights=state.summed_weights + state.domain_weights)
        if self.wants_alignment(state, observation.step) is None:
            return state
        scores = self._scores(observation)
        known = np.where(np.isnan(scores), np.nanmean(scores), scores)
        step_size = self._settings.every_steps * observation.learning_rate / self._settings.mu
        alpha = np.zeros(len(scores))
        drawn, smoothing = self._drawn, self._settings.smoothing
        with np.errstate(divide="ignore"):
            alpha[drawn] = softmax(np.log(state.domain_weights[drawn]) + step_size * known[drawn])
        alpha = (1 - smoothing) * alpha + smoothing * drawn / drawn.sum()
        return replace(
            state, domain_weights=alpha, scores=scores, num_updates=state.num_updates + 1
        )

    def weights(self, state: MixerState, step: int) -> Floats:
        """Return the fixed shares of the batches."""
        assert self._sampling is not None
        return self._sampling.copy()

    def loss_weights(self, state: MixerState, counts: Ints) -> Floats:
        """Weight of a row of each domain, shape (D,), so that each counts by alpha."""
        return np.asarray(_own(state).domain_weights / np.where(counts > 0, counts, np.inf))

    def learned_weights(self, state: MixerState) -> Floats:
        """Return the mean of alpha over the steps: the weights for the real run."""
        state = _own(state)
        steps = max(state.step + 1, 1)
        return state.summed_weights / steps if state.step >= 0 else state.domain_weights.copy()

    def describe(self, state: MixerState) -> dict[str, Json]:
        """Return shares, loss weights, their mean so far, and the last alignments."""
        state = _own(state)
        assert self._sampling is not None
        return {
            "weights": by_domain(self._domains, self._sampling),
            "loss_weights": by_domain(self._domains, state.domain_weights),
            "learned_weights": by_domain(self._domains, self.learned_weights(state)),
            "measurements": state.num_updates,
            "alignments": {
                name: score
                for name, score in zip(self._domains, state.scores.tolist(), strict=True)
                if not np.isnan(score)
            },
        }

    def _scores(self, observation: Observation) -> Floats:
        found = observation.alignments
        present = observation.realised_counts > 0
        if found is None or not np.isfinite(found.dots[present]).all():
            raise ValueError(
                f"step {observation.step} needs finite gradient alignments of the domains in the "
                f"batch, got {found}; what is not finite means that training diverged"
            )
        gains = self._gains(found)
        norm = np.sqrt(found.squared_norms[present]).mean()
        return np.clip(
            np.where(present, gains / (norm + 1e-6), np.nan),
            self._settings.clip_low,
            self._settings.clip_high,
        )

    def _gains(self, found: GradientAlignments) -> Floats:
        own = self._settings.self_term or self._targets is not None
        return found.dots if own else found.dots - found.squared_norms


def make_doge(settings: Mapping[str, Setting], task: MixingTask) -> DoGE:
    """Return the DoGE mixer of a proxy run.

    Raises:
        ValueError: A wrong setting.
    """
    return DoGE(parse_settings(DoGESettings, "doge", settings), task)


def _own(state: MixerState) -> DoGEState:
    if not isinstance(state, DoGEState):
        raise TypeError(f"expected a DoGEState, got {type(state).__name__}")
    return state
