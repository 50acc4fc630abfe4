"""Aioli: learns during training which domain lowers which loss, and tilts the weights to it.

Training is divided into rounds of U steps. A round begins with R sweeps of D probes, in shuffled
order; probe j trains s steps on a mixture with the share alpha of domain j and beta of each other,
beta = (1 - alpha) / (D - 1). Held-out losses are measured before the first and after every probe.
From their falls the round's mixing matrix A is solved, the weights are tilted, and the rest of the
round trains on them. The formulas stand in training.mixers.aioli_estimate.

Source: Chen et al. 2024, "Aioli: A Unified Optimization Framework for Language Model Data Mixing",
arXiv:2411.05735. `cumulative` is the update of the paper; `memoryless`, with a moving average of
the matrix, is the one its released settings run. Both forget the prior and start from uniform.
A memoryless share can exceed another by no more than the factor exp(eta), because the scores lie in
[0, 1]: with eta 0.2 and two domains the weights stay within [0.45, 0.55]. A cumulative one can grow
by that factor in every round.

Deviations, and why:
- A is solved from the shares that the batches really had: whole rows cannot realise alpha exactly.
- Domains whose contrast (column sum of A less the mean) is below min_signal standard errors get the
  average score, so that noise does not tilt them (their shares still change a little with those
  of the others); if all are below, weights and average stay as they are. Probe effects late in
  training are of the size of the evaluation noise, and normalising blows up whatever is there.
- At the start of a round, the falls that the last A predicted are compared with those that came
  (training.mixers.aioli_fidelity). Below min_fidelity the run trains on equal shares between the
  probes, and the record says `faithful: false`, until a round goes again as predicted.
- A round that has no step left after its probes is trained on the current weights without probes.
- Nothing moves in a round whose realised shares do not determine A (recorded as undetermined).
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from training.arrays import Floats, Ints
from training.config import Setting
from training.mixers.aioli_estimate import estimate_mixing_matrix, normalised_scores, tilt
from training.mixers.aioli_fidelity import fidelity, fidelity_verdict, predict_drops
from training.mixers.aioli_settings import AioliSettings, checked_prior, require_consistent
from training.mixers.aioli_state import AioliState
from training.mixers.interface import (
    GuardVerdict,
    Json,
    MixerState,
    MixingTask,
    Observation,
    SamplingMixer,
    by_domain,
    parse_settings,
    require_heldout_losses,
    require_next_step,
)


class Aioli(SamplingMixer):
    """The state machine over steps."""

    def __init__(self, settings: AioliSettings, task: MixingTask) -> None:
        """Check the settings against the run.

        Raises:
            ValueError: Settings that contradict each other or do not fit the run.
        """
        self._settings = settings
        self._task = task
        self._num_domains = len(task.domains)
        self._num_probes = settings.sweeps * self._num_domains
        self._probing_steps = self._num_probes * settings.probe_steps
        self._prior = checked_prior(settings, task)
        require_consistent(settings, task, self._probing_steps)

    def initial(self) -> AioliState:
        """Return the state before the first observation: uniform weights."""
        size = self._num_domains
        return AioliState(
            step=-2,
            losses=np.zeros(size),
            drops=np.zeros((self._num_probes, size)),
            counts=np.zeros((self._num_probes, size), dtype=np.int64),
            sampling_weights=np.full(size, 1 / size),
            scores=np.zeros(size),
            num_decisions=0,
            num_moves=0,
            determined=False,
            matrix=np.zeros((size, size)),
            standard_errors=np.zeros((size, size)),
            contrasts=np.zeros(size),
            contrast_error=0.0,
            moved=np.zeros(size, dtype=bool),
            rest_counts=np.zeros(size, dtype=np.int64),
            predicted_drops=np.zeros(size),
            observed_drops=np.zeros(size),
            num_compared=0,
            fidelity=0.0,
            num_unfaithful=0,
        )

    def wants_evaluation(self, state: MixerState, step: int) -> bool:
        """Before the first probe of a round and after each of them."""
        position = self._position(step + 1)
        return position is not None and position % self._settings.probe_steps == 0

    def observe(self, state: MixerState, observation: Observation) -> AioliState:
        """Book a step; after the last probe of a round, decide.

        Raises:
            ValueError: A step out of order, or held-out losses that are missing or not finite.
        """
        state = _own(state)
        step = observation.step
        require_next_step(state.step, observation)
        state = replace(state, step=step)
        position = self._position(step)
        if position is not None and position < self._probing_steps:
            counts = state.counts.copy()
            counts[position // self._settings.probe_steps] += observation.realised_counts
            state = replace(state, counts=counts)
        else:
            state = replace(state, rest_counts=state.rest_counts + observation.realised_counts)
        if not self.wants_evaluation(state, step):
            return state
        losses = require_heldout_losses(observation, self._num_domains)
        return self._book_losses(state, losses)

    def weights(self, state: MixerState, step: int) -> Floats:
        """Weights of the prior, of the running probe, or those learned."""
        state = _own(state)
        if self._prior is not None and step < self._settings.prior_steps:
            return self._prior.copy()
        position = self._position(step)
        if position is None or position >= self._probing_steps:
            return self._between_probes(state)
        others = (1 - self._settings.main_share) / (self._num_domains - 1)
        mixture = np.full(self._num_domains, others)
        order = self._probe_order(self._round(step))
        mixture[order[position // self._settings.probe_steps]] = self._settings.main_share
        return mixture

    def describe(self, state: MixerState) -> dict[str, Json]:
        """Return the learned weights and the evidence of the last decision."""
        state = _own(state)
        names = self._task.domains
        record: dict[str, Json] = {
            "weights": by_domain(names, self._between_probes(state)),
            "decisions": state.num_decisions,
            "moves": state.num_moves,
            "determined": state.determined,
            "faithful": self._faithful(state),
            "unfaithful_rounds": state.num_unfaithful,
        }
        if state.num_compared:
            record["fidelity"] = state.fidelity
            record["predicted_drops"] = by_domain(names, state.predicted_drops)
            record["observed_drops"] = by_domain(names, state.observed_drops)
        if not state.determined:
            return record
        record["moved"] = dict(zip(names, state.moved.tolist(), strict=True))
        record["contrasts"] = by_domain(names, state.contrasts)
        record["matrix"] = _by_domains(names, state.matrix)
        several = self._settings.sweeps > 1
        record["contrast_standard_error"] = state.contrast_error if several else None
        record["matrix_standard_errors"] = (
            _by_domains(names, state.standard_errors) if several else None
        )
        return record

    def verdicts(self, state: MixerState) -> tuple[GuardVerdict, ...]:
        """Return whether the rounds went as their matrices said, unless min_fidelity is -1."""
        state, least = _own(state), self._settings.min_fidelity
        if least == -1:
            return ()
        return (fidelity_verdict(state.num_compared, state.num_unfaithful, least),)

    def _round(self, step: int) -> int:
        return (step - self._settings.prior_steps) // self._settings.round_steps

    def _position(self, step: int) -> int | None:
        """Step within its round, up to the first after the probes; None where nothing is probed."""
        start = self._settings.prior_steps + self._round(step) * self._settings.round_steps
        position = step - start
        probes_fit = start + self._probing_steps < self._task.steps
        inside = step >= self._settings.prior_steps and position <= self._probing_steps
        return position if probes_fit and inside else None

    def _probe_order(self, number: int) -> Ints:
        """Main domain of each probe of a round, shape (R * D,): every sweep a new order."""
        rng = np.random.default_rng([self._settings.seed, number])
        sweeps = [rng.permutation(self._num_domains) for _ in range(self._settings.sweeps)]
        return np.concatenate(sweeps)

    def _book_losses(self, state: AioliState, losses: Floats) -> AioliState:
        position = self._position(state.step + 1)
        assert position is not None
        if position == 0:
            return replace(
                self._compare(state, losses),
                losses=losses,
                drops=np.zeros_like(state.drops),
                counts=np.zeros_like(state.counts),
                rest_counts=np.zeros_like(state.rest_counts),
            )
        drops = state.drops.copy()
        drops[position // self._settings.probe_steps - 1] = state.losses - losses
        state = replace(state, losses=losses, drops=drops)
        return self._decide(state) if position == self._probing_steps else state

    def _compare(self, state: AioliState, losses: Floats) -> AioliState:
        """Hold the last decision against what came of it, if it had a matrix."""
        if not state.determined:
            return state
        rows = self._settings.probe_steps * self._task.batch_rows
        predicted = predict_drops(state.matrix, state.rest_counts, rows)
        observed = state.losses - losses
        found = fidelity(predicted, observed)
        return replace(
            state,
            predicted_drops=predicted,
            observed_drops=observed,
            num_compared=state.num_compared + 1,
            fidelity=found,
            num_unfaithful=state.num_unfaithful + (found < self._settings.min_fidelity),
        )

    def _faithful(self, state: AioliState) -> bool:
        return state.num_compared == 0 or state.fidelity >= self._settings.min_fidelity

    def _between_probes(self, state: AioliState) -> Floats:
        """Learned weights; equal shares while the matrix does not predict what happens."""
        if self._faithful(state):
            return state.sampling_weights.copy()
        return np.full(self._num_domains, 1 / self._num_domains)

    def _decide(self, state: AioliState) -> AioliState:
        size = self._num_domains
        shape = (self._settings.sweeps, size, size)
        shares = state.counts / state.counts.sum(axis=1, keepdims=True)
        estimate = estimate_mixing_matrix(state.drops.reshape(shape), shares.reshape(shape))
        state = replace(state, num_decisions=state.num_decisions + 1)
        if estimate is None:
            first = self.initial()
            return replace(
                state,
                determined=False,
                matrix=first.matrix,
                standard_errors=first.standard_errors,
                contrasts=first.contrasts,
                contrast_error=first.contrast_error,
                moved=first.moved,
            )
        moved = estimate.significant(self._settings.min_signal)
        errors = estimate.standard_errors
        state = replace(
            state,
            determined=True,
            # In C order, as it comes back from a checkpoint: products depend on it in the last bit.
            matrix=np.ascontiguousarray(estimate.matrix),
            standard_errors=np.zeros((size, size)) if errors is None else errors,
            contrasts=estimate.contrasts,
            contrast_error=estimate.contrast_error or 0.0,
            moved=moved,
        )
        if not moved.any():
            return state
        scores = np.where(moved, normalised_scores(estimate.matrix), 1 / size)
        return self._move(state, scores)

    def _move(self, state: AioliState, scores: Floats) -> AioliState:
        eta, ema = self._settings.eta, self._settings.ema
        if self._settings.update == "cumulative":
            weights = tilt(state.sampling_weights, scores, eta)
        else:
            if state.num_moves > 0:
                scores = (1 - ema) * scores + ema * state.scores
            weights = tilt(np.full(self._num_domains, 1 / self._num_domains), scores, eta)
        return replace(
            state, sampling_weights=weights, scores=scores, num_moves=state.num_moves + 1
        )


def make_aioli(settings: Mapping[str, Setting], task: MixingTask) -> Aioli:
    """Return the Aioli mixer.

    Raises:
        ValueError: A wrong setting, or settings that do not fit the run.
    """
    return Aioli(parse_settings(AioliSettings, "aioli", settings), task)


def _own(state: MixerState) -> AioliState:
    if not isinstance(state, AioliState):
        raise TypeError(f"expected an AioliState, got {type(state).__name__}")
    return state


def _by_domains(names: tuple[str, ...], matrix: Floats) -> Json:
    """Key a matrix as {eval domain: {train domain: value}}."""
    return {name: by_domain(names, row) for name, row in zip(names, matrix, strict=True)}
