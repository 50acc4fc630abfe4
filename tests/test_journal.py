import json

import pytest

from training.journal import MetricsFile, Stopwatch


def test_metrics_are_cut_at_the_checkpoint(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with MetricsFile(path) as metrics:
        metrics.append({"step": 1, "loss": 0.1 + 0.2})
        kept = metrics.flushed_bytes()
        metrics.append({"step": 2})
    with MetricsFile(path, num_bytes=kept) as metrics:
        metrics.append({"step": 2, "again": True})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [{"step": 1, "loss": 0.1 + 0.2}, {"step": 2, "again": True}]


def test_metrics_that_are_too_short_are_refused(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text("{}\n")
    with pytest.raises(ValueError, match=r"metrics\.jsonl has 3 bytes, the checkpoint relies on 9"):
        MetricsFile(path, num_bytes=9)


def test_timings_cover_every_step_once(tmp_path):
    path = tmp_path / "timings.jsonl"
    watch = Stopwatch(path, step=3, tokens_per_step=10, every_steps=4)
    assert watch.tokens_per_second(3) == 0
    for step in range(4, 14):
        with watch.measure("step"):
            pass
        watch.note(step)
    watch.note(13, now=True)
    watch.note(13, now=True)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["step"], line["steps"]) for line in lines] == [(7, 4), (11, 4), (13, 2)]
    assert sum(line["step_seconds"] for line in lines) == pytest.approx(
        watch.seconds["step"], abs=1e-5
    )
    assert watch.tokens_per_second(13) == pytest.approx(100 / watch.seconds["step"])


@pytest.mark.parametrize(("num_gpus", "seconds"), [(1, 0.75), (2, 1.5), (0, 0.0)])
def test_all_phases_of_a_run_on_a_gpu_are_gpu_seconds(tmp_path, num_gpus, seconds):
    path = tmp_path / "timings.jsonl"
    watch = Stopwatch(path, step=0, tokens_per_step=1, every_steps=1, num_gpus=num_gpus)
    watch.seconds |= {"data": 0.25, "step": 0.5}
    watch.note(1)
    assert json.loads(path.read_text())["gpu_seconds"] == seconds
