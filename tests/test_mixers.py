"""The registry, the interface, and the mixers that learn nothing."""

import dataclasses
import json

import numpy as np
import pytest

from training.config import MixerConfig
from training.mixers import MIXERS, make_mixer
from training.mixers.aioli_settings import AioliSettings
from training.mixers.curriculum import CurriculumSettings
from training.mixers.doge import DoGESettings
from training.mixers.doremi import DoReMiSettings
from training.mixers.interface import (
    MixerState,
    Observation,
    StaticMixer,
    pack_state,
    unpack_state,
)
from training.mixers.odm import OdmSettings
from training.mixers.skill_it import SkillItSettings
from training.mixers.unimax import UniMaxSettings
from training.selectors.delta_loss import DeltaLossSettings
from training.selectors.loss_band import LossBandSettings
from training.weighters.heldout_alignment import HeldoutAlignmentSettings
from training.weighters.loss_reweighting import LossReweightingSettings

DOMAINS = ("code", "law", "prose")


def make(method, settings=None, **changes):
    options = {
        "domains": DOMAINS,
        "available_tokens": np.array([600.0, 300.0, 100.0]),
        "steps": 100,
        "batch_rows": 8,
        **changes,
    }
    return make_mixer(MixerConfig(method=method, settings=settings or {}), **options)


@pytest.mark.parametrize(
    ("method", "settings", "expected"),
    [
        ("uniform", {}, [1 / 3, 1 / 3, 1 / 3]),
        ("proportional", {}, [0.6, 0.3, 0.1]),
        ("fixed", {"weights": {"prose": 0.75, "code": 0.25, "law": 0.0}}, [0.25, 0, 0.75]),
    ],
)
def test_static_mixers_keep_their_weights(method, settings, expected):
    mixer = make(method, settings)
    state = mixer.initial()
    for step in range(-1, 3):
        assert not mixer.wants_evaluation(state, step)
        observation = Observation(
            step=step,
            heldout_losses=None,
            train_loss_sums=np.array([9.0, 1.0, 1.0]),
            train_token_counts=np.array([1, 1, 1]),
            realised_counts=np.array([8, 0, 0]),
        )
        state = mixer.observe(state, observation)
        np.testing.assert_allclose(mixer.weights(state, step + 1), expected)
    assert mixer.describe(state)["weights"] == pytest.approx(
        dict(zip(DOMAINS, expected, strict=True))
    )
    assert unpack_state(pack_state(state), mixer.initial()) == state


def test_the_returned_weights_are_a_copy():
    mixer = make("uniform")
    mixer.weights(mixer.initial(), 0)[:] = 5
    assert mixer.weights(mixer.initial(), 0).sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # As published or released, but for the lines that say "ours".
        (DoReMiSettings, {"eta": 1.0, "smoothing": 1e-3, "normalisation": "domain"}),
        (DoGESettings, {"mu": 0.01, "clip_low": 0.0, "clip_high": 5.0, "smoothing": 0.0}),
        (DoGESettings, {"self_term": False, "every_steps": 50}),  # ours
        (OdmSettings, {"form": "released", "smoothing": 0.5, "warmup_steps": None}),
        (SkillItSettings, {"eta": 0.2, "window": 3, "window_losses": "sum", "static": False}),
        (AioliSettings, {"eta": 0.2, "main_share": 0.75, "update": "memoryless", "ema": 0.0}),
        (AioliSettings, {"sweeps": 4, "probe_steps": 4, "round_steps": 250, "prior": None}),
        (AioliSettings, {"min_signal": 2.0, "min_fidelity": 0.5}),  # ours
        (UniMaxSettings, {"max_epochs": 1.0}),
        (CurriculumSettings, {"mixing_share": 0.4, "full_at": 1.0, "start_share": 0.0}),
        (LossBandSettings, {"low_quantile": 0.33, "high_quantile": 0.66, "focus": 5.0}),
        (LossBandSettings, {"band": "middle", "temperature": 1.0}),
        (DeltaLossSettings, {"window_share": 0.2, "steepness": 10.0, "outside_weight": 0.025}),
        (LossReweightingSettings, {"strategy": "linupper", "delta": 1.0, "temperature": 1.0}),
        (HeldoutAlignmentSettings, {"temperature": 1.0, "refresh_steps": 50}),
    ],
)
def test_defaults_are_those_of_the_sources(settings, expected):
    defaults = {field.name: field.default for field in dataclasses.fields(settings)}
    assert {name: defaults[name] for name in expected} == expected


def test_static_weights_are_a_mixture():
    with pytest.raises(ValueError, match="must sum to 1"):
        StaticMixer(("a", "b"), np.array([0.5, 0.6]))


def test_every_method_of_the_contract_is_there():
    assert set(MIXERS) >= {"uniform", "proportional", "fixed", "aioli", "skill_it", "odm"}


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("aoli", {}, "no method 'aoli'; choose one of aioli, curriculum, doge, doremi, "),
        ("uniform", {"eta": 1.0}, "mixer 'uniform', settings: eta: unknown key"),
        ("proportional", {"temperature": 2}, "temperature: unknown key"),
        ("fixed", {}, "mixer 'fixed' has no weights: set settings.weights .* or weights_from"),
        ("fixed", {"weights": 3}, r"mixer 'fixed', settings: weights: .*got 3"),
        (
            "fixed",
            {"weights": {"code": 0.5, "low": 0.5}},
            r"missing \['law', 'prose'\], unknown \['low'\]; give 0",
        ),
        (
            "fixed",
            {"weights": {"code": 0.5, "law": 0.4, "prose": 0.0}},
            "mixer.settings.weights must sum to 1, got the sum 0.9",
        ),
        ("fixed", {"weights": {"code": 1.5, "law": -0.5, "prose": 0.0}}, "not negative"),
        (
            "fixed",
            {"weights": {"code": 1.0, "law": 0, "prose": 0, "wiki": 0}},
            r"unknown \['wiki'\]",
        ),
    ],
)
def test_refuses_settings(method, settings, message):
    with pytest.raises(ValueError, match=message):
        make(method, settings)


LEARNED = {"code": 0.5, "law": 0.25, "prose": 0.25}


def test_fixed_samples_from_what_another_run_learnt():
    mixer = make("fixed", {}, learned_weights=LEARNED)
    np.testing.assert_allclose(mixer.weights(mixer.initial(), 0), [LEARNED[d] for d in DOMAINS])


@pytest.mark.parametrize(
    ("method", "settings", "task", "message"),
    [
        ("fixed", {"weights": LEARNED}, {"learned_weights": LEARNED}, "has both settings.weights"),
        ("fixed", {}, {"learned_weights": {"code": 1.0}}, r"weights_from: .*missing \['law', 'p"),
        ("uniform", {}, {"learned_weights": LEARNED}, "weights_from: the mixer 'uniform' does not"),
        ("uniform", {}, {"has_reference": True}, "reference: the mixer 'uniform' compares no"),
    ],
)
def test_what_a_mixer_would_not_use_is_refused(method, settings, task, message):
    with pytest.raises(ValueError, match=message):
        make(method, settings, **task)


@pytest.mark.parametrize("tokens", [[1.0, 2.0], [1.0, 0.0, 2.0]])
def test_refuses_domains_without_tokens(tokens):
    with pytest.raises(ValueError, match="available_tokens"):
        make("uniform", available_tokens=np.array(tokens))


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Everything(MixerState):
    floats: np.ndarray
    ints: np.ndarray
    flags: np.ndarray
    number: int
    share: float
    absent: None = None


def test_a_state_survives_json_bit_for_bit():
    state = Everything(
        floats=np.array([[0.1 + 0.2, 1e-310], [np.pi, -0.0]]),
        ints=np.array([2**53 + 1, -3]),
        flags=np.array([True, False]),
        number=7,
        share=1 / 3,
    )
    found = unpack_state(json.loads(json.dumps(pack_state(state))), state)
    for field in ("floats", "ints", "flags"):
        one, other = getattr(found, field), getattr(state, field)
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert one.tobytes() == other.tobytes()
    assert (found.number, found.share, found.absent) == (7, 1 / 3, None)


def test_a_matrix_in_fortran_order_comes_back_as_it_was():
    state = Everything(
        floats=np.asfortranarray([[1.0, 2.0], [3.0, 4.0]]),
        ints=np.arange(6).reshape(2, 3).T,
        flags=np.zeros(1, dtype=bool),
        number=1,
        share=0.5,
    )
    found = unpack_state(json.loads(json.dumps(pack_state(state))), state)
    np.testing.assert_array_equal(found.floats, state.floats)
    np.testing.assert_array_equal(found.ints, state.ints)


def test_a_state_of_another_mixer_or_version_is_refused():
    aioli = make("aioli", {"sweeps": 2, "probe_steps": 2, "round_steps": 20})
    packed = pack_state(aioli.initial())
    with pytest.raises(ValueError, match="belongs to another mixer"):
        unpack_state(packed, make("uniform").initial())
    del packed["fields"]["drops"]
    with pytest.raises(ValueError, match="of another version"):
        unpack_state(packed, aioli.initial())


def test_only_plain_values_are_packed():
    state = Everything(
        floats=[], ints=np.zeros(1), flags=np.zeros(1, dtype=bool), number=1, share=0.5
    )
    with pytest.raises(TypeError, match="not list"):
        pack_state(state)
