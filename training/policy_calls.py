"""What the loop asks of the policies of a run, and what it tells them. No method has a case here.

Shapes: D domains, B rows of a batch.
"""

from dataclasses import replace
from functools import partial

import numpy as np
from transformers import PreTrainedModel

from training.arrays import Floats, Ints
from training.gradient_alignment import measure_alignment
from training.policies import GradientAlignments, Observation, Signal
from training.progress import Progress
from training.row_weighing import RowWeighing
from training.run_session import RunSession
from training.sampler import BatchPlan
from training.scoring import MeanLoss
from training.selection import select_rows
from training.training_step import StepMeasures


def draw_batch(session: RunSession, progress: Progress) -> tuple[BatchPlan, Progress]:
    """Plan the batch of the next step: which domains, and which of their rows.

    Raises:
        ValueError: A domain is used up and the policy is "error", or the weights are no mixture, or
            a measurement of candidate rows is not finite.
    """
    inputs = session.inputs
    with session.watch.measure("data"):
        weights = session.ranks.from_leader(inputs.mixer.weights(progress.mixer, progress.step))
        plan, sampler_state = inputs.sampler.plan(progress.sampler, weights)
    with session.watch.measure("selection"):
        plan, selector_state = select_rows(
            plan,
            progress.sampler.cursors,
            sampler=inputs.sampler,
            selector=inputs.selector,
            state=progress.selector,
            measure=partial(session.meter.measure, progress.step),
        )
    return plan, replace(progress, sampler=sampler_state, selector=selector_state)


def row_weighing(session: RunSession, progress: Progress, plan: BatchPlan) -> RowWeighing:
    """Return how the rows of the next step's batch are weighted."""
    inputs = session.inputs
    return RowWeighing(
        loss_weights=inputs.mixer.loss_weights(progress.mixer, plan.counts),
        weighter=inputs.weighter,
        state=progress.weighter,
        step=progress.step,
    )


def wanted_reference(session: RunSession, progress: Progress) -> PreTrainedModel | None:
    """Return the reference model if the next step's excess losses are asked for."""
    wanted = _wanted(session, progress, progress.step)
    return session.reference if "excess_losses" in wanted else None


def wanted_alignments(
    session: RunSession, progress: Progress, plan: BatchPlan
) -> GradientAlignments | None:
    """Measure the gradients of the next step's batch if a mixer asks for it.

    Every rank measures the whole batch, for that is rare, and goes by what the leader found.

    Raises:
        ValueError: The forward passes round the parameters to bfloat16.
    """
    target = session.inputs.mixer.wants_alignment(progress.mixer, progress.step)
    if target is None:
        return None
    if session.engine.rounds_parameters:
        raise ValueError(
            f"mixer {session.config.mixer.method!r} compares losses along a gradient, for which "
            "bfloat16 parameters are too coarse; with execution.parallel fsdp set precision to "
            "float32, or use ddp"
        )
    with session.watch.measure("alignment"):
        found = measure_alignment(
            session.model,
            session.inputs.batch(plan),
            plan,
            target=target,
            heldout_rows=session.inputs.heldout_rows,
            device=session.device,
            ranks=session.ranks,
        )
    return GradientAlignments(
        dots=session.ranks.from_leader(found.dots),
        squared_norms=session.ranks.from_leader(found.squared_norms),
    )


def observe_step(
    session: RunSession,
    progress: Progress,
    heldout: list[MeanLoss] | None,
    measures: StepMeasures | None,
) -> Progress:
    """Tell mixer and weighter what they asked for; step -1 in their count is before the first."""
    inputs, step = session.inputs, progress.step - 1
    num_domains = len(inputs.domains)
    no_counts: Ints = np.zeros(num_domains, dtype=np.int64)
    wanted = heldout is not None and inputs.mixer.wants_evaluation(progress.mixer, step)
    losses: Floats | None = (
        np.array([mean.loss_nats for mean in heldout]) if heldout and wanted else None
    )
    embeds = "heldout_embeddings" in _wanted(session, progress, step)
    observation = Observation(
        step=step,
        heldout_losses=losses,
        train_loss_sums=measures.loss_sums if measures else np.zeros(num_domains),
        train_token_counts=measures.token_counts if measures else no_counts,
        realised_counts=measures.plan.counts if measures else no_counts,
        learning_rate=measures.rate if measures else 0.0,
        row_domains=measures.plan.domain_index if measures else None,
        row_ids=measures.plan.rows if measures else None,
        row_losses=measures.row_losses if measures else None,
        heldout_embeddings=session.meter.heldout_embeddings() if embeds else None,
        excess_sums=measures.excess_sums if measures else None,
        alignments=measures.alignments if measures else None,
    )
    return replace(
        progress,
        scored_rows=progress.scored_rows + sum(mean.rows for mean in heldout or ()),
        mixer=inputs.mixer.observe(progress.mixer, observation),
        weighter=inputs.weighter.observe(progress.weighter, observation),
    )


def _wanted(session: RunSession, progress: Progress, step: int) -> frozenset[Signal]:
    """What mixer and weighter need to observe a step, from 0; -1 is before the first."""
    inputs = session.inputs
    return inputs.mixer.wants(progress.mixer, step) | inputs.weighter.wants(progress.weighter, step)
