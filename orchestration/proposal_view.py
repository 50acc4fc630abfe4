"""What a proposal says: content of mixture.json, its picture, and its tables in the terminal."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.law_record import LawRecord
    from training.proposal import Proposal
    from training.swarm_power import RunsForWidth


@dataclass(frozen=True, kw_only=True, slots=True)
class ProposalView:
    """What the command reports."""

    proposal: "Proposal"
    """With its intervals."""
    prior: Mapping[str, float]
    """Natural shares; 0: forbidden."""
    prior_source: str
    """Where they come from."""
    epochs: Mapping[str, float] | None
    """Passes over each domain. None: no tokens were given."""
    power: "RunsForWidth | None"
    """Runs for a wanted width. None: none was."""

    def content(self, record: "LawRecord", budget_tokens: float | None) -> dict[str, object]:
        """Content of mixture.json."""
        import numpy as np

        fields = self.proposal.to_json()
        del fields["weights"]
        shares = self.proposal.weights
        point = np.array([[shares[name].value for name in record.laws.domains]])
        significant = self.proposal.significant
        return {
            "weights": self.proposal.mixture(),
            "weights_low": {name: one.low for name, one in shares.items()},
            "weights_high": {name: one.high for name, one in shares.items()},
            "verdict": "significant gain" if significant else "no significant gain",
            **fields,
            "prior": dict(self.prior),
            "prior_source": self.prior_source,
            "budget_tokens": budget_tokens,
            "epochs": None if self.epochs is None else dict(self.epochs),
            "hull_distance": float(record.hull_distances(point)[0]),
            "law": record.laws.method,
            "law_gate_passed": record.gate.get("passed"),
            "runs_for_width": None if self.power is None else asdict(self.power),
        }


def write_proposal(found: ProposalView, content: Mapping[str, object], out: Path) -> Path:
    """Write mixture.json and, beside it, the weights with intervals; returns the picture."""
    from assets.plots import Estimate, plot_plan

    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    picture = out.with_suffix(".png")
    estimates = [
        Estimate(name=name, value=one.value, low=one.low, high=one.high)
        for name, one in found.proposal.weights.items()
    ]
    picture.write_bytes(plot_plan(found.prior, estimates, found.epochs))
    return picture


def print_proposal(found: ProposalView, content: Mapping[str, object]) -> None:
    """Show weights, losses, gain and what a reader must know before using them."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    proposal = found.proposal
    shares = Table("domain", f"prior ({found.prior_source})", "proposed", "interval", "epochs")
    for name, one in proposal.weights.items():
        shares.add_row(
            name,
            f"{found.prior[name]:.4f}",
            f"{one.value:.4f}",
            f"{one.low:.4f} to {one.high:.4f}",
            "-" if found.epochs is None else f"{found.epochs[name]:.2f}",
        )
    console.print(shares)
    losses = Table("evaluation domain", "loss (nats)", "interval", "change from the prior")
    for name, one in proposal.predicted_nats.items():
        change = proposal.change_nats[name]
        losses.add_row(
            name,
            f"{one.value:.4f}",
            f"{one.low:.4f} to {one.high:.4f}",
            f"{change.value:+.4f} ({change.low:+.4f} to {change.high:+.4f})",
        )
    console.print(losses)
    gain = proposal.gain_nats
    console.print(
        f"{content['verdict']} over the prior: promised {gain.value:.4f} nats, corrected for "
        f"choosing the best {gain.low:.4f} to {gain.high:.4f} ({proposal.num_refits} refits)",
        soft_wrap=True,
    )
    for line in _remarks(proposal, content):
        console.print(line, soft_wrap=True, markup=False)
    if found.power is not None:
        console.print(
            f"Widest interval: {found.power.domain}, {found.power.width:.3f} with "
            f"{found.power.num_runs} runs; below {found.power.wanted_width:g} with about "
            f"{found.power.needed_runs} runs (it shrinks with the root of the runs)",
            soft_wrap=True,
        )
        if found.power.simulated_width is not None:
            console.print(f"Simulated swarms of that size: {found.power.simulated_width:.3f}")


def _remarks(proposal: "Proposal", content: Mapping[str, object]) -> list[str]:
    """What a reader must know before using the mixture."""
    lines = []
    if proposal.gap_nats is None:
        lines.append("Found by a search over candidates: nothing proves it the best.")
    else:
        lines.append(f"Global minimum, certified to {proposal.gap_nats:.1g} nats.")
    if proposal.active_caps:
        lines.append(f"Held down by their tokens: {', '.join(proposal.active_caps)}")
    if proposal.active_floors:
        lines.append(f"Held up by their floor: {', '.join(proposal.active_floors)}")
    if proposal.held_by_runs:
        lines.append("Held inside the region that the runs cover.")
    if proposal.num_infeasible_refits:
        lines.append(f"{proposal.num_infeasible_refits} refits leave no mixture that does no harm.")
    if content["law_gate_passed"] is not True:
        lines.append("The law did not pass its gate: this mixture is not supported by evidence.")
    distance = content["hull_distance"]
    if isinstance(distance, float) and distance > 1e-6:
        lines.append(f"The mixture lies {distance:.3f} outside the hull of the runs.")
    return lines
