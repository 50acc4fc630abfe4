"""The result of a run, as the loop returns it and result.json holds it.

It contains no timings and no paths: the same run gives the same bytes.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as strict_dataclass

from training.durable_files import write_text
from training.guard_verdict import GuardVerdict

RESULT_FILE = "result.json"


class CheckpointMismatch(ValueError):
    """A checkpoint or result in the folder belongs to another configuration."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldoutLoss:
    """Loss on the cached held-out rows of one domain after the last step."""

    loss_nats: float
    """Nats per token."""
    standard_error: float | None
    """Over rows; None with a single row."""
    rows: int
    """Rows behind it."""


@strict_dataclass(frozen=True, kw_only=True, slots=True, config=ConfigDict(extra="forbid"))
class RunResult:
    """What a run did. Dicts are keyed by domain."""

    run_id: str
    """Name of the run."""
    method: str
    """Key of training.mixers.MIXERS."""
    config_digest: str
    """16 hexadecimal digits over all that changes the numbers."""
    tokenizer_digest: str
    """Of the tokenizer behind the shards."""
    shard_digests: dict[str, str]
    """Sha256 of the manifest of the training shards."""
    heldout_digests: dict[str, str]
    """Sha256 of the manifest of the held-out shards."""
    num_parameters: int
    """Of the model, tied ones once."""
    seed: int
    """Of parameters and order."""
    steps: int
    """Steps finished."""
    tokens: int
    """Tokens trained on."""
    requested_weights: dict[str, float]
    """Mean over the steps of the weights the mixer asked for."""
    realised_shares: dict[str, float]
    """Share of the rows that were drawn; 0 everywhere before the first step."""
    epochs: dict[str, float]
    """Passes over what the domain offers (epoch_share of its rows)."""
    heldout: dict[str, HeldoutLoss]
    """After the last step; empty if the run was stopped."""
    finished: bool
    """Whether all steps were done."""
    learned_weights: dict[str, float] | None = None
    """What a proxy run learnt for the real run, to be given to the mixer "fixed"; None, and absent
    from the file: the mixer learns nothing for another run."""
    weights_from: dict[str, str] | None = None
    """run_id, method and config_digest of the run that learnt the weights of this one; None, and
    absent from the file: they were not learnt by another run."""
    verdicts: tuple[GuardVerdict, ...] = ()
    """What the guards of the mixer found; absent from the file where it has none."""


def write_result(result: RunResult, out: Path) -> None:
    """Write result.json, at once and durably."""
    content = TypeAdapter(RunResult).dump_python(result, mode="json")
    if result.learned_weights is None:
        del content["learned_weights"]
    if result.weights_from is None:
        del content["weights_from"]
    if not result.verdicts:
        del content["verdicts"]
    write_text(out / RESULT_FILE, json.dumps(content, sort_keys=True, indent=1) + "\n")


def read_result(path: Path) -> RunResult:
    """Read a result.json.

    Raises:
        ValueError: It is missing or no result.
    """
    try:
        return TypeAdapter(RunResult).validate_json(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); run the training") from error
    except ValidationError as error:
        mistake = error.errors(include_url=False)[0]
        key = ".".join(map(str, mistake["loc"])) or "(whole)"
        raise ValueError(
            f"{path}: no result of a run ({key}: {mistake['msg']}); remove it and train again"
        ) from error


def finished_result(out: Path, *, run_id: str, config_digest: str) -> RunResult | None:
    """Return the result of this very run if `out` holds it, None if it holds none.

    Raises:
        CheckpointMismatch: It holds the result of another run or configuration.
        ValueError: The file is no result.
    """
    path = out / RESULT_FILE
    if not path.exists():
        return None
    result = read_result(path)
    if (result.run_id, result.config_digest) != (run_id, config_digest):
        raise CheckpointMismatch(
            f"{path} is of run {result.run_id!r} with configuration {result.config_digest}, this "
            f"is run {run_id!r} with {config_digest}; train into another folder or remove {out}"
        )
    return result
