"""The selectors by name. A new one: a file, a line here, a test."""

from collections.abc import Callable, Mapping

from training.config import SelectorConfig, Setting
from training.policies import find_method
from training.selectors.delta_loss import make_delta_loss
from training.selectors.gradient_similarity import make_gradient_similarity
from training.selectors.loss_band import make_loss_band
from training.selectors.nearest import make_nearest
from training.selectors.random_order import make_random_order
from training.selectors.selector import SelectionTask, Selector

SELECTORS: dict[str, Callable[[Mapping[str, Setting], SelectionTask], Selector]] = {
    "delta_loss": make_delta_loss,
    "gradient_similarity": make_gradient_similarity,
    "loss_band": make_loss_band,
    "nearest": make_nearest,
    "random": make_random_order,
}


def make_selector(config: SelectorConfig, task: SelectionTask) -> Selector:
    """Build the selector that a run file names.

    Raises:
        ValueError: Unknown method, or settings that the method refuses.
    """
    return find_method(SELECTORS, "selector", config.method)(config.settings, task)
