"""Trainings that are compared take a step in turn, and peers are looked for before they are run."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks.alternation import alternate, in_groups
from benchmarks.loading import compare_loaders
from benchmarks.loops import _rare_steps, _round_seconds
from benchmarks.peer_environments import Environments, run_peer
from benchmarks.trainer_peer import compare_trainer


def test_trainings_take_a_step_in_turn():
    trail = []

    def training(name, steps):
        def run(stepped):
            for step in range(steps):
                trail.append((name, step))
                stepped()

        return run

    seconds = alternate({"a": training("a", 3), "b": training("b", 2), "c": training("c", 3)})
    assert "".join(name for name, _ in trail) == "abcabcac"
    assert {name: len(steps) for name, steps in seconds.items()} == {"a": 3, "b": 2, "c": 3}


def test_a_step_counts_for_the_training_that_took_it():
    def busy(stepped):
        for _ in range(2):
            sum(range(1_000_000))
            stepped()

    def idle(stepped):
        for _ in range(2):
            stepped()

    seconds = alternate({"idle": idle, "busy": busy})
    assert min(seconds["busy"]) > 5 * max(seconds["idle"])


def test_an_error_reaches_the_caller_after_the_others_are_done():
    done = []

    def fails(stepped):
        stepped()
        raise RuntimeError("no")

    def goes_on(stepped):
        for step in range(3):
            stepped()
            done.append(step)

    with pytest.raises(RuntimeError, match="no"):
        alternate({"fails": fails, "goes on": goes_on})
    assert done == [0, 1, 2]


def test_steps_are_dealt_to_groups_like_cards():
    assert in_groups([1, 10, 2, 20, 90, 30], 2) == [2, 20]


def test_environments():
    here = Path(sys.executable)
    assert Environments([here]).find("json") == here
    assert Environments([here]).find("no_such_module") is None
    with pytest.raises(ValueError, match="/nowhere/python: no such Python"):
        Environments([here, Path("/nowhere/python")])
    with pytest.raises(RuntimeError, match=r"mixed_loading\.py failed"):
        run_peer(here, "mixed_loading.py", "nobody", "prepare", "a", "b")


def test_without_environments_it_says_what_to_install(tmp_path, monkeypatch):
    rows, notes = compare_trainer(tmp_path, Environments([]))
    assert rows == []
    assert "--engine-python" in notes[0]
    monkeypatch.setattr("benchmarks.loading.DOMAIN_TOKENS", 20_000)
    monkeypatch.setattr("benchmarks.loading.NUM_BATCHES", 20)
    monkeypatch.setattr("benchmarks.loading.INTERLEAVED_ROWS", 10)
    rows, notes = compare_loaders(tmp_path, Environments([]))
    assert len(rows) == 3
    said = " ".join(notes)
    for peer in ("mosaicml-streaming", "litdata", "grain"):
        assert f"pip install {peer}" in said


def test_a_round_by_hand(tmp_path):
    # Steps 1 and 6 are left out; 3 and 5 evaluate.
    steps = [100.0, 1.0, 5.0, 2.0, 7.0, 100.0]
    assert _round_seconds(steps, {3, 5}) == 2 * 1.5 + 2 * 6.0
    lines = [{"step": 0, "heldout": {}}, {"step": 1}, {"step": 2, "heldout": {}}, {"step": 3}]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    settings: dict[str, object] = {"every_steps": 2}
    (tmp_path / "config.json").write_text(json.dumps({"mixer": {"settings": settings}}))
    assert _rare_steps(tmp_path) == {0, 1, 2, 3}
    (tmp_path / "config.json").write_text(json.dumps({"mixer": {"settings": {}}}))
    assert _rare_steps(tmp_path) == {0, 2}
