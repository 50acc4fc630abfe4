import json
from dataclasses import replace

import numpy as np
import pytest

from training.config import SelectorConfig, WeighterConfig
from training.progress import initial_progress, pack_progress, unpack_progress
from training.run_inputs import open_run_inputs


@pytest.fixture
def inputs(aioli_run):
    settings = {"pool_rows": 8}
    return open_run_inputs(
        replace(
            aioli_run,
            selector=SelectorConfig(method="loss_band", settings=settings),
            weighter=WeighterConfig(method="alignment"),
        )
    )


def test_all_states_survive_json(inputs):
    start = initial_progress(inputs)
    moved = replace(
        start,
        step=7,
        sampler=replace(start.sampler, cursors=np.array([5, 2, 1]), carry=np.array([0.1, -0.1, 0])),
        mixer=replace(start.mixer, step=6, losses=np.array([1 / 3, 2.0, np.pi])),
        weighter=replace(start.weighter, step=6, direction=np.array([0.1 + 0.2, -1.0])),
        selector=replace(start.selector, pools=3, kept=start.selector.kept + 2),
        requested_sum=np.array([2.0, 3.0, 2.0]),
        realised_rows=np.array([14, 14, 14]),
    )
    packed = json.loads(json.dumps(pack_progress(moved)))
    found = unpack_progress(packed, inputs)
    assert pack_progress(found) == pack_progress(moved)
    assert found.selector.kept.dtype == np.int64


def test_checkpoint_of_another_version_or_method_is_refused(inputs, tiny_run):
    packed = pack_progress(initial_progress(inputs))
    with pytest.raises(ValueError, match="belongs to another mixer, selector or weighter"):
        unpack_progress(packed, open_run_inputs(tiny_run))
    del packed["selector"]
    with pytest.raises(ValueError, match="holds no state of a selector; it is of another version"):
        unpack_progress(packed, inputs)
