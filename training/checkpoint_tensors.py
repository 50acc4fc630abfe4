"""Moves all tensors that training changes between the live objects and a dict by name.

    model.<name>                 parameters and persistent buffers; tied ones once
    optimiser.<name>.<moment>    what the optimiser keeps for the parameter <name>
    rng.cpu, rng.cuda            states of torch's global generators

Tensors that are divided among ranks are put together, so a checkpoint does not depend on their
number; all ranks must call these functions together.

No other generator is saved because no other is used: rows come from the sampler and mixers draw
from generators seeded by the round.
"""

import torch
from torch import Tensor, nn, optim

from training.engine import whole_tensor

_OPTIMISER = "optimiser."


def collect_tensors(
    model: nn.Module,
    optimiser: optim.Optimizer,
    *,
    buffers: dict[str, Tensor] | None = None,
    keep: bool = True,
) -> dict[str, Tensor]:
    """Return the tensors of a run on the CPU; the live ones may change afterwards.

    Args:
        model: As it is trained.
        optimiser: Over its parameters.
        buffers: Memory that an earlier call returned, to be overwritten; it is filled up here.
        keep: False: nothing is returned, this process only helps to put divided tensors together.
            The processes of a machine would else take its memory as often as there are of them.
    """
    tensors = {f"model.{name}": tensor for name, tensor in _unique_state(model).items()}
    for name, parameter in _optimised(model, optimiser).items():
        for moment, value in optimiser.state[parameter].items():
            tensors[f"{_OPTIMISER}{name}.{moment}"] = value
    copies = {} if buffers is None else buffers
    for name, tensor in tensors.items():
        whole = whole_tensor(tensor.detach())
        if not keep:
            continue
        if name not in copies:
            copies[name] = torch.empty(
                whole.shape, dtype=whole.dtype, pin_memory=whole.device.type == "cuda"
            )
        copies[name].copy_(whole, non_blocking=True)
    if not keep:
        return {}
    random_states = {"rng.cpu": torch.get_rng_state()}
    device = _device(model)
    if device.type == "cuda":
        random_states["rng.cuda"] = torch.cuda.get_rng_state(device)
        torch.cuda.synchronize(device)
    return copies | random_states


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return what save_pretrained() writes: the state of the model, put together."""
    return {name: whole_tensor(tensor) for name, tensor in model.state_dict().items()}


def restore_tensors(
    tensors: dict[str, Tensor], model: nn.Module, optimiser: optim.Optimizer
) -> None:
    """Put the tensors of collect_tensors() back, bit for bit.

    On the CPU nothing is copied: parameters and moments live in the memory of the given tensors
    from then on.

    Args:
        tensors: As training.tensor_file.read_tensors returned them; they may hold more names, which
            are ignored. They must not be used afterwards.
        model: Of the same shape as the one they came from; its values do not matter.
        optimiser: Over its parameters.

    Raises:
        KeyError: A parameter of the model is missing.
        ValueError: One has another shape or type.
    """
    with torch.no_grad():
        for name, tensor in _unique_state(model).items():
            _take_over(tensor, tensors[f"model.{name}"], name)
    state = optimiser.state_dict()
    parameters = [entry for group in optimiser.param_groups for entry in group["params"]]
    names = {id(parameter): name for name, parameter in _optimised(model, optimiser).items()}
    saved = _saved_moments(tensors)
    state["state"] = {
        index: {
            moment: _divided_like(parameter, tensor)
            for moment, tensor in saved[names[id(parameter)]].items()
        }
        for index, parameter in enumerate(parameters)
        if names[id(parameter)] in saved
    }
    optimiser.load_state_dict(state)
    # Cloned: torch reads these bytes as a struct, with instructions that need an aligned address.
    torch.set_rng_state(tensors["rng.cpu"].clone())
    device = _device(model)
    if "rng.cuda" in tensors and device.type == "cuda":
        torch.cuda.set_rng_state(tensors["rng.cuda"].clone(), device)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _take_over(live: Tensor, saved: Tensor, name: str) -> None:
    """Give a live tensor the saved values."""
    if live.shape != saved.shape or live.dtype != saved.dtype:
        raise ValueError(
            f"{name} is {tuple(saved.shape)} {saved.dtype} in the checkpoint and "
            f"{tuple(live.shape)} {live.dtype} in the model"
        )
    # Among several processes the memory of a parameter is known to those that exchange gradients.
    if live.device.type == "cpu" and not torch.distributed.is_initialized():
        live.data = saved
    else:
        live.copy_(_divided_like(live, saved))


def _divided_like(live: Tensor, whole: Tensor) -> Tensor:
    """Divide a whole tensor as a live one is divided, if it is."""
    if live.shape != whole.shape or not torch.distributed.is_initialized():
        return whole
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(live, DTensor):
        return whole
    # Every rank holds the same whole tensor, so nothing is sent.
    return distribute_tensor(
        whole.to(live.device), live.device_mesh, live.placements, src_data_rank=None
    )


def _saved_moments(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """By the name of the parameter and that of the moment."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(_OPTIMISER):
            parameter, moment = name[len(_OPTIMISER) :].rsplit(".", 1)
            found.setdefault(parameter, {})[moment] = tensor
    return found


def _unique_state(model: nn.Module) -> dict[str, Tensor]:
    unique: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        unique.setdefault(id(tensor), (name, tensor))
    return dict(unique.values())


def _optimised(model: nn.Module, optimiser: optim.Optimizer) -> dict[str, nn.Parameter]:
    held = {id(entry) for group in optimiser.param_groups for entry in group["params"]}
    return {name: entry for name, entry in model.named_parameters() if id(entry) in held}
