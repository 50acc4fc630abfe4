"""The tables that end the demo in the terminal; they fit 110 columns."""

import math
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from assets.lake import Lake
from orchestration import findings, wording
from orchestration.findings import LawFinding
from orchestration.results import (
    BASELINE,
    MEAN,
    MIN_SEEDS,
    Evaluations,
    best_method,
    differences_to_baseline,
    mean_over_seeds,
    read_evaluations,
)

WIDTH = 110
GAP = 2
"""Blanks between columns."""
NAME_WIDTH = 8
"""A domain that heads a column is not cut below this; more domains make a second table."""
METHOD_WIDTH = 14
CRITERION_WIDTH = 56


def print_summary(lake: Lake, console: Console, run_ids: Sequence[str] | None = None) -> None:
    """Print losses by method, the law's verdict, predicted against actual, and cost.

    What is missing is said in one line.

    Args:
        lake: Artifacts.
        console: Where to print.
        run_ids: Training runs that count; None: all that were evaluated.
    """
    width = min(WIDTH, console.width)
    parts = [*_loss_parts(lake, run_ids, width), *_law_parts(lake)]
    for part in (*parts, *_prediction_parts(lake), *_cost_parts(lake)):
        if isinstance(part, Table):
            console.print(part.title, width=width, style="bold", highlight=False)
            part.title = None
        console.print(part, width=width, highlight=False)


def _table(title: str, *columns: str) -> Table:
    """A table without a frame, its first column a name and the others numbers."""
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), collapse_padding=True)
    for index, name in enumerate(columns):
        table.add_column(name, justify="right" if index else "left", no_wrap=True)
    return table


def _loss_parts(lake: Lake, run_ids: Sequence[str] | None, width: int) -> list[Table | str]:
    evaluations = read_evaluations(lake, run_ids)
    if evaluations is None:
        return [findings.why_missing(lake, "evaluations") + "\n"]
    domains = evaluations.domains
    room = width - METHOD_WIDTH - len("seeds" + "0.000") - 3 * GAP  # also before the method
    num_tables = math.ceil(len(domains) / max(1, room // (NAME_WIDTH + GAP)))
    size = math.ceil(len(domains) / num_tables)
    name_width = max(NAME_WIDTH, room // size - GAP)
    tables = [
        _loss_table(evaluations, domains[start : start + size], name_width)
        for start in range(0, len(domains), size)
    ]
    return [*tables, *_comparison_lines(evaluations)]


def _loss_table(evaluations: Evaluations, domains: Sequence[str], name_width: int) -> Table:
    heads = [wording.shorten(wording.plain_name(name), name_width) for name in domains]
    title = "Held-out loss, nats per token: mean over seeds; bold beats all others beyond chance"
    table = _table(title, "method", "seeds", *heads, "mean")
    shown = [*domains, MEAN]
    best = {domain: best_method(evaluations, domain) for domain in shown}
    for method in evaluations.methods:
        cells = []
        for domain in shown:
            loss = wording.nats(mean_over_seeds(evaluations, method, domain).mean)
            cells.append(f"[bold]{loss}[/]" if best[domain] == method else loss)
        seeds = str(len(evaluations.losses(method, MEAN)))
        table.add_row(escape(wording.shorten(method, METHOD_WIDTH)), seeds, *cells)
    return table


def _comparison_lines(evaluations: Evaluations) -> list[str]:
    """Differences of the mean over domains to the baseline, one line per method."""
    on_mean = [one for one in differences_to_baseline(evaluations) if one.domain == MEAN]
    if not on_mean:
        return [f"No comparison: it needs {BASELINE} and another method.\n"]
    lines = []
    for one in on_mean:
        head = f"  {one.method} minus {one.other}, mean of the domains: "
        if one.interval is None:
            common = wording.plural(len(one.by_seed), "common seed")
            lines.append(f"{head}insufficient ({common}, {MIN_SEEDS} needed)")
        else:
            verdict = "better" if one.better else "worse" if one.significant else "not significant"
            bounds = wording.interval(*one.interval)
            lines.append(f"{head}{wording.difference(one.mean)}, 95 % {bounds}: {verdict}")
    return [escape("\n".join(lines)) + "\n"]


def _law_parts(lake: Lake) -> list[Table | str]:
    law = findings.read_law(lake)
    if law is None:
        return [findings.why_missing(lake, "mixing_law") + "\n"]
    parts: list[Table | str] = [_gate_table(law), _baseline_table(law)]
    plan = findings.read_plan(lake)
    if plan is None:
        return [*parts, findings.why_missing(lake, "training_plan") + "\n"]
    gain = plan.proposal.gain_nats
    promise = "expected gain" if plan.proposal.significant else "no significant gain"
    bounds = wording.interval(gain.low, gain.high, 4)
    line = (
        f"  Plan: {promise} over natural shares; promised {wording.nats(gain.value, 4)} nats, "
        f"less its optimism {bounds}\n"
    )
    return [*parts, escape(line)]


def _gate_table(law: LawFinding) -> Table:
    verdict = "passed" if law.gate.passed else "failed"
    title = f"Gate of the mixing law: {verdict} ({law.evidence.num_runs} proxy runs)"
    table = _table(title, "criterion", "observed", "limit", "verdict")
    for row in law.gate.rows:
        table.add_row(
            wording.shorten(row.name, CRITERION_WIDTH),
            wording.figure(row.observed),
            f"{row.rule} {wording.figure(row.limit)}",
            "passed" if row.passed else "[bold red]failed[/]",
        )
    return table


def _baseline_table(law: LawFinding) -> Table:
    average = law.evidence.average
    columns = ("predictor", "Spearman", "error (nats)", "regret (nats)")
    table = _table("Held-out scores beside trivial predictors, mean of the domains", *columns)
    for name, one in {"mixing law": average.law, **average.baselines}.items():
        table.add_row(
            wording.plain_name(name),
            wording.nats(one.spearman),
            wording.nats(one.mae_nats, 4),
            wording.nats(one.regret_nats, 4),
        )
    return table


def _prediction_parts(lake: Lake) -> list[Table | str]:
    found = findings.read_predictions(lake)
    if found is None:
        return [findings.why_missing(lake, "predicted_vs_actual") + "\n"]
    columns = ("method", "runs", "predicted", "actual", "difference")
    table = _table("Predicted and actual loss, nats per token, mean of the domains", *columns)
    for row in found.by_method():
        table.add_row(
            escape(wording.shorten(row.method, METHOD_WIDTH)),
            str(row.num_runs),
            wording.nats(row.predicted),
            wording.nats(row.actual),
            wording.difference(row.actual - row.predicted),
        )
    average = found.scores.average
    line = (
        f"  rank over runs {wording.nats(average.spearman, 2)}, level error "
        f"{wording.nats(average.level_error_nats)} nats, recalibrated "
        f"{wording.nats(average.recalibrated_error_nats)} nats\n"
    )
    return [table, line]


def _cost_parts(lake: Lake) -> list[Table | str]:
    costs = findings.read_costs(lake)
    if costs is None:
        return [findings.why_missing(lake, "cost_report") + "\n"]
    table = _table("Cost of what is current", "asset", "partitions", "wall clock", "CPU", "GPU")
    for row in costs.to_dicts():
        table.add_row(
            wording.plain_name(row["asset"]),
            str(row["partitions"]),
            wording.duration(row["wall_seconds"]),
            wording.duration(row["cpu_seconds"]),
            wording.duration(row["gpu_seconds"]) if row["gpu_seconds"] else "none",
        )
    total = sum(row["cpu_seconds"] + row["gpu_seconds"] for row in costs.to_dicts())
    return [table, f"  processor time of all: {wording.duration(total)}\n"]
