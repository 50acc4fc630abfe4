"""From a training step to the documents it saw, and from a document to the steps that saw it.

    step      -> rows of the ledger -> spans of documents in those rows of the shards
    document  -> rows of the shards that hold a part of it -> steps of the ledger that drew them

Both ways are exact: the ledger has every row drawn, and the shards are refused unless their digests
are those of the run. The newest rows of an unfinished run come from its last checkpoint.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from training.checkpoint import read_latest_checkpoint
from training.domain_shards import open_domain
from training.ledger import named_rows, named_weights, scan_rows, scan_weights
from training.run_folder import RUN_CONFIG_FILE, read_run_config
from training.run_result import RESULT_FILE, RunResult, read_result
from training.shards import DocumentSpan


@dataclass(frozen=True, kw_only=True, slots=True)
class SeenRow:
    """A row that a step drew."""

    step: int
    """From 1."""
    slot: int
    """Place in the batch, from 0."""
    domain: str
    """Which domain."""
    row: int
    """Row of the train shards of that domain."""
    epoch: int
    """Pass over what the domain offers, from 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnDomain:
    """What a step asked of a domain, and what it drew."""

    domain: str
    """Which domain."""
    requested: float
    """Weight that the mixer asked for."""
    applied: float
    """The same after domains that are used up."""
    rows: int
    """Rows drawn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepTrace:
    """A step."""

    step: int
    """From 1."""
    domains: tuple[DrawnDomain, ...]
    """By name."""
    rows: tuple[tuple[SeenRow, tuple[DocumentSpan, ...]], ...]
    """In the order of the slots, with the documents that each holds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentTrace:
    """A document."""

    document_id: str
    """Which one."""
    domains: tuple[str, ...]
    """Domains whose training shards hold it."""
    heldout_domains: tuple[str, ...]
    """Domains that hold it out: no step sees it there."""
    rows: Mapping[str, int]
    """Domain -> rows that hold a part of it."""
    seen: tuple[SeenRow, ...]
    """In the order of the steps."""


class TracedRun:
    """A run whose ledger and shards are at hand."""

    def __init__(
        self,
        *,
        ledger: pl.LazyFrame,
        weights: pl.LazyFrame,
        shards: Mapping[str, Path],
        context_tokens: int,
        result: RunResult | None,
        heldout_share: float = 0.05,
    ) -> None:
        """Open the shards.

        Args:
            ledger: Rows drawn (training.ledger).
            weights: Weights of the steps.
            shards: Domain -> folder of its shards (training.domain_shards).
            context_tokens: T.
            result: Of the run, for the digests of its shards; None: it is not finished.
            heldout_share: Of the run, for folders that are not divided.

        Raises:
            ValueError: Shards are missing or not those of the run.
        """
        self._ledger = ledger
        self._weights = weights
        self._context_tokens = context_tokens
        self._domains = {
            name: open_domain(folder, context_tokens=context_tokens, heldout_share=heldout_share)
            for name, folder in shards.items()
        }
        self._train = {name: domain.train for name, domain in self._domains.items()}
        for name, opened in self._train.items():
            if result is not None and opened.digest != result.shard_digests[name]:
                raise ValueError(
                    f"{shards[name]}: the shards of domain {name!r} are not those that the run was "
                    "trained on; give back the version with the digest "
                    f"{result.shard_digests[name][:16]}"
                )

    @classmethod
    def open(cls, folder: Path) -> "TracedRun":
        """Open the folder of a run that `mixwright train` or `python -m training.run` filled.

        Raises:
            ValueError: It is no such folder, or its shards are gone or changed.
        """
        if not (folder / RUN_CONFIG_FILE).is_file():
            raise ValueError(f"{folder}: no {RUN_CONFIG_FILE} of a run; name the folder of a run")
        config = read_run_config(folder)
        finished = (folder / RESULT_FILE).is_file()
        ledger, weights = read_drawn(folder, tuple(config.domains), finished=finished)
        return cls(
            ledger=ledger,
            weights=weights,
            shards={name: Path(shards) for name, shards in config.domains.items()},
            context_tokens=config.model.context_tokens,
            result=read_result(folder / RESULT_FILE) if finished else None,
            heldout_share=config.evaluation.heldout_share,
        )

    def step(self, step: int) -> StepTrace:
        """Trace a step.

        Raises:
            ValueError: The ledger does not have it.
        """
        drawn = self._ledger.filter(pl.col("step") == step).sort("slot").collect()
        if drawn.is_empty():
            last = self._ledger.select(pl.col("step").max()).collect().item()
            known = f"1 to {last}" if last is not None else "none"
            raise ValueError(f"--step {step}: the ledger has the steps {known}")
        weights = self._weights.filter(pl.col("step") == step).sort("domain").collect()
        rows = []
        for seen in _seen(drawn):
            spans = self._train[seen.domain].documents_of_row(seen.row, self._context_tokens)
            rows.append((seen, tuple(spans)))
        return StepTrace(
            step=step,
            domains=tuple(
                DrawnDomain(**row)
                for row in weights.select("domain", "requested", "applied", "rows").to_dicts()
            ),
            rows=tuple(rows),
        )

    def document(self, document_id: str) -> DocumentTrace:
        """Trace a document.

        Raises:
            ValueError: No shards of the run hold it.
        """
        rows = {
            name: domain.train_rows_of(document_id)
            for name, domain in self._domains.items()
            if domain.train.holds(document_id)
        }
        aside = tuple(
            name for name, domain in self._domains.items() if domain.holds_out(document_id)
        )
        if not rows and not aside:
            raise ValueError(
                f"--document {document_id!r}: no domain of the run holds it; it was removed before "
                "training (mixwright trace tells where), or its id is spelt otherwise"
            )
        wanted = pl.concat(
            [
                pl.DataFrame({"row": found}, schema={"row": pl.Int64}).with_columns(
                    domain=pl.lit(name)
                )
                for name, found in rows.items()
            ]
            or [pl.DataFrame(schema={"row": pl.Int64, "domain": pl.String})]
        )
        drawn = self._ledger.join(wanted.lazy(), on=["domain", "row"], how="semi")
        return DocumentTrace(
            document_id=document_id,
            domains=tuple(rows),
            heldout_domains=aside,
            rows={name: len(found) for name, found in rows.items()},
            seen=tuple(_seen(drawn.sort("step", "slot").collect())),
        )


def read_drawn(
    folder: Path, domains: tuple[str, ...], *, finished: bool
) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    """Return ledger and weights of a run, those rows included that only a checkpoint holds.

    Args:
        folder: Of the run.
        domains: In the order of the run.
        finished: Whether the ledger is complete.

    Raises:
        ValueError: There is neither a ledger nor a checkpoint.
    """
    rows, weights = scan_rows(folder / "ledger"), scan_weights(folder / "ledger")
    newest = None if finished else read_latest_checkpoint(folder / "checkpoints")
    if newest is not None:
        rows.append(named_rows(newest.tensors["ledger.rows"].numpy(), domains).lazy())
        weights.append(named_weights(newest.tensors["ledger.weights"].numpy(), domains).lazy())
    if not rows:
        raise ValueError(f"{folder}: no ledger and no checkpoint; this run drew nothing yet")
    # A part may be written after the checkpoint that holds its rows too.
    return pl.concat(rows).unique(), pl.concat(weights).unique()


def _seen(drawn: pl.DataFrame) -> list[SeenRow]:
    columns = ("step", "slot", "domain", "row", "epoch")
    return [SeenRow(**row) for row in drawn.select(columns).to_dicts()]
