from itertools import pairwise

import numpy as np
import pytest

from training.config import MixerConfig
from training.mixers import make_mixer
from training.mixers.interface import pack_state, unpack_state

TOKENS = np.array([1e9, 1e8, 1e7])


def make(temperature, tokens=TOKENS):
    domains = tuple(f"d{k}" for k in range(len(tokens)))
    config = MixerConfig(method="temperature", settings={"temperature": temperature})
    return make_mixer(config, domains=domains, available_tokens=tokens, steps=10, batch_rows=4)


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [
        (1.0, [0.900901, 0.090090, 0.009009]),
        (2.0, [0.706101, 0.223289, 0.070610]),
        (5.0, [0.492838, 0.310960, 0.196202]),
    ],
)
def test_published_values(temperature, expected, drive):
    run = drive(make(temperature), 3)
    np.testing.assert_allclose(run.trail, [expected] * 3, atol=1e-6)
    assert run.evaluations == []


def test_from_proportional_to_equal():
    shares = [make(t).weights(make(t).initial(), 0) for t in (0.5, 1.0, 3.0, 1e9)]
    np.testing.assert_allclose(shares[1], TOKENS / TOKENS.sum())
    np.testing.assert_allclose(shares[-1], [1 / 3] * 3, atol=1e-8)
    assert all(a[0] > b[0] and a[2] < b[2] for a, b in pairwise(shares))


def test_follows_the_domains_and_does_not_overflow():
    order = [2, 0, 1]
    one, other = make(2.0), make(2.0, TOKENS[order])
    np.testing.assert_allclose(
        one.weights(one.initial(), 0)[order], other.weights(other.initial(), 0)
    )
    huge = make(0.01, np.array([1e12, 9e11]))
    np.testing.assert_allclose(huge.weights(huge.initial(), 0).sum(), 1)


def test_state_survives_packing():
    mixer = make(2.0)
    assert unpack_state(pack_state(mixer.initial()), mixer.initial()) == mixer.initial()


@pytest.mark.parametrize("temperature", [0.0, -1.0, "2"])
def test_refuses(temperature):
    with pytest.raises(ValueError, match="mixer 'temperature', settings: temperature"):
        make(temperature)
