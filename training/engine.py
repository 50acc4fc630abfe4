"""Runs a model on its devices: precision, compilation, parts of a batch, several processes.

    gradient = d/dparameters  sum over rows of nats / (B * T)

over the whole batch, whatever the number of processes W and of parts. The processes average their
gradients, so each sums those of W / (B * T) times the loss of its parts: DDP keeps a copy of
the parameters in each, FSDP2 (fully_shard) divides parameters, gradients and optimiser state.

Shapes: B rows of a batch over all processes, T context tokens.
"""

import math
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_
from transformers import PreTrainedModel

from training.arrays import Floats, Ints
from training.config import ExecutionConfig
from training.model import rows_per_pass, set_precision, split_rows, token_losses
from training.pass_memory import even_parts, rows_that_fit
from training.ranks import ALONE, Ranks
from training.scoring import to_device
from training.shards import StoredTokens


class _TokenLosses(nn.Module):
    """A model whose output is the loss of each label."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, rows: Tensor, with_hidden: bool) -> tuple[Tensor, Tensor | None]:
        return token_losses(self.model, rows, with_hidden=with_hidden)


class Engine:
    """A model on the devices of a run."""

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        device: torch.device,
        context_tokens: int,
        precision: str = "auto",
        execution: ExecutionConfig | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        """Move the model to the device and prepare it for training. Build the optimiser after this.

        Args:
            model: The same on every rank.
            device: Of this process.
            context_tokens: T.
            precision: "auto", "float32" or "bfloat16", as in the configuration.
            execution: How; None: its defaults.
            ranks: The processes.
        """
        how = execution or ExecutionConfig()
        self.device = device
        self.ranks = ranks
        self._bfloat16 = precision == "bfloat16" or (precision == "auto" and device.type == "cuda")
        self.limit = how.micro_rows or self._rows_of_a_pass(model, context_tokens, how)
        """Rows of one forward pass, at most."""
        self.model = self.adopt(model).train()
        self._scored = _TokenLosses(self.model)
        self._trained: nn.Module = self._scored
        self._averaging: DistributedDataParallel | None = None
        divided = ranks.size > 1 and how.parallel == "fsdp"
        self.rounds_parameters = divided and self._bfloat16 and device.type == "cuda"
        """Whether passes see parameters in bfloat16: FSDP2 gathers them so, autocast does not."""
        if divided:
            _divide_parameters(self.model, device=device, bfloat16=self.rounds_parameters)
        elif ranks.size > 1:
            self._trained = self._averaging = DistributedDataParallel(
                _TokenLosses(self.model),
                device_ids=[device.index] if device.type == "cuda" else None,
                forward_sync_buffers=False,
                gradient_as_bucket_view=True,
            )
            self._settle_exchange(context_tokens)
        self._compiled = how.compile
        if how.compile:
            for module in {self._scored, self._trained}:
                module.compile(dynamic=False)  # in place: the parameters keep their names

    def _rows_of_a_pass(
        self, model: PreTrainedModel, context_tokens: int, how: ExecutionConfig
    ) -> int:
        vocab_size = model.config.vocab_size
        if self.device.type != "cuda":
            return rows_per_pass(
                context_tokens, vocab_size, device=self.device, compiled=how.compile
            )
        return rows_that_fit(
            model,
            vocab_size=vocab_size,
            context_tokens=context_tokens,
            memory_bytes=torch.cuda.get_device_properties(self.device).total_memory,
            value_bytes=2 if self._bfloat16 else 4,
            compiled=how.compile,
            processes=self.ranks.size if how.parallel == "fsdp" else 1,
        )

    def adopt(self, model: PreTrainedModel) -> PreTrainedModel:
        """Move another model to the device and let it compute in the precision of the run."""
        moved: PreTrainedModel = model.to(self.device)
        set_precision(moved, bfloat16=self._bfloat16)
        return moved

    def parts(self, rows: StoredTokens) -> tuple[Tensor, ...]:
        """Divide this rank's rows, shape (n, T + 1), into those of one forward pass each."""
        limit = even_parts(len(rows), self.limit) if self._compiled else self.limit
        return split_rows(to_device(rows, self.device), self.model.config.vocab_size, limit=limit)

    def one_part(self, batch_rows: int) -> bool:
        """Whether every rank runs a batch of B rows in one part."""
        return -(-batch_rows // self.ranks.size) <= self.limit

    def token_losses(
        self, part: Tensor, *, with_hidden: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Compute the loss of each label for a backward pass, as training.model.token_losses."""
        losses, hidden = self._trained(part, with_hidden)
        return losses, hidden

    def exchange(self, *, last: bool) -> AbstractContextManager[None]:
        """Run forward and backward pass of a part in this; DDP exchanges gradients in the last."""
        if self._averaging is None or last:
            return nullcontext()
        return self._averaging.no_sync()

    def gather(self, values: Floats, num_rows: int) -> Floats:
        """Put the values of each rank's rows together, shape (n, ...) to (num_rows, ...)."""
        if self.ranks.size == 1:
            return values
        whole: Floats = np.zeros((num_rows, *values.shape[1:]))
        whole[self.ranks.share(num_rows)] = values
        return self.ranks.total(whole)

    def clip_gradients(self, clip_norm: float | None) -> Tensor:
        """Bring the gradient to this norm if it is longer; return its norm before, shape ()."""
        norm = clip_grad_norm_(
            self.model.parameters(), math.inf if clip_norm is None else clip_norm
        )
        return whole_tensor(norm.detach())

    def losses_of_rows(self, rows: StoredTokens) -> Floats:
        """Score rows, shape (R, T + 1), divided among the ranks; return nats per token, shape (R,).

        The same on every rank. The mode of the model (train or eval) is restored.
        """
        own = self._own_rows(len(rows))
        training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad():
                parts = self.parts(rows[own])
                losses = torch.cat([self._scored(part, False)[0].sum(dim=1) for part in parts])
        finally:
            self.model.train(training)
        share = self.ranks.share(len(rows))
        scored: Floats = losses.double().cpu().numpy() / (rows.shape[1] - 1)
        return self.gather(scored[: share.stop - share.start], len(rows))

    def _settle_exchange(self, context_tokens: int) -> None:
        """Let DDP choose now how it packs gradients, which it does after its first exchange.

        Three ranks and more add a gradient up in an order that depends on its place in the pack. So
        the first step of a resumed run would round unlike that of one that was not stopped.
        """
        self.model.eval()  # draws no random numbers
        for _ in range(2):  # it packs anew at the start of the second pass
            row = torch.zeros((1, context_tokens + 1), dtype=torch.int64, device=self.device)
            losses, _hidden = self._trained(row, False)
            torch.autograd.backward(losses.sum())
        self.model.train()
        self.model.zero_grad(set_to_none=True)

    def _own_rows(self, num_rows: int) -> Ints:
        """Return which rows to score here.

        With FSDP every rank has to run as often as the others, and a compiled model should see one
        shape; so a short share repeats its last row.
        """
        share = self.ranks.share(num_rows)
        own: Ints = np.arange(share.start, share.stop, dtype=np.int64)
        if self.ranks.size == 1 and not self._compiled:
            return own
        largest = -(-num_rows // self.ranks.size)
        num_parts = -(-largest // self.limit)
        length = num_parts * -(-largest // num_parts)
        fill = own[-1] if len(own) else np.int64(0)
        return np.concatenate([own, np.full(length - len(own), fill)])


def whole_tensor(tensor: Tensor) -> Tensor:
    """Return a tensor as it is over all ranks; a divided one is put together (all must call)."""
    if not torch.distributed.is_initialized():
        return tensor
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _divide_parameters(model: PreTrainedModel, *, device: torch.device, bfloat16: bool) -> None:
    """Apply FSDP2 to every block and to the rest."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    policy = MixedPrecisionPolicy()
    if bfloat16:
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    # The convention by which transformers names the classes of its blocks.
    block_names = set(model._no_split_modules or ())
    for module in model.modules():
        if type(module).__name__ in block_names:
            fully_shard(module, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)
