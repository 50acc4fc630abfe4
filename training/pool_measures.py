"""Measures candidate rows with the model, for a selector.

Shapes: P rows of a pool, D domains, T context tokens, H width, M projected size.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import optim
from transformers import PreTrainedModel

from training.arrays import Ints
from training.policies import HeldoutEmbeddings
from training.row_features import GradientSketch, embed_rows, sketch_means, sketch_rows
from training.run_inputs import RunInputs
from training.scoring import losses_of_rows, to_device
from training.selectors.selector import PoolGradients, PoolMeasures


@dataclass(kw_only=True, slots=True)
class PoolMeter:
    """Measures what the selector of a run reads. Nothing in it changes the run's results."""

    inputs: RunInputs
    """Shards, selector, held-out rows."""
    model: PreTrainedModel
    """As it is trained."""
    optimiser: optim.Optimizer
    """Over its parameters."""
    initial_model: PreTrainedModel | None
    """As it was before the first step; None unless the selector reads initial losses."""
    device: torch.device
    """Of the models."""
    batch_rows: int
    """Rows of one forward pass."""
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
        starts = range(0, len(tokens), self.batch_rows)
        batches = [tokens[start : start + self.batch_rows] for start in starts]
        losses, initial, embeddings, heldout, gradients = None, None, None, None, None
        if "losses" in reads:
            losses = losses_of_rows(self.model, batches, device=self.device)
        if "initial_losses" in reads:
            assert self.initial_model is not None
            initial = losses_of_rows(self.initial_model, batches, device=self.device)
        if "embeddings" in reads:
            parts = [embed_rows(self.model, to_device(part, self.device)) for part in batches]
            embeddings, heldout = np.concatenate(parts), self.heldout_embeddings()
        if "gradients" in reads:
            parts = [self._gradients_of(to_device(part, self.device)) for part in batches]
            gradients = PoolGradients(
                rows=np.concatenate(parts),
                heldout=sketch_means(self.model, self._projection(), self._heldout_rows()),
            )
        return PoolMeasures(
            domain=domain,
            number=number,
            step=step,
            losses=losses,
            initial_losses=initial,
            embeddings=embeddings,
            heldout_embeddings=heldout,
            gradients=gradients,
        )

    def heldout_embeddings(self) -> HeldoutEmbeddings:
        """Embed the cached held-out rows with the model as it is."""
        vectors = [embed_rows(self.model, rows) for rows in self._heldout_rows()]
        domains = np.repeat(np.arange(len(vectors)), [len(entry) for entry in vectors])
        return HeldoutEmbeddings(vectors=np.concatenate(vectors), domain_index=domains)

    def _heldout_rows(self) -> list[torch.Tensor]:
        return [to_device(rows, self.device) for rows in self.inputs.heldout_rows]

    def _gradients_of(self, rows: torch.Tensor) -> np.ndarray:
        return sketch_rows(self.model, self._projection(), rows, self.optimiser)

    def _projection(self) -> GradientSketch:
        if self._sketch is None:
            size = self.inputs.selector.projected_size
            self._sketch = GradientSketch(self.model, size, seed=self.seed)
        return self._sketch
