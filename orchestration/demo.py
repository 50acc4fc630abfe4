"""The whole graph from a terminal: what is stale is made, in order, with progress.

Light assets run in this process; trainings run two at a time with one thread each.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import dagster as dg
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from assets.freshness import stale_reason
from assets.gates import lets_consumers_through, missing_verdicts
from assets.lake import Lake
from assets.launchers.training_launcher import count_gpus
from assets.partitions import (
    CATALOGUE,
    CORPUS_DOMAINS,
    DOMAINS,
    PRESET,
    REFERENCE_RUNS,
    SKILL_RUNS,
    TRAINING_RUNS,
    WEIGHT_RUNS,
    current_partitions,
)
from orchestration import deployments
from orchestration.device_pool import release_dead_slots, set_slots
from orchestration.execution import Outcome, Task, definitions, run_tasks

TRAININGS_AT_A_TIME = 2


class StageFailed(RuntimeError):
    """A stage that others need did not finish."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """Assets that share their partitions and run together."""

    title: str
    """What a person reads beside the bar."""
    assets: tuple[str, ...]
    """Asset names in graph order."""
    partitions: Callable[[Lake], Sequence[str | None]]
    """Which partitions there are; asked when the stage begins."""
    num_workers: int = 1
    """Runs at a time."""
    required: bool = True
    """False: a failure is reported, and the stages that do not need it go on."""


def _planned_runs(lake: Lake) -> list[str | None]:
    """Training runs that can be made: those that need a plan only if one passed its gate."""
    has_plan = lets_consumers_through(lake, lake.find("training_plan"))
    return [key for key, run in TRAINING_RUNS.items() if has_plan or not run.needs_plan]


def _trained_runs(lake: Lake) -> list[str | None]:
    return [key for key in TRAINING_RUNS if lake.find("training_runs", key) is not None]


def _proxies(lake: Lake) -> list[str | None]:
    return list(current_partitions(lake, "proxy_runs"))


def _whole(_: Lake) -> list[str | None]:
    return [None]


def _skill_stages() -> tuple[Stage, ...]:
    """None where the preset studies no skills."""
    if not SKILL_RUNS:
        return ()
    return (
        Stage(
            title="skill runs",
            assets=("skill_runs",),
            partitions=lambda _: list(SKILL_RUNS),
            num_workers=TRAININGS_AT_A_TIME,
        ),
        Stage(title="skill graph", assets=("skill_graph",), partitions=_whole, required=False),
    )


def _always(keys: list[str | None]) -> Callable[[Lake], list[str | None]]:
    return lambda _: keys


def _learner_stages() -> tuple[Stage, ...]:
    """None where the preset has no learners."""
    runs: dict[str, list[str | None]] = {
        "reference runs": list(REFERENCE_RUNS),
        "weight runs": list(WEIGHT_RUNS),
    }
    return tuple(
        Stage(
            title=title,
            assets=(title.replace(" ", "_"),),
            partitions=_always(keys),
            num_workers=TRAININGS_AT_A_TIME,
        )
        for title, keys in runs.items()
        if keys
    )


def _transfer_stages() -> tuple[Stage, ...]:
    """None where the preset does not test a second scale."""
    if PRESET.transfer is None:
        return ()
    return (
        Stage(title="mixtures of a second scale", assets=("transfer_mixtures",), partitions=_whole),
        Stage(
            title="runs at a second scale",
            assets=("transfer_runs",),
            partitions=lambda lake: list(current_partitions(lake, "transfer_runs")),
            num_workers=TRAININGS_AT_A_TIME,
        ),
        Stage(
            title="transfer between scales",
            assets=("law_transfer",),
            partitions=_whole,
            required=False,
        ),
    )


def _label_stages() -> tuple[Stage, ...]:
    """None where the preset neither tags nor scores."""
    pairs = []
    if PRESET.tags is not None:
        pairs.append(("taggers", "skill_taggers", "skill tags", "skill_tags"))
    if PRESET.score is not None:
        pairs.append(("quality model", "quality_model", "quality scores", "quality_scores"))
    stages: list[Stage] = []
    for first, fitted, then, labels in pairs:
        stages.append(Stage(title=first, assets=(fitted,), partitions=_whole))
        stages.append(Stage(title=then, assets=(labels,), partitions=lambda _: list(CATALOGUE)))
    return tuple(stages)


STAGES = (
    Stage(
        title="corpora: read, judge, profile, clean",
        assets=("raw_corpora", "corpus_profiles", "cleaned_shards", "fingerprints"),
        partitions=lambda _: list(CATALOGUE),
    ),
    Stage(title="copies across corpora", assets=("duplicate_clusters",), partitions=_whole),
    Stage(
        title="copies in each corpus",
        assets=("cluster_members",),
        partitions=lambda _: list(CATALOGUE),
    ),
    Stage(
        title="held-out sets",
        assets=("heldout_sets",),
        partitions=lambda _: list(CORPUS_DOMAINS),
    ),
    Stage(
        title="leaks of what is measured with",
        assets=("contaminated_documents",),
        partitions=lambda _: list(CATALOGUE),
    ),
    *_label_stages(),
    Stage(title="tokenizer", assets=("tokenizer",), partitions=_whole),
    Stage(title="token shards", assets=("token_shards",), partitions=lambda _: list(DOMAINS)),
    Stage(title="profile of all shards", assets=("shard_profile",), partitions=_whole),
    *_skill_stages(),
    Stage(title="swarm of mixtures", assets=("swarm",), partitions=_whole),
    Stage(
        title="proxy runs",
        assets=("proxy_runs",),
        partitions=_proxies,
        num_workers=TRAININGS_AT_A_TIME,
    ),
    Stage(title="mixing law", assets=("mixing_law",), partitions=_whole, required=False),
    *_transfer_stages(),
    Stage(title="training plan", assets=("training_plan",), partitions=_whole, required=False),
    *_learner_stages(),
    Stage(
        title="training runs",
        assets=("training_runs",),
        partitions=_planned_runs,
        num_workers=TRAININGS_AT_A_TIME,
    ),
    Stage(
        title="evaluations",
        assets=("evaluations",),
        partitions=_trained_runs,
        num_workers=TRAININGS_AT_A_TIME,
    ),
    Stage(title="predicted against actual", assets=("predicted_vs_actual",), partitions=_whole),
    Stage(title="cost report", assets=("cost_report",), partitions=_whole),
)


def materialise_all(lake: Lake, console: Console) -> int:
    """Make everything that is stale.

    Returns:
        Number of Dagster runs that were needed; 0: everything was fresh.

    Raises:
        StageFailed: A run of a required stage failed; the message names it and the cause.
    """
    started = time.monotonic()
    num_runs = 0
    with deployments.instance() as instance:
        release_dead_slots(instance)
        if count_gpus():
            set_slots(instance, deployments.launcher().slots)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<38}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        for stage in STAGES:
            num_runs += _run_stage(stage, lake, progress)
    if num_runs:
        console.print(f"{num_runs} runs in {time.monotonic() - started:.0f} s")
    return num_runs


def _run_stage(stage: Stage, lake: Lake, progress: Progress) -> int:
    partitions = stage.partitions(lake)
    tasks = [task for task in (_stale(stage, lake, key) for key in partitions) if task is not None]
    num_fresh = len(partitions) - len(tasks)
    note = "fresh" if not tasks else f"{num_fresh} fresh" if num_fresh else ""
    bar = progress.add_task(stage.title, total=len(partitions), completed=num_fresh, note=note)
    began = time.monotonic()
    failed: list[Outcome] = []
    for outcome in run_tasks(tasks, num_workers=stage.num_workers):
        progress.advance(bar)
        if outcome.error is not None:
            failed.append(outcome)
            name = "" if outcome.task.partition is None else f" {outcome.task.partition}"
            message = escape(f"{name}: {outcome.error}")
            progress.console.print(f"[bold red]failed[/]{message}", highlight=False)
    if not progress.console.is_terminal:  # a log has no bars
        made, seconds = len(tasks) - len(failed), time.monotonic() - began
        progress.console.print(f"{stage.title}: {made} made, {num_fresh} fresh, {seconds:.0f} s")
    if failed and stage.required:
        raise StageFailed(
            f"{stage.title}: {len(failed)} of {len(tasks)} runs failed; what was finished is kept: "
            "mend the cause and run the same command again"
        )
    return len(tasks)


def _stale(stage: Stage, lake: Lake, partition: str | None) -> Task | None:
    """The part of a stage that this partition needs, from its first stale asset on."""
    specs = asset_specs()
    for position, asset in enumerate(stage.assets):
        if _reason(lake, specs[asset], partition) is not None:
            return Task(assets=stage.assets[position:], partition=partition)
    return None


def _reason(lake: Lake, spec: dg.AssetSpec, partition: str | None) -> str | None:
    """Why a partition is to be made and judged again; None if it is not."""
    reason = stale_reason(lake, spec, partition)
    if reason is not None:
        return reason
    unjudged = missing_verdicts(lake, lake.find(spec.key.to_user_string(), partition))
    return f"not judged by {', '.join(unjudged)}" if unjudged else None


def asset_specs() -> dict[str, dg.AssetSpec]:
    """Specification of every asset by name."""
    return {spec.key.to_user_string(): spec for spec in definitions().resolve_all_asset_specs()}


def stale_partitions(lake: Lake, stages: Iterable[Stage] = STAGES) -> list[tuple[str, str, str]]:
    """Asset, partition and reason of everything stale, as far as the lake can tell now."""
    specs = asset_specs()
    found = []
    for stage in stages:
        for asset in stage.assets:
            for partition in stage.partitions(lake):
                reason = _reason(lake, specs[asset], partition)
                if reason is not None:
                    found.append((asset, partition or "", reason))
    return found
