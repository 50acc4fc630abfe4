"""Opens what a run reads: the token shards of its domains, and the policies that choose from them.

Shapes: D domains, B rows of a batch, T context tokens.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.arrays import Ints
from training.batch_reader import BatchReader
from training.config import RunConfig
from training.domain_shards import open_domain
from training.learned_weights import LearnedWeights, read_learned_weights
from training.mixers import make_mixer
from training.mixers.interface import Mixer
from training.sampler import BatchPlan, Sampler
from training.selectors import make_selector
from training.selectors.selector import SelectionTask, Selector
from training.shards import ShardManifest, StoredTokens, TokenShards
from training.weighters import make_weighter
from training.weighters.weighter import Weighter, WeightingTask

_ALL = slice(None)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunInputs:
    """Constants of a run; vectors are in the order of domains."""

    domains: tuple[str, ...]
    """Names."""
    train: tuple[TokenShards, ...]
    """Training shards of each domain."""
    heldout: tuple[TokenShards, ...]
    """Held-out shards of each domain."""
    heldout_rows: tuple[StoredTokens, ...]
    """Rows of each domain that every evaluation reads, shape (R, T + 1)."""
    context_tokens: int
    """T."""
    reader: BatchReader
    """Rows to tokens."""
    sampler: Sampler
    """Weights to rows."""
    mixer: Mixer
    """Observations to weights of domains."""
    weighter: Weighter
    """A batch to weights of its rows."""
    selector: Selector
    """A pool of rows to those that are drawn."""
    learned: LearnedWeights | None
    """What the mixer samples from and another run learnt, if any."""

    @property
    def manifest(self) -> ShardManifest:
        """A manifest; all agree on vocabulary, end-of-sequence token and tokenizer."""
        return self.train[0].manifest

    def batch(self, plan: BatchPlan, *, slots: slice = _ALL) -> StoredTokens:
        """Read the rows of a plan, or of some of its slots, shape (B, T + 1), in their order.

        Raises:
            ValueError: A row holds a token beyond the vocabulary: its shard was changed.
        """
        domain_index, rows = plan.domain_index[slots], plan.rows[slots]
        tokens = self.reader.read(domain_index, rows)
        if tokens.size and int(tokens.max()) >= self.manifest.vocab_size:
            for index in np.unique(domain_index):
                here = domain_index == index
                self.train[index].require_vocabulary(tokens[here], rows[here])
        return tokens


def open_run_inputs(config: RunConfig) -> RunInputs:
    """Open the shards of a run.

    Raises:
        ValueError: Shards are missing, truncated, too short for one row or made by different
            tokenizers; mixer, weighter or selector refuse their settings; or the run that
            weights_from names learnt no weights.
    """
    domains = tuple(config.domains)
    folders = [Path(folder) for folder in config.domains.values()]
    context_tokens = config.model.context_tokens
    opened = [
        open_domain(
            folder,
            context_tokens=context_tokens,
            heldout_share=config.evaluation.heldout_share,
        )
        for folder in folders
    ]
    train = tuple(domain.train for domain in opened)
    heldout = tuple(domain.heldout for domain in opened)
    _require_one_tokenizer([*train, *heldout], [*folders, *folders])
    _tell_of_repeats(config.domains)
    num_rows: Ints = np.array([domain.num_train_rows for domain in opened], dtype=np.int64)
    learned = (
        None if config.weights_from is None else read_learned_weights(Path(config.weights_from))
    )
    mixer = make_mixer(
        config.mixer,
        domains=domains,
        available_tokens=num_rows.astype(np.float64) * context_tokens,
        steps=config.schedule.steps,
        batch_rows=config.schedule.batch_rows,
        has_reference=config.reference is not None,
        learned_weights=None if learned is None else learned.weights,
    )
    sampler = _sampler(config, num_rows)
    selector = make_selector(
        config.selector,
        SelectionTask(
            domains=domains,
            offered_rows=sampler.offered_rows,
            steps=config.schedule.steps,
            batch_rows=config.schedule.batch_rows,
            seed=config.seed,
        ),
    )
    if selector.reads:
        sampler = _sampler(config, num_rows, selector)
    weighter = make_weighter(
        config.weighter,
        WeightingTask(
            domains=domains, steps=config.schedule.steps, batch_rows=config.schedule.batch_rows
        ),
    )
    wanted = config.evaluation.rows_per_domain
    return RunInputs(
        domains=domains,
        train=train,
        heldout=heldout,
        heldout_rows=tuple(domain.heldout_rows(wanted) for domain in opened),
        context_tokens=context_tokens,
        reader=BatchReader(train, context_tokens),
        sampler=sampler,
        mixer=mixer,
        weighter=weighter,
        selector=selector,
        learned=learned,
    )


def _sampler(config: RunConfig, num_rows: Ints, selector: Selector | None = None) -> Sampler:
    return Sampler(
        tuple(config.domains),
        num_rows,
        seed=config.seed,
        batch_rows=config.schedule.batch_rows,
        epoch_share=config.epoch_share,
        max_epochs=config.max_epochs,
        epoch_policy=config.epoch_policy,
        draws_per_row=None if selector is None else selector.draws_per_row,
        pool_rows=None if selector is None else selector.pool_rows,
    )


def _tell_of_repeats(domains: Mapping[str, str]) -> None:
    known: dict[Path, str] = {}
    for domain, folder in domains.items():
        other = known.setdefault(Path(folder).resolve(), domain)
        if other != domain:
            _LOG.warning(
                "domains: %r and %r are the same folder, %s; its text is read twice in an epoch",
                other,
                domain,
                folder,
            )


def _require_one_tokenizer(all_shards: list[TokenShards], folders: list[Path]) -> None:
    first = all_shards[0].manifest
    for shards, folder in zip(all_shards, folders, strict=True):
        manifest = shards.manifest
        for field in ("tokenizer_digest", "vocab_size", "eos_id", "dtype"):
            ours, theirs = getattr(manifest, field), getattr(first, field)
            if ours != theirs:
                raise ValueError(
                    f"{folder}: {field} {ours!r} differs from {theirs!r} of {folders[0]}; tokenise "
                    "all domains with the same tokenizer"
                )
