"""The run table: which finished runs may enter a law fit, and why the others may not.

Rule: only runs that finished, stand at the target step, used the same tokenizer and the same
shards, have finite losses and repeat no other run. The weights of the table are *realised* shares,
not requested ones, since whole batches cannot realise every request. Runs are joined by id and
shares by domain name, never by position. Shapes: N runs, D domains, E evaluation domains.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from training.arrays import Floats

SHARE_DIGITS = 9


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpectedRuns:
    """What a run must have been to enter the table."""

    seeds: Mapping[str, int]
    """Run id -> training seed of every run that belongs here (`Swarm.run_ids` and `.seeds`)."""
    domains: tuple[str, ...]
    """Training domains; order of the columns of the weights."""
    eval_domains: tuple[str, ...]
    """Domains whose held-out loss is wanted; order of the columns of the losses."""
    steps: int
    """Step at which the losses must have been measured."""
    tokenizer_digest: str
    """Digest of the tokenizer."""
    shard_digests: Mapping[str, str]
    """Domain -> digest of its token shards."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Exclusion:
    """A run that stays out."""

    run_id: str
    """Which."""
    reason: str
    """Why, with the observed and the expected value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunTable:
    """The admitted runs, sorted by run id."""

    run_ids: tuple[str, ...]
    """N names."""
    domains: tuple[str, ...]
    """D names: columns of `weights`."""
    eval_domains: tuple[str, ...]
    """E names: columns of `losses`."""
    weights: Floats
    """Realised shares, shape (N, D), rows on the simplex."""
    losses: Floats
    """Held-out loss, shape (N, E), nats per token."""


class _HeldoutRecord(BaseModel):
    model_config = ConfigDict(strict=True)
    loss_nats: float


class _ResultRecord(BaseModel):
    """The fields of a result.json that admission reads; the others are somebody else's."""

    model_config = ConfigDict(strict=True)
    run_id: str
    finished: bool
    steps: int
    tokenizer_digest: str
    shard_digests: dict[str, str]
    realised_shares: dict[str, float]
    heldout: dict[str, _HeldoutRecord]


def admit_runs(
    results: Sequence[Mapping[str, object]], expected: ExpectedRuns
) -> tuple[RunTable, list[Exclusion]]:
    """Sort results into the table and the exclusions; every expected run lands in one of them.

    Args:
        results: Contents of result.json files, in any order.
        expected: What they must be.

    Raises:
        ValueError: A result has no run id, or `expected` names no domain or evaluation domain.
    """
    if not expected.domains or not expected.eval_domains:
        raise ValueError(f"expected runs need domains and eval_domains, got {expected}")
    admitted: dict[str, _ResultRecord] = {}
    exclusions: list[Exclusion] = []
    seen_ids: set[str] = set()
    seen_mixtures: dict[tuple[object, ...], str] = {}
    for result in sorted(results, key=_run_id):
        run_id = _run_id(result)
        record, reason = _parse(result)
        if run_id in seen_ids:
            reason = "its run id occurs twice; the first occurrence was judged"
        seen_ids.add(run_id)
        if record is not None and reason is None:
            reason = _refusal(record, expected) or _repetition(record, expected, seen_mixtures)
        if record is None or reason is not None:
            exclusions.append(Exclusion(run_id=run_id, reason=reason or "unreadable"))
        else:
            admitted[run_id] = record
    missing = sorted(set(expected.seeds) - seen_ids)
    exclusions += [Exclusion(run_id=run_id, reason="it has no result") for run_id in missing]
    return _table(admitted, expected), exclusions


def _run_id(result: Mapping[str, object]) -> str:
    run_id = result.get("run_id")
    if not isinstance(run_id, str):
        raise ValueError(f"result.json without a run_id, got {run_id!r} among {sorted(result)}")
    return run_id


def _parse(result: Mapping[str, object]) -> tuple[_ResultRecord | None, str | None]:
    try:
        return _ResultRecord.model_validate(result), None
    except ValidationError as error:
        fields = (
            f"{'.'.join(map(str, issue['loc']))} ({issue['msg']})" for issue in error.errors()
        )
        return None, f"result.json lacks or garbles {', '.join(fields)}"


def _refusal(record: _ResultRecord, expected: ExpectedRuns) -> str | None:
    """Return the first rule that the record breaks on its own."""
    wrong_shards = [
        domain
        for domain in expected.domains
        if record.shard_digests.get(domain) != expected.shard_digests[domain]
    ]
    lacking = [domain for domain in expected.eval_domains if domain not in record.heldout]
    infinite = [
        domain
        for domain in expected.eval_domains
        if domain in record.heldout and not math.isfinite(record.heldout[domain].loss_nats)
    ]
    rules = (
        (record.run_id not in expected.seeds, "it is not one of the expected runs"),
        (not record.finished, f"it did not finish (step {record.steps})"),
        (record.steps != expected.steps, f"step {record.steps}, wanted {expected.steps}"),
        (
            record.tokenizer_digest != expected.tokenizer_digest,
            f"tokenizer {record.tokenizer_digest}, wanted {expected.tokenizer_digest}",
        ),
        (bool(wrong_shards), f"other token shards for {', '.join(wrong_shards)}"),
        (bool(lacking), f"no held-out loss for {', '.join(lacking)}"),
        (bool(infinite), f"held-out loss is not finite for {', '.join(infinite)}"),
        (not _on_simplex(record, expected), _share_text(record, expected)),
    )
    return next((reason for broken, reason in rules if broken), None)


def _on_simplex(record: _ResultRecord, expected: ExpectedRuns) -> bool:
    shares = record.realised_shares
    values = list(shares.values())
    return (
        set(shares) == set(expected.domains)
        and all(math.isfinite(value) and value >= 0 for value in values)
        and abs(sum(values) - 1) <= 1e-6
    )


def _share_text(record: _ResultRecord, expected: ExpectedRuns) -> str:
    return (
        f"realised shares {record.realised_shares} are no mixture of {', '.join(expected.domains)}"
    )


def _repetition(
    record: _ResultRecord, expected: ExpectedRuns, seen: dict[tuple[object, ...], str]
) -> str | None:
    """Remember the record's mixture and seed; name the run that had them before."""
    shares = (round(record.realised_shares[domain], SHARE_DIGITS) for domain in expected.domains)
    key = (*shares, expected.seeds[record.run_id])
    earlier = seen.setdefault(key, record.run_id)
    return None if earlier == record.run_id else f"same mixture and seed as {earlier}"


def _table(admitted: Mapping[str, _ResultRecord], expected: ExpectedRuns) -> RunTable:
    run_ids = tuple(sorted(admitted))
    weights = [
        [admitted[run].realised_shares[domain] for domain in expected.domains] for run in run_ids
    ]
    losses = [
        [admitted[run].heldout[domain].loss_nats for domain in expected.eval_domains]
        for run in run_ids
    ]
    return RunTable(
        run_ids=run_ids,
        domains=expected.domains,
        eval_domains=expected.eval_domains,
        weights=np.array(weights, dtype=np.float64).reshape(-1, len(expected.domains)),
        losses=np.array(losses, dtype=np.float64).reshape(-1, len(expected.eval_domains)),
    )
