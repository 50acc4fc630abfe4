"""The optimiser and its learning rate.

AdamW (Loshchilov and Hutter 2017, "Decoupled Weight Decay Regularization", arXiv:1711.05101).
Weight decay acts on the matrices, the embedding among them; not on gains and biases.

    lr(s) = peak * s / W                                                        1 <= s <= W
    cosine
    lr(s) = peak * (f + (1 - f) * (1 + cos(pi * (s - W) / (S - W))) / 2)        W <  s <= S
    wsd: warm-up, stable, decay
    lr(s) = peak                                                            W     <  s <= S - D
    lr(s) = peak * (f + (1 - f) * (1 - sqrt((s - (S - D)) / D)))            S - D <  s <= S

s counts steps from 1, W warm-up steps, S steps, D decay steps, f final_lr_share; so the last step
of the warm-up has the peak and the last step of the run has f * peak. The rate is a plain function
of the step: a resumed run has nothing to restore.

WSD: Hu et al. 2024, "MiniCPM", arXiv:2404.06395. Its decay is exponential; the square root is that
of Hägele et al. 2024, "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations",
arXiv:2405.18392, who found it the best of those they compared.
"""

import math

from torch import nn, optim

from training.config import ScheduleConfig


def learning_rate(step: int, schedule: ScheduleConfig) -> float:
    """Return the learning rate of a step.

    Args:
        step: From 1 to schedule.steps.
        schedule: Its shape.

    Raises:
        ValueError: The step is not one of the run's.
    """
    if not 1 <= step <= schedule.steps:
        raise ValueError(f"step {step} is outside 1..{schedule.steps}")
    if step <= schedule.warmup_steps:
        return schedule.peak_lr * step / schedule.warmup_steps
    floor = schedule.final_lr_share
    if schedule.decay_steps is not None:
        done = max(0.0, 1 - (schedule.steps - step) / schedule.decay_steps)
        return schedule.peak_lr * (floor + (1 - floor) * (1 - math.sqrt(done)))
    done = (step - schedule.warmup_steps) / (schedule.steps - schedule.warmup_steps)
    return schedule.peak_lr * (floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2)


def build_optimiser(model: nn.Module, schedule: ScheduleConfig) -> optim.AdamW:
    """Build AdamW over the parameters of a model; the loop sets the rate of every step."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {
            "params": [parameter for parameter in parameters if parameter.ndim >= 2],
            "weight_decay": schedule.weight_decay,
        },
        {
            "params": [parameter for parameter in parameters if parameter.ndim < 2],
            "weight_decay": 0.0,
        },
    ]
    return optim.AdamW(
        [group for group in groups if group["params"]],
        lr=schedule.peak_lr,
        betas=(schedule.beta1, schedule.beta2),
        fused=True,
    )


def set_learning_rate(optimiser: optim.Optimizer, rate: float) -> None:
    """Use this rate from the next step on."""
    for group in optimiser.param_groups:
        group["lr"] = rate
