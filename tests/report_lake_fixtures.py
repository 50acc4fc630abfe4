"""A small lake with one version of everything that results, report and summary read."""

import json
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from assets.gates import report_path
from assets.lake import Lake, write_json
from quality.gates import Criterion, GateReport

COLOURS = ("blue", "green", "red")
METHODS = ("uniform", "proportional", "plan", "aioli")
GAINS = {"uniform": 0.0, "proportional": 0.05, "plan": -0.04, "aioli": -0.1}
"""Loss of each method minus that of uniform, nats; aioli's is the only one beyond chance."""
NOISE = {"uniform": 0.0, "proportional": 0.06, "plan": 0.05, "aioli": 0.002}


def _publish(lake, asset, partition, files, created="2026-03-04T05:06:07+00:00"):
    """Publish a version; files: name -> JSON value, frame, text or folder to copy."""
    folder = lake.draft_folder(asset, partition)
    for name, content in files.items():
        if isinstance(content, pl.DataFrame):
            content.write_parquet(folder / name)
        elif isinstance(content, Path):
            shutil.copytree(content, folder / name)
        elif isinstance(content, str):
            (folder / name).write_text(content)
        else:
            write_json(folder / name, content)
    return lake.publish(folder, asset=asset, partition=partition, recipe={"created": created})


def _publish_corpora(lake):
    rejected = [{"operator": "length", "reason": "too few words", "num_documents": 6}]
    rejected += [{"operator": "copies", "reason": "copy of another", "num_documents": 4}]
    for number, domain in enumerate(COLOURS):
        said = {"domain": [domain] * 2, "licence": ["CC-BY-4.0"] * 2}
        raw = {"num_documents": 100, "num_bytes": 3_210_000, "num_unreadable": number}
        files = {"summary.json": raw, "documents.parquet": pl.DataFrame(said)}
        _publish(lake, "raw_corpora", f"{domain}_texts", files)
        cleaned = {"raw": 100, "kept": 90, "rejected": rejected}
        _publish(lake, "cleaned_shards", f"{domain}_texts", {"summary.json": cleaned})


def _run_result(run_id, shares):
    return {
        "run_id": run_id,
        "num_parameters": 1_234_567,
        "seed": 0,
        "steps": 20,
        "tokens": 81_920,
        "realised_shares": shares,
        "epochs": {domain: 2.5 * share for domain, share in shares.items()},
    }


def _publish_mixture(lake):
    """Swarm, proxies, and the law and plan that are really fitted to them."""
    from training.fitted_laws import bootstrap_laws, fit_laws
    from training.law_evidence import EvidenceConfig, gather_evidence
    from training.law_gate import judge_law
    from training.proposer import propose
    from training.run_table import RunTable

    rng = np.random.default_rng(5)
    weights = rng.dirichlet(np.ones(3), size=18)
    losses = 3.0 + np.exp(-2.0 * weights) + rng.normal(scale=0.001, size=weights.shape)
    run_ids = tuple(f"proxy-{number:03d}-abcd" for number in range(18))
    names = {"domains": COLOURS, "eval_domains": COLOURS}
    table = RunTable(run_ids=run_ids, weights=weights, losses=losses, **names)
    shares = {f"p_{domain}": weights[:, index] for index, domain in enumerate(COLOURS)}
    swarm = pl.DataFrame({"run_id": run_ids, "seed": [0] * 18, **shares})
    _publish(lake, "swarm", None, {"swarm.parquet": swarm, "swarm.json": {}})
    for run_id, row in zip(run_ids, weights, strict=True):
        result = _run_result(run_id, dict(zip(COLOURS, row.tolist(), strict=True)))
        _publish(lake, "proxy_runs", run_id, {"result.json": result})
    laws = fit_laws(table)
    evidence = gather_evidence(table, config=EvidenceConfig(num_folds=6, num_resamples=100))
    content = {
        "evidence": evidence.to_json(),
        "gate": judge_law(evidence).to_json(),
        "excluded": [{"run_id": "proxy-099-dead", "reason": "stopped at step 3 of 20"}],
    }
    files = {
        "law.json": laws.to_json(),
        "evidence.json": content,
        "predictions.parquet": evidence.predictions(),
    }
    _publish(lake, "mixing_law", None, files)
    natural = {"blue": 0.6, "green": 0.3, "red": 0.1}
    tokens = dict.fromkeys(COLOURS, 50_000.0)
    proposal = propose(
        laws,
        natural,
        refits=bootstrap_laws(table, num_refits=20),
        available_tokens=tokens,
        budget_tokens=81_920.0,
    )
    plan = {
        "proposal": proposal.to_json(),
        "gate": judge_law(evidence, proposal=proposal.mixture()).to_json(),
        "natural": natural,
        "available_tokens": tokens,
        "budget_tokens": 81_920,
        "epochs": {name: share * 1.6384 for name, share in proposal.mixture().items()},
    }
    _publish(lake, "training_plan", None, {"plan.json": plan})


def _publish_run(lake, method, seed):
    run_id = f"{method}-s{seed}-0123abcd"
    shares = {"blue": 0.5, "green": 0.3, "red": 0.2}
    lines = [{"step": 0, "heldout": {"blue": 9.0}}]
    for step in range(1, 21):
        drift = 0.01 * step if method == "aioli" else 0.0
        requested = shares | {"blue": 0.5 - drift, "red": 0.2 + drift}
        lines.append({"step": step, "loss": 9.0, "train": {}, "requested": requested})
    metrics = "".join(json.dumps(line) + "\n" for line in lines)
    result = _run_result(run_id, shares)
    _publish(lake, "training_runs", run_id, {"result.json": result, "metrics.jsonl": metrics})
    noise = NOISE[method] * (seed - 1)
    scores = pl.DataFrame(
        [
            {
                "run_id": run_id,
                "method": method,
                "seed": seed,
                "domain": domain,
                "loss_nats": 4.0 + index + 0.2 * seed + GAINS[method] + noise,
                "loss_se": 0.05,
                "bits_per_byte": 2.0,
            }
            for index, domain in enumerate(COLOURS)
        ]
    )
    _publish(lake, "evaluations", run_id, {"scores.parquet": scores})
    return scores


def _publish_comparison(lake, scores):
    """Predictions that are 0.3 nats too low everywhere."""
    comparison = pl.concat(scores).select(
        "run_id",
        "method",
        "seed",
        "domain",
        predicted=pl.col("loss_nats") - 0.3,
        predicted_low=pl.col("loss_nats") - 0.4,
        predicted_high=pl.col("loss_nats") - 0.2,
        actual="loss_nats",
        actual_se="loss_se",
    )
    one = {"spearman": 1.0, "level_error_nats": 0.3, "offset_nats": 0.3}
    one["recalibrated_error_nats"] = 0.0
    content = {"rows": [], "per_domain": dict.fromkeys(COLOURS, one), "average": one}
    files = {"comparison.parquet": comparison, "scores.json": content}
    _publish(lake, "predicted_vs_actual", None, files)
    costs = pl.DataFrame(
        {
            "asset": ["raw_corpora", "proxy_runs", "training_runs"],
            "partitions": [3, 18, 12],
            "wall_seconds": [3.0, 200.0, 400.0],
            "cpu_seconds": [2.5, 185.0, 3725.0],
            "gpu_seconds": [0.0, 0.0, 0.0],
        }
    )
    _publish(lake, "cost_report", None, {"costs.parquet": costs})


def _publish_gates(lake):
    """Blue passes; green fails and was overridden; red was never judged."""
    for domain in ("blue", "green"):
        artifact = lake.artifact("raw_corpora", f"{domain}_texts")
        criterion = Criterion(
            name="unreadable_share", passed=domain == "blue", observed=0.25, limit="<= 0.1"
        )
        of = {"partition": artifact.partition, "data_version": artifact.data_version}
        report = GateReport(gate="raw_documents", asset="raw_corpora", rows=(criterion,), **of)
        path = report_path(lake, artifact, "raw_documents")
        (path.parent / "overrides").mkdir(parents=True)
        path.write_text(report.to_json())
    override = {"consumer": "cleaned_shards", "who": "maria", "when": "2026-03-04"}
    override["reason"] = "known <damage>"
    write_json(path.parent / "overrides" / "raw_documents-r-1.json", override)


@pytest.fixture(scope="session")
def _report_lake_folder(tmp_path_factory, tiny_shards):
    lake = Lake(root=str(tmp_path_factory.mktemp("report") / "lake"))
    _publish_corpora(lake)
    for domain, folder in tiny_shards.items():
        files = {split: Path(folder, split) for split in ("train", "heldout")}
        _publish(lake, "token_shards", domain, files)
    _publish_mixture(lake)
    scores = [_publish_run(lake, *run) for run in product(METHODS, (0, 1, 2))]
    _publish_comparison(lake, scores)
    _publish_gates(lake)
    return Path(lake.root)


@pytest.fixture
def report_lake(_report_lake_folder, tmp_path):
    """A lake from raw corpora to costs; the test may change it."""
    shutil.copytree(_report_lake_folder, tmp_path / "lake")
    return Lake(root=str(tmp_path / "lake"))


@pytest.fixture
def forget(report_lake):
    """Remove every version of some assets from `report_lake`."""

    def remove(*assets):
        for asset in assets:
            shutil.rmtree(Path(report_lake.root, "artifacts", asset))

    return remove
