"""Gradients of a loss by parameter, also where FSDP2 has divided the parameters among processes.

Each process then holds a contiguous slice of the first dimension of every parameter, and gets the
slice of the gradient that belongs to it. All must take the same gradients in the same order; each
runs the same rows, so that the average over the processes is the gradient itself. Sums over all
parameters are sums over slices and processes.
"""

import math

import torch
from torch import Tensor, nn

from training.arrays import Floats
from training.ranks import ALONE, Ranks


class ParameterSlices:
    """The trainable parameters of a model, or this process's slices of them."""

    def __init__(self, model: nn.Module, *, ranks: Ranks = ALONE) -> None:
        """Find them. No computation of the model may be under way.

        Args:
            model: On its device; perhaps divided by FSDP2.
            ranks: The processes.
        """
        self._model = model
        self._ranks = ranks
        self.settle()
        self.parameters = [entry for entry in model.parameters() if entry.requires_grad]
        """As the optimiser knows them."""
        self.divided = any(self.local(entry) is not entry for entry in self.parameters)

    def settle(self) -> None:
        """Drop whole parameters that a forward pass gathered, so that changed slices count."""
        if self._ranks.size == 1:
            return
        from torch.distributed.fsdp import FSDPModule

        for module in self._model.modules():
            if isinstance(module, FSDPModule):
                module.reshard()

    def local(self, tensor: Tensor) -> Tensor:
        """Return this process's slice of a parameter or of something of its shape."""
        if self._ranks.size == 1:
            return tensor
        from torch.distributed.tensor import DTensor

        return tensor.to_local() if isinstance(tensor, DTensor) else tensor

    def slices(self) -> list[Tensor]:
        """Return the slices of all parameters; changing them changes the model."""
        return [self.local(entry.detach()) for entry in self.parameters]

    def gradient(self, loss: Tensor) -> list[Tensor]:
        """Return the slices of the gradient of a loss; the .grad fields stay as they are."""
        if not self.divided:
            return list(torch.autograd.grad(loss, self.parameters))
        before = [entry.grad for entry in self.parameters]
        for entry in self.parameters:
            entry.grad = None
        torch.autograd.backward(loss)
        found = [entry.grad for entry in self.parameters]
        for entry, kept in zip(self.parameters, before, strict=True):
            entry.grad = kept
        assert all(entry is not None for entry in found), "a parameter has no part in the loss"
        return [self.local(entry) for entry in found if entry is not None]

    def total(self, values: Floats) -> Floats:
        """Add up what each process summed over its slices."""
        return self._ranks.total(values) if self.divided else values

    def choose(self, values: Tensor) -> Tensor:
        """Choose the values that belong to the slices, flattened and in the order of gradient().

        FSDP2 cuts as torch.chunk does: into equal slices, of which the last may be shorter.

        Args:
            values: One for each element of all parameters, shape (parameters,).
        """
        if not self.divided:
            return values
        found, base = [], 0
        for entry in self.parameters:
            rows = -(-entry.shape[0] // self._ranks.size)
            first = min(self._ranks.rank * rows, entry.shape[0])
            start = base + first * math.prod(entry.shape[1:])
            found.append(values[start : start + self.local(entry).numel()])
            base += entry.numel()
        return torch.cat(found)
