"""Selector, mixer and weighter together in the loop: any combination, exact on resume.

Set MIXWRIGHT_ALL_INTERRUPTS=1 to cut every combination after 20 of its steps, chosen at random;
without it some combinations are cut a few times.
"""

import itertools
import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from training.config import MixerConfig, SelectorConfig, WeighterConfig
from training.ledger import read_ledger
from training.loop import BatchRefused, RunRejected, train
from training.mixers import MIXERS
from training.run_result import read_result
from training.selectors import SELECTORS
from training.weighters import WEIGHTERS

GRAPH = {
    "blue": {"blue": 1.0, "green": 0.5, "red": 0.0},
    "green": {"blue": 0.0, "green": 1.0, "red": 0.5},
    "red": {"blue": 0.0, "green": 0.0, "red": 1.0},
}
PHASES = {
    "0": {"blue": 1.0, "green": 0.0, "red": 0.0},
    "11": {"blue": 0.2, "green": 0.3, "red": 0.5},
}
MIXING = {
    "aioli": {
        "round_steps": 12,
        "probe_steps": 1,
        "sweeps": 2,
        "min_signal": 0.0,
        "min_fidelity": 0.9,
    },
    "curriculum": {},
    "doge": {"every_steps": 4, "mu": 0.001},
    "doremi": {"eta": 5.0},
    "fixed": {"weights": {"blue": 0.5, "green": 0.3, "red": 0.2}},
    "odm": {"warmup_steps": 4},
    "proportional": {},
    "schedule": {"phases": PHASES, "interpolation": "linear"},
    "skill_it": {"graph": GRAPH, "round_steps": 8, "evaluation_steps": 3, "window": 2},
    "temperature": {"temperature": 2.0},
    "uniform": {},
    "unimax": {"budget_tokens": 2304, "max_epochs": 2.0},
}
POOLS = {"pool_rows": 12, "keep_share": 0.5}
SELECTING = {
    "delta_loss": POOLS,
    "gradient_similarity": {**POOLS, "projected_size": 32},
    "loss_band": {**POOLS, "band": "high"},
    "nearest": POOLS,
    "random": {},
}
WEIGHING = {
    "alignment": {"refresh_steps": 5, "temperature": 0.1},
    "loss": {"temperature": 0.5},
    "none": {},
}


@pytest.fixture(scope="module")
def reference(tiny_run, tmp_path_factory):
    """A finished run of few steps, the first stage of DoReMi."""
    out = tmp_path_factory.mktemp("reference")
    train(replace(tiny_run, run_id="reference", seed=8), out)
    return str(out)


@pytest.fixture
def combine(tiny_run, reference):
    """Return a run with one method of each kind."""

    def build(mixer, selector, weighter):
        return replace(
            tiny_run,
            mixer=MixerConfig(method=mixer, settings=MIXING[mixer]),
            selector=SelectorConfig(method=selector, settings=SELECTING[selector]),
            weighter=WeighterConfig(method=weighter, settings=WEIGHING[weighter]),
            reference=reference if mixer == "doremi" else None,
        )

    return build


def stop_after(num_steps):
    asked = iter(range(1000))
    return lambda: next(asked) >= num_steps


def written(out):
    files = [out / "metrics.jsonl", out / "result.json"]
    for folder in ("ledger", "final"):
        files += sorted((out / folder).iterdir())
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def lines(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_every_method_is_here():
    assert set(MIXING) == set(MIXERS)
    assert set(SELECTING) == set(SELECTORS)
    assert set(WEIGHING) == set(WEIGHTERS)


# Every selector with pools, both weighters, and the mixers with signals of their own.
FEW = [
    (("aioli", "delta_loss", "loss"), [1, 6, 4, 0, 7]),
    (("doremi", "gradient_similarity", "loss"), [3, 11]),
    (("doge", "nearest", "alignment"), [7, 1, 9]),
    (("odm", "loss_band", "alignment"), [13]),
    (("curriculum", "loss_band", "loss"), [6]),
    (("schedule", "nearest", "loss"), [11]),
    (("skill_it", "loss_band", "alignment"), [7, 3]),
]
SELECTED = sorted(set(SELECTING) - {"random"})
WEIGHED = sorted(set(WEIGHING) - {"none"})


def twenty_interrupts(seed):
    """Steps of each attempt, so that 20 of the 23 steps before the last are the last of one."""
    steps = 1 + np.random.default_rng(seed).choice(23, size=20, replace=False)
    return np.diff(np.sort(steps), prepend=0).tolist()


ALL = [
    (methods, twenty_interrupts(seed))
    for seed, methods in enumerate(itertools.product(MIXING, SELECTED, WEIGHED))
]
"""Every mixer with every selector and weighter: some four minutes of processor time."""


@pytest.mark.parametrize(
    ("methods", "attempts"), ALL if os.environ.get("MIXWRIGHT_ALL_INTERRUPTS") else FEW
)
def test_interrupted_run_ends_bit_for_bit_the_same(combine, tmp_path, methods, attempts):
    run = combine(*methods)
    train(run, tmp_path / "straight")
    for num_steps in attempts:
        if train(run, tmp_path / "cut", should_stop=stop_after(num_steps)).finished:
            break
    train(run, tmp_path / "cut")
    assert written(tmp_path / "cut") == written(tmp_path / "straight")
    found = lines(tmp_path / "cut")
    assert found[-1]["selector"]["pools"] > 0
    assert 1 < min(line["effective_rows"] for line in found[1:]) < 6


def test_defaults_are_no_weighter_and_no_selector(tiny_run, combine, tmp_path):
    explicit = combine("uniform", "random", "none")
    assert explicit.digest() == tiny_run.digest()
    train(tiny_run, tmp_path / "plain")
    train(explicit, tmp_path / "explicit")
    assert written(tmp_path / "plain") == written(tmp_path / "explicit")
    assert {"weighter", "selector", "effective_rows"}.isdisjoint(lines(tmp_path / "plain")[-1])


def test_each_kind_changes_digest_and_run(tiny_run, combine, tmp_path):
    digests = {tiny_run.digest()}
    for methods in (("uniform", "loss_band", "none"), ("uniform", "random", "loss")):
        run = combine(*methods)
        digests.add(run.digest())
        train(run, tmp_path / methods[1])
    assert len(digests) == 3
    drawn = read_ledger(tmp_path / "loss_band/ledger")["row"].to_list()
    train(tiny_run, tmp_path / "plain")
    plain = read_ledger(tmp_path / "plain/ledger")["row"].to_list()
    assert drawn != plain
    assert read_ledger(tmp_path / "random/ledger")["row"].to_list() == plain
    assert lines(tmp_path / "random")[1]["loss"] == lines(tmp_path / "plain")[1]["loss"]
    assert lines(tmp_path / "random")[2]["loss"] != lines(tmp_path / "plain")[2]["loss"]
    # Half of a stream is drawn, so 48 draws are 96 of its 153 rows.
    assert read_result(tmp_path / "loss_band/result.json").epochs["red"] == pytest.approx(96 / 153)


def test_the_ledger_holds_the_rows_that_were_selected(combine, tmp_path):
    """The high band of 12 candidates: what is drawn lies above the median when it is drawn."""
    run = combine("uniform", "loss_band", "none")
    settings = {**SELECTING["loss_band"], "focus": 1e12, "high_quantile": 0.5, "low_quantile": 0.1}
    train(replace(run, selector=replace(run.selector, settings=settings)), tmp_path / "high")
    train(replace(run, selector=SelectorConfig()), tmp_path / "plain")
    losses = [
        np.mean([line["loss"] for line in lines(tmp_path / name)[1:12]])
        for name in ("high", "plain")
    ]
    assert losses[0] > losses[1]


def test_doremi_in_three_stages(combine, tiny_run, reference, tmp_path):
    proxy = train(combine("doremi", "random", "none"), tmp_path / "proxy")
    assert sum(proxy.learned_weights.values()) == pytest.approx(1)
    assert proxy.realised_shares == dict.fromkeys(tiny_run.domains, 1 / 3)  # alpha samples nothing
    found = lines(tmp_path / "proxy")
    assert found[-1]["mixer"]["learned_weights"] == proxy.learned_weights
    assert read_result(tmp_path / "proxy/result.json").learned_weights == proxy.learned_weights
    spread = [line["effective_rows"] for line in found[1:]]
    assert spread[0] == pytest.approx(6)  # alpha is uniform before the first step
    assert min(spread[1:]) < 6
    settings = {"weights": proxy.learned_weights}
    copied = replace(tiny_run, mixer=MixerConfig(method="fixed", settings=settings))
    named = replace(
        tiny_run, mixer=MixerConfig(method="fixed"), weights_from=str(tmp_path / "proxy")
    )
    real, by_hand = train(named, tmp_path / "real"), train(copied, tmp_path / "copied")
    assert real.realised_shares == by_hand.realised_shares
    assert real.heldout == by_hand.heldout
    assert real.weights_from == {
        "run_id": "tiny",
        "method": "doremi",
        "config_digest": proxy.config_digest,
    }
    assert "learned_weights" not in json.loads((tmp_path / "real/result.json").read_text())
    digests = {copied.digest(), named.digest()}
    shutil.copytree(tmp_path / "proxy", tmp_path / "moved")
    assert replace(named, weights_from=str(tmp_path / "moved")).digest() in digests
    stored = tmp_path / "moved/result.json"
    content = json.loads(stored.read_text())
    content["learned_weights"] = {"blue": 0.2, "green": 0.3, "red": 0.5}
    stored.write_text(json.dumps(content))
    assert replace(named, weights_from=str(tmp_path / "moved")).digest() not in digests


def test_reference_that_is_missing_or_foreign_is_refused(combine, tmp_path):
    run = combine("doremi", "random", "none")
    with pytest.raises(RunRejected, match="set `reference` to the folder of a finished run"):
        train(replace(run, reference=None), tmp_path)
    with pytest.raises(RunRejected, match=r"reference: no model in /nowhere or /nowhere/final"):
        train(replace(run, reference="/nowhere"), tmp_path)


def test_each_domain_is_observed_with_its_own_loss(combine, tmp_path):
    """The fault of a released trainer: a mixed batch is credited to the domain of its first row."""
    train(combine("odm", "random", "none"), tmp_path)
    for line in lines(tmp_path)[1:]:
        assert len(line["train"]) == sum(count > 0 for count in line["rows"].values())
    early = lines(tmp_path)[9]["train"]
    assert len(set(early.values())) == len(early)


def test_weights_that_end_in_nothing_name_run_and_step(combine, tmp_path, monkeypatch):
    from training.mixers.doremi import DoReMi

    monkeypatch.setattr(DoReMi, "loss_weights", lambda *_: np.zeros(3))
    with pytest.raises(BatchRefused, match=r"run 'tiny', step 1: .*weights of the rows"):
        train(combine("doremi", "random", "none"), tmp_path)
