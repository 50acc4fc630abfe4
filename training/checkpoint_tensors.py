"""Moves all tensors that training changes between the live objects and a dict by name.

    model.<name>                 parameters and persistent buffers; tied ones once
    optimiser.<name>.<moment>    what the optimiser keeps for the parameter <name>
    rng.cpu, rng.cuda            states of torch's global generators

No other generator is saved because no other is used: rows come from the sampler and mixers draw
from generators seeded by the round.
"""

import torch
from torch import Tensor, nn, optim


def collect_tensors(model: nn.Module, optimiser: optim.Optimizer) -> dict[str, Tensor]:
    """Return the tensors of a run on the CPU; the live ones may change afterwards."""
    tensors = {f"model.{name}": tensor for name, tensor in _unique_state(model).items()}
    for name, parameter in _optimised(model, optimiser).items():
        for moment, value in optimiser.state[parameter].items():
            tensors[f"optimiser.{name}.{moment}"] = value
    tensors["rng.cpu"] = torch.get_rng_state()
    if next(model.parameters()).device.type == "cuda":
        tensors["rng.cuda"] = torch.cuda.get_rng_state()
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}


def restore_tensors(
    tensors: dict[str, Tensor], model: nn.Module, optimiser: optim.Optimizer
) -> None:
    """Put the tensors of collect_tensors() back, bit for bit.

    Args:
        tensors: They may hold more names; those are ignored.
        model: Of the same shape as the one they came from.
        optimiser: Over its parameters.

    Raises:
        KeyError: A parameter of the model is missing.
    """
    with torch.no_grad():
        for name, tensor in _unique_state(model).items():
            tensor.copy_(tensors[f"model.{name}"])
    state = optimiser.state_dict()
    parameters = [entry for group in optimiser.param_groups for entry in group["params"]]
    names = {id(parameter): name for name, parameter in _optimised(model, optimiser).items()}
    state["state"] = {
        index: _moments(tensors, f"optimiser.{names[id(parameter)]}.")
        for index, parameter in enumerate(parameters)
    }
    state["state"] = {index: moments for index, moments in state["state"].items() if moments}
    optimiser.load_state_dict(state)
    torch.set_rng_state(tensors["rng.cpu"])
    if "rng.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["rng.cuda"])


def _moments(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    # Cloned: the optimiser keeps a tensor that already has its type and device.
    return {
        name[len(prefix) :]: tensor.clone()
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _unique_state(model: nn.Module) -> dict[str, Tensor]:
    unique: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in model.state_dict().items():
        unique.setdefault(tensor.data_ptr(), (name, tensor))
    return dict(unique.values())


def _optimised(model: nn.Module, optimiser: optim.Optimizer) -> dict[str, nn.Parameter]:
    held = {id(entry) for group in optimiser.param_groups for entry in group["params"]}
    return {name: entry for name, entry in model.named_parameters() if id(entry) in held}
