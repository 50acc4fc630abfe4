"""The weighters by name. A new one: a file, a line here, a test."""

from collections.abc import Callable, Mapping

from training.config import Setting, WeighterConfig
from training.policies import find_method
from training.weighters.heldout_alignment import make_heldout_alignment
from training.weighters.loss_reweighting import make_loss_reweighting
from training.weighters.unweighted import make_unweighted
from training.weighters.weighter import Weighter, WeightingTask

WEIGHTERS: dict[str, Callable[[Mapping[str, Setting], WeightingTask], Weighter]] = {
    "alignment": make_heldout_alignment,
    "loss": make_loss_reweighting,
    "none": make_unweighted,
}


def make_weighter(config: WeighterConfig, task: WeightingTask) -> Weighter:
    """Build the weighter that a run file names.

    Raises:
        ValueError: Unknown method, or settings that the method refuses.
    """
    return find_method(WEIGHTERS, "weighter", config.method)(config.settings, task)
