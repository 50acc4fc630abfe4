"""Group mixture, second half: the law that the proxies support, and the plan it justifies."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import dagster as dg
import polars as pl

from assets.gates import GateOverride, require_gates
from assets.lake import Artifact, Lake, publishing, write_json
from assets.partitions import DOMAINS, OWNERS, PRESET
from assets.pictures import picture
from assets.plots import Estimate, plot_law_fit, plot_plan
from assets.presets import config_digest
from assets.proxies import proxy_runs, swarm
from assets.run_configs import shard_digests, token_artifacts, train_tokens
from assets.tables import table_metadata
from training.fitted_laws import FittedLaws, bootstrap_laws, fit_laws
from training.law_evidence import gather_evidence
from training.law_gate import judge_law
from training.proposal import Proposal
from training.proposer import propose
from training.run_table import Exclusion, ExpectedRuns, RunTable, admit_runs
from training.swarm import read_swarm

GROUP = "mixture"


@dg.asset(
    group_name=GROUP,
    deps=[swarm, dg.AssetDep(proxy_runs, partition_mapping=dg.AllPartitionMapping())],
    kinds={"scipy"},
    owners=OWNERS,
    code_version=f"1-{config_digest(PRESET.law, PRESET.evidence, PRESET.law_gate)}",
)
def mixing_law(context: dg.AssetExecutionContext, lake: Lake) -> dg.MaterializeResult[None]:
    """Loss of each domain as a function of the mixture, with held-out scores and its verdict."""
    design = lake.artifact("swarm")
    shards = token_artifacts(lake)
    finished = finished_proxies(lake, design)
    with publishing(context, lake, inputs=[design, *finished]) as draft:
        table, excluded = admitted_runs(lake, design, shards, finished)
        laws = fit_laws(table, method=PRESET.law)
        evidence = gather_evidence(table, method=PRESET.law, config=PRESET.evidence)
        verdict = judge_law(evidence, PRESET.law_gate)
        write_json(draft.folder / "law.json", laws.to_json())
        write_json(
            draft.folder / "evidence.json",
            {
                "evidence": evidence.to_json(),
                "gate": verdict.to_json(),
                "excluded": [{"run_id": one.run_id, "reason": one.reason} for one in excluded],
                "admitted": list(table.run_ids),
            },
        )
        evidence.predictions().write_parquet(
            draft.folder / "predictions.parquet", compression="zstd"
        )
    return draft.result(
        {
            "admitted_runs": len(table.run_ids),
            "excluded_runs": len(excluded),
            "heldout_spearman": evidence.average.law.spearman or 0.0,
            "heldout_mae_nats": evidence.average.law.mae_nats,
            "verdict": "passed" if verdict.passed else "failed",
            "criteria": table_metadata(pl.DataFrame([asdict(row) for row in verdict.rows])),
            "exclusions": table_metadata(exclusion_table(excluded)),
            "picture": picture(plot_law_fit(table.eval_domains, table.losses, evidence.predicted)),
        }
    )


def exclusion_table(excluded: Sequence[Exclusion]) -> pl.DataFrame:
    """Runs that stay out of a fit, with their reasons."""
    schema = {"run_id": pl.String, "reason": pl.String}
    return pl.DataFrame([(one.run_id, one.reason) for one in excluded], schema, orient="row")


def finished_proxies(lake: Lake, design: Artifact, *, asset: str = "proxy_runs") -> list[Artifact]:
    """Runs of a design that have been made, whatever they were made from."""
    found = [lake.find(asset, run_id) for run_id in read_swarm(design.folder).run_ids]
    return [artifact for artifact in found if artifact is not None]


def admitted_runs(
    lake: Lake,
    design: Artifact,
    shards: dict[str, Artifact],
    finished: list[Artifact],
    *,
    steps: int = PRESET.proxy.schedule.steps,
) -> tuple[RunTable, list[Exclusion]]:
    """Runs of a length that may enter a fit, and the others with their reasons."""
    from training.tokenizer import tokenizer_digest

    mixtures = read_swarm(design.folder)
    expected = ExpectedRuns(
        seeds=dict(zip(mixtures.run_ids, mixtures.seeds, strict=True)),
        domains=DOMAINS,
        eval_domains=DOMAINS,
        steps=steps,
        tokenizer_digest=tokenizer_digest(lake.artifact("tokenizer").folder),
        shard_digests=shard_digests(shards),
    )
    return admit_runs([artifact.json("result.json") for artifact in finished], expected)


@dg.asset(
    group_name=GROUP,
    deps=[mixing_law],
    kinds={"scipy"},
    owners=OWNERS,
    code_version=f"1-{config_digest(PRESET.plan, PRESET.target)}",
)
def training_plan(
    context: dg.AssetExecutionContext, config: GateOverride, lake: Lake
) -> dg.MaterializeResult[None]:
    """Proposed weights within the tokens there are, with intervals of weights and gain."""
    law = lake.artifact("mixing_law")
    clearance = require_gates(context, lake, law, overrides=config)
    design = lake.artifact("swarm")
    shards = token_artifacts(lake)
    finished = finished_proxies(lake, design)
    tokens = train_tokens(shards)
    natural = {domain: count / sum(tokens.values()) for domain, count in tokens.items()}
    budget = PRESET.target.num_tokens
    with publishing(context, lake, inputs=[law, design, *shards.values()]) as draft:
        table, _ = admitted_runs(lake, design, shards, finished)
        proposal = propose(
            FittedLaws.from_json(law.json("law.json")),
            natural,
            refits=bootstrap_laws(table, method=PRESET.law),
            config=PRESET.plan,
            available_tokens=tokens,
            budget_tokens=budget,
            run_weights=table.weights,
        )
        mixture = proposal.mixture()
        epochs = {domain: share * budget / tokens[domain] for domain, share in mixture.items()}
        evidence = gather_evidence(table, method=PRESET.law, config=PRESET.evidence)
        verdict = judge_law(evidence, PRESET.law_gate, proposal=mixture)
        plan = {
            "proposal": proposal.to_json(),
            "gate": verdict.to_json(),
            "natural": natural,
            "available_tokens": tokens,
            "budget_tokens": budget,
            "epochs": epochs,
        }
        write_json(draft.folder / "plan.json", plan)
        weights = _weight_table(proposal, natural, epochs)
        weights.write_parquet(draft.folder / "weights.parquet", compression="zstd")
    return draft.result(
        {
            **clearance.metadata(),
            "gain_nats": proposal.gain_nats.value,
            "gain_interval": f"{proposal.gain_nats.low:.4f} to {proposal.gain_nats.high:.4f}",
            "gain": "significant" if proposal.significant else "no significant gain",
            "budget_tokens": budget,
            "weights": table_metadata(weights),
            "picture": picture(plot_plan(natural, _estimates(proposal), epochs)),
        }
    )


def planned_weights(plan: Artifact) -> dict[str, float]:
    """Share of each domain that a plan proposes."""
    return {row["domain"]: row["proposed"] for row in plan_table(plan).to_dicts()}


def plan_table(plan: Artifact) -> pl.DataFrame:
    """Columns domain, natural, proposed, low, high, epochs of a stored plan."""
    return pl.read_parquet(plan.folder / "weights.parquet")


def _weight_table(
    proposal: Proposal, natural: Mapping[str, float], epochs: Mapping[str, float]
) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "domain": domain,
                "natural": natural[domain],
                "proposed": share.value,
                "low": share.low,
                "high": share.high,
                "epochs": epochs[domain],
            }
            for domain, share in proposal.weights.items()
        ]
    )


def _estimates(proposal: Proposal) -> list[Estimate]:
    return [
        Estimate(name=domain, value=share.value, low=share.low, high=share.high)
        for domain, share in proposal.weights.items()
    ]
