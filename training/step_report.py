"""What a run tells while it runs: the value for a progress display, the line for metrics.jsonl."""

from collections.abc import Callable
from dataclasses import dataclass

from training.mixers.interface import Json, by_domain
from training.mixers.training_signal import has_decided
from training.progress import Progress
from training.run_session import RunSession
from training.scoring import MeanLoss
from training.training_step import StepMeasures
from training.weighters.weighter import effective_rows


@dataclass(frozen=True, kw_only=True, slots=True)
class StepReport:
    """What on_progress is told after each step."""

    step: int
    """Steps finished."""
    steps: int
    """Steps of the run."""
    loss: float
    """Training loss of the step, nats per token."""
    weights: dict[str, float]
    """Weights the step was asked for, by domain."""
    train: dict[str, float]
    """Training loss of the domains that were in the batch, nats per token."""
    heldout: dict[str, float] | None
    """Held-out losses after the step, nats per token; None unless evaluated."""
    learning_rate: float
    """Of the step."""
    gradient_norm: float
    """Before clipping."""
    tokens_per_second: float
    """Training speed of this attempt so far."""


ProgressCallback = Callable[[StepReport], None]


def named_losses(domains: tuple[str, ...], heldout: list[MeanLoss]) -> dict[str, float]:
    """Key held-out losses by domain, nats per token."""
    return {domain: mean.loss_nats for domain, mean in zip(domains, heldout, strict=True)}


def step_report(
    session: RunSession,
    progress: Progress,
    measures: StepMeasures,
    heldout: list[MeanLoss] | None,
) -> StepReport:
    """Sum up a finished step."""
    return StepReport(
        step=progress.step,
        steps=session.config.schedule.steps,
        loss=measures.loss,
        weights=session.named(measures.plan.requested),
        train=_train_losses(session.inputs.domains, measures),
        heldout=None if heldout is None else named_losses(session.inputs.domains, heldout),
        learning_rate=measures.rate,
        gradient_norm=measures.grad_norm,
        tokens_per_second=session.watch.tokens_per_second(progress.step),
    )


def metrics_line(
    session: RunSession,
    progress: Progress,
    measures: StepMeasures,
    heldout: list[MeanLoss] | None,
) -> dict[str, Json]:
    """Return the line of a finished step. Losses are in nats per token.

    train has only the domains that were in the batch. heldout, mixer (what the mixer decided after
    the step) and evaluation_share are there only when the model was evaluated, mixer also where it
    decided by training losses. evaluation_share is what all evaluations so far cost as a share of
    the training so far, held-out rows / (3 * rows trained on), since a step also goes backward; it
    comes to E * K * R / (3 * U * B) for E evaluations of K domains with R rows each in U steps of B
    rows. effective_rows is how many
    rows of equal weight would average as well; it is there only if rows are weighted. weighter and
    selector are there, with mixer, if they have something to say.
    """
    domains = session.inputs.domains
    batch_rows = session.config.schedule.batch_rows
    line: dict[str, Json] = {
        "step": progress.step,
        "tokens": progress.step * batch_rows * session.inputs.context_tokens,
        "loss": measures.loss,
        "train": dict(_train_losses(domains, measures)),
        "requested": by_domain(domains, measures.plan.requested),
        "applied": by_domain(domains, measures.plan.applied),
        "rows": dict(zip(domains, measures.plan.counts.tolist(), strict=True)),
        "lr": measures.rate,
        "grad_norm": measures.grad_norm,
    }
    if measures.row_weights is not None:
        line["effective_rows"] = effective_rows(measures.row_weights)
    if heldout is not None:
        line["heldout"] = dict(named_losses(domains, heldout))
        line["evaluation_share"] = progress.scored_rows / (3 * progress.step * batch_rows)
    if heldout is not None or has_decided(progress.mixer):
        line["mixer"] = session.inputs.mixer.describe(progress.mixer)
    if heldout is not None:
        if said := session.inputs.weighter.describe(progress.weighter):
            line["weighter"] = said
        if said := session.inputs.selector.describe(progress.selector):
            line["selector"] = said
    return line


def _train_losses(domains: tuple[str, ...], measures: StepMeasures) -> dict[str, float]:
    """Key the training losses of the domains in the batch, nats per token."""
    return {
        domain: float(measures.loss_sums[index] / measures.token_counts[index])
        for index, domain in enumerate(domains)
        if measures.plan.counts[index]
    }
