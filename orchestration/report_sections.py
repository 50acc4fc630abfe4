"""The sections of the report about data, mixture, cost and gates, as values for the template.

A section without its artifact has only the entry `missing`, a sentence. The sections about training
runs are in orchestration.report_runs.
"""

from collections.abc import Mapping

import polars as pl

from assets import plots
from assets.lake import WHOLE, Lake
from assets.transfer_pictures import draw_transfer
from orchestration import findings
from orchestration.findings import LawFinding
from orchestration.label_findings import read_labels
from orchestration.pages import Picture, picture
from orchestration.run_facts import read_run
from orchestration.verdicts import read_verdicts
from training.law_evidence import Interval, TargetEvidence

Section = Mapping[str, object]
DATED = ("raw_corpora", "token_shards", "mixing_law", "training_plan", "evaluations", "cost_report")
"""Assets whose newest version dates the report."""
EXPLORING = ("swarm", "proxy_runs", "mixing_law", "reference_runs", "weight_runs")
"""Assets whose cost was spent on finding the mixture."""


def newest_change(lake: Lake) -> str | None:
    """When the newest of the artifacts was made, ISO 8601; None if there is none."""
    dates = []
    for asset in DATED:
        for key in lake.partitions(asset):
            manifest = lake.artifact(asset, None if key == WHOLE else key).manifest
            if "created" in manifest:
                dates.append(str(manifest["created"]))
    return max(dates, default=None)


def corpora_section(lake: Lake) -> Section:
    """Corpora with licence, size and kept share; what was dropped, by reason."""
    corpora = findings.read_corpora(lake)
    if not corpora:
        return {"missing": findings.why_missing(lake, "raw_corpora")}
    cleaned = [one.cleaning for one in corpora if one.cleaning is not None]
    raw, kept = sum(one.raw for one in cleaned), sum(one.kept for one in cleaned)
    dropped: dict[str, int] = {}
    for rejection in (row for one in cleaned for row in one.rejected):
        dropped[rejection.reason] = dropped.get(rejection.reason, 0) + rejection.num_documents
    return {
        "rows": corpora,
        "num_documents": sum(one.raw.num_documents for one in corpora),
        "num_bytes": sum(one.raw.num_bytes for one in corpora),
        "kept_share": kept / raw if raw else None,
        "picture": picture(plots.plot_dropped(raw, kept, list(dropped.items())))
        if cleaned
        else None,
    }


def labels_section(lake: Lake) -> Section:
    """What is said of the documents of each corpus; no rows if nothing is."""
    rows = read_labels(lake)
    return {
        "rows": rows,
        "has_skills": any(row.skills is not None for row in rows),
        "has_scores": any(row.scores is not None for row in rows),
    }


def domains_section(lake: Lake) -> Section:
    """Tokens of each domain."""
    domains = findings.read_domains(lake)
    if not domains:
        return {"missing": findings.why_missing(lake, "token_shards")}
    return {
        "rows": domains,
        "train_tokens": sum(one.train_tokens for one in domains),
        "heldout_tokens": sum(one.heldout_tokens for one in domains),
        "picture": picture(
            plots.plot_tokens(
                {one.domain: one.train_tokens for one in domains},
                {one.domain: one.heldout_tokens for one in domains},
            )
        ),
    }


def swarm_section(lake: Lake) -> Section:
    """The designed mixtures, and how many of them were trained."""
    swarm = lake.find("swarm")
    if swarm is None:
        return {"missing": findings.why_missing(lake, "swarm")}
    table = pl.read_parquet(swarm.folder / "swarm.parquet")
    shares = table.select(pl.col("^p_.*$"))
    run_ids = table["run_id"].to_list()
    finished = [key for key in lake.partitions("proxy_runs") if key in run_ids]
    facts = read_run(lake.artifact("proxy_runs", finished[0])) if finished else None
    return {
        "num_runs": table.height,
        "num_finished": len(finished),
        "run": facts,
        "picture": picture(
            plots.plot_swarm(
                run_ids, [name.removeprefix("p_") for name in shares.columns], shares.to_numpy()
            )
        ),
    }


def law_section(lake: Lake) -> Section:
    """Held-out scores of the law beside trivial predictors, its verdict and its limits."""
    law, predictions = findings.read_law(lake), findings.read_law_predictions(lake)
    if law is None or predictions is None:
        return {"missing": findings.why_missing(lake, "mixing_law")}
    targets = {"mean of the domains": law.evidence.average, **law.evidence.per_domain}
    level = f"{law.evidence.level:.0%} interval"
    return {
        "finding": law,
        "scores": {"mixing law": law.evidence.average.law, **law.evidence.average.baselines},
        "targets": targets,
        "baselines_picture": _baselines_picture(law.evidence.average),
        "differences_picture": picture(
            plots.plot_estimates(
                [_estimate(name, one.error_difference) for name, one in targets.items()],
                label="error of the law minus that of the best trivial predictor "
                f"(nats per token), left is better; {level}",
                title="Does the law beat trivial predictors?",
            )
        ),
        "fit_picture": _fit_picture(law, predictions),
        "transfer": _transfer(lake),
    }


def _transfer(lake: Lake) -> Section | None:
    """What mixtures trained at a larger scale say of the law; None without a study."""
    found = findings.read_transfer(lake)
    if found is None:
        return None
    study = found.study
    return {
        "gate": found.gate,
        "study": study,
        "levels": {"mean of the domains": study.average_level, **study.level},
        "picture": picture(draw_transfer(study)),
    }


def _baselines_picture(average: TargetEvidence) -> Picture:
    scores = {"mixing law": average.law, **average.baselines}
    return picture(
        plots.plot_baselines(
            {name: one.spearman for name, one in scores.items()},
            {name: one.mae_nats for name, one in scores.items()},
            emphasised="mixing law",
        )
    )


def _fit_picture(law: LawFinding, predictions: pl.DataFrame) -> Picture:
    names = list(law.evidence.per_domain)
    observed, predicted = (
        predictions.pivot(on="eval_domain", index="run_id", values=column, sort_columns=False)
        .select(names)
        .to_numpy()
        for column in ("observed_nats", "predicted_nats")
    )
    notes = {
        name: "no rank" if one.law.spearman is None else f"rank {one.law.spearman:.2f}"
        for name, one in law.evidence.per_domain.items()
    }
    return picture(plots.plot_law_fit(names, observed, predicted, notes=notes))


def plan_section(lake: Lake) -> Section:
    """The proposed weights with intervals and epochs, and whether they promise anything."""
    plan = findings.read_plan(lake)
    if plan is None:
        return {"missing": findings.why_missing(lake, "training_plan")}
    weights = plan.proposal.weights
    return {
        "finding": plan,
        "picture": picture(
            plots.plot_plan(
                plan.natural,
                [_estimate(name, share) for name, share in weights.items()],
                plan.epochs,
            )
        ),
    }


def costs_section(lake: Lake) -> Section:
    """Seconds by asset, and the share that went into finding the mixture."""
    costs = findings.read_costs(lake)
    if costs is None:
        return {"missing": findings.why_missing(lake, "cost_report")}
    explored = costs.filter(pl.col("asset").is_in(EXPLORING))
    cpu = dict(costs.select("asset", "cpu_seconds").iter_rows())
    gpu = dict(costs.select("asset", "gpu_seconds").iter_rows())
    return {
        "rows": costs.to_dicts(),
        "cpu_seconds": costs["cpu_seconds"].sum(),
        "gpu_seconds": costs["gpu_seconds"].sum(),
        "explored_seconds": explored.select(
            (pl.col("cpu_seconds") + pl.col("gpu_seconds")).sum()
        ).item(),
        "picture": picture(plots.plot_cost(cpu, gpu)),
    }


def gates_section(lake: Lake) -> Section:
    """Every verdict on what is current."""
    verdicts = read_verdicts(lake)
    if not verdicts:
        return {"missing": "Gates: no artifact that has one was ever materialised."}
    return {
        "rows": verdicts,
        "num_passed": sum(one.status == "passed" for one in verdicts),
        "num_overridden": sum(bool(one.overrides) for one in verdicts),
        "not_passed": [one for one in verdicts if one.failed],
        "overridden": [one for one in verdicts if one.overrides],
    }


def _estimate(name: str, bounds: Interval) -> plots.Estimate:
    return plots.Estimate(name=name, value=bounds.value, low=bounds.low, high=bounds.high)
