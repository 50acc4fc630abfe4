"""Measures candidate rows with the model, for a selector.

With several processes each measures everything but losses, which they divide among themselves; all
go by what the leader found, so that they cannot drift apart.

Shapes: P rows of a pool, D domains, T context tokens, H width, M projected size.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import optim
from transformers import PreTrainedModel

from training.arrays import Floats, Ints
from training.engine import Engine
from training.policies import HeldoutEmbeddings
from training.row_features import GradientSketch, embed_rows, sketch_means, sketch_rows
from training.run_inputs import RunInputs
from training.scoring import losses_of_rows, to_device
from training.selectors.selector import PoolGradients, PoolMeasures
from training.shards import StoredTokens


@dataclass(kw_only=True, slots=True)
class PoolMeter:
    """Measures what the selector of a run reads. Nothing in it changes the run's results."""

    inputs: RunInputs
    """Shards, selector, held-out rows."""
    engine: Engine
    """With the model as it is trained."""
    optimiser: optim.Optimizer
    """Over its parameters."""
    initial_model: PreTrainedModel | None
    """As it was before the first step; None unless the selector reads initial losses."""
    seed: int
    """Of the projection of gradients."""
    _sketch: GradientSketch | None = field(default=None, init=False)

    def measure(self, step: int, domain: int, number: int, rows: Ints) -> PoolMeasures:
        """Measure a pool.

        Args:
            step: Step that is about to run, from 0.
            domain: Which domain.
            number: Which pool of its stream.
            rows: Its rows within the domain, shape (P,).
        """
        reads = self.inputs.selector.reads
        tokens = self.inputs.train[domain].rows(rows, self.inputs.context_tokens)
        embeds = "embeddings" in reads
        return PoolMeasures(
            domain=domain,
            number=number,
            step=step,
            losses=self.engine.losses_of_rows(tokens) if "losses" in reads else None,
            initial_losses=self._initial_losses(tokens) if "initial_losses" in reads else None,
            embeddings=self._embeddings(tokens) if embeds else None,
            heldout_embeddings=self.heldout_embeddings() if embeds else None,
            gradients=self._gradients(tokens) if "gradients" in reads else None,
        )

    def heldout_embeddings(self) -> HeldoutEmbeddings:
        """Embed the cached held-out rows with the model as it is."""
        vectors = [self._embeddings(rows) for rows in self.inputs.heldout_rows]
        domains = np.repeat(np.arange(len(vectors)), [len(entry) for entry in vectors])
        return HeldoutEmbeddings(vectors=np.concatenate(vectors), domain_index=domains)

    def _initial_losses(self, tokens: StoredTokens) -> Floats:
        assert self.initial_model is not None
        losses = losses_of_rows(self.initial_model, [tokens], device=self.engine.device)
        return self.engine.ranks.from_leader(losses)

    def _embeddings(self, tokens: StoredTokens) -> Floats:
        vectors = embed_rows(self.engine.model, self._on_device(tokens))
        return self.engine.ranks.from_leader(vectors)

    def _gradients(self, tokens: StoredTokens) -> PoolGradients:
        model, agree = self.engine.model, self.engine.ranks.from_leader
        if self._sketch is None:
            size = self.inputs.selector.projected_size
            self._sketch = GradientSketch(model, size, seed=self.seed, ranks=self.engine.ranks)
        heldout = [self._on_device(rows) for rows in self.inputs.heldout_rows]
        of_rows = sketch_rows(model, self._sketch, self._on_device(tokens), self.optimiser)
        return PoolGradients(
            rows=agree(of_rows), heldout=agree(sketch_means(model, self._sketch, heldout))
        )

    def _on_device(self, tokens: StoredTokens) -> torch.Tensor:
        return to_device(tokens, self.engine.device)
