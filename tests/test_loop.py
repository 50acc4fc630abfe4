import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from training import loop
from training.checkpoint import RunLocked, lock_folder
from training.config import (
    EvaluationConfig,
    ExecutionConfig,
    MixerConfig,
    SavedModelConfig,
)
from training.ledger import read_ledger, read_weights
from training.loop import BatchRefused, OutOfMemory, RunRejected, TrainingDiverged, train
from training.model import build_model
from training.run_result import CheckpointMismatch, read_result
from training.scoring import score_domains
from training.shards import TokenShards


def outcome(out):
    """Bytes of all that must be reproducible."""
    files = [out / "metrics.jsonl", out / "result.json"]
    for folder in ("ledger", "final"):
        files += sorted((out / folder).iterdir())
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def metrics(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def stop_after(num_steps):
    """Say stop when asked after so many steps of this attempt."""
    asked = iter(range(10_000))
    return lambda: next(asked) >= num_steps


def resume_until_done(config, out, attempts):
    """Interrupt after each of the given numbers of steps, then run to the end."""
    for num_steps in attempts:
        result = train(config, out, should_stop=stop_after(num_steps))
        assert not result.finished
        assert not (out / "result.json").exists()
    return train(config, out)


def test_learns_and_reports(tiny_run, tmp_path):
    reports = []
    result = train(tiny_run, tmp_path, on_progress=reports.append)
    assert [report.step for report in reports] == list(range(1, 25))
    assert reports[0].loss == pytest.approx(math.log(37), abs=0.1)  # untrained: uniform guesses
    assert reports[-1].loss < 2.5
    assert reports[9].heldout is not None
    assert reports[8].heldout is None
    assert result.finished
    assert result.steps == 24
    assert result.tokens == 24 * 6 * 16
    assert result.realised_shares == dict.fromkeys(tiny_run.domains, 1 / 3)
    # 60 documents of 41 tokens hold 153 rows of 16 tokens; 48 rows were drawn of each domain.
    assert result.epochs == dict.fromkeys(tiny_run.domains, 48 / 153)
    assert read_result(tmp_path / "result.json") == result


def test_result_agrees_with_the_saved_model(tiny_run, tmp_path):
    config = replace(tiny_run, evaluation=EvaluationConfig(rows_per_domain=10**6))
    result = train(config, tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "final")
    folders = {domain: f"{folder}/heldout" for domain, folder in config.domains.items()}

    scores = score_domains(
        model, {domain: Path(path) for domain, path in folders.items()}, context_tokens=16
    )
    for domain, score in scores.items():
        assert score.loss_nats == pytest.approx(result.heldout[domain].loss_nats, rel=1e-5)
        assert score.num_rows == result.heldout[domain].rows


def test_ledger_replays_the_batches(tiny_run, tmp_path, monkeypatch):
    seen = []
    step = loop.train_step

    def spy(engine, optimiser, rows, plan, **settings):
        seen.append(rows)
        return step(engine, optimiser, rows, plan, **settings)

    monkeypatch.setattr(loop, "train_step", spy)
    train(tiny_run, tmp_path)

    shards = {
        domain: TokenShards.open(Path(folder) / "train")
        for domain, folder in tiny_run.domains.items()
    }
    ledger = read_ledger(tmp_path / "ledger")
    assert ledger["step"].to_list() == sorted(list(range(1, 25)) * 6)
    replayed = [
        shards[domain].rows(np.array([row]), 16)[0]
        for domain, row in ledger.select("domain", "row").iter_rows()
    ]
    np.testing.assert_array_equal(np.stack(replayed), np.concatenate(seen))
    weights = read_weights(tmp_path / "ledger")
    assert weights["rows"].sum() == 24 * 6
    assert weights["requested"].to_list() == [1 / 3] * 24 * 3


def test_metrics_hold_the_measurements_of_each_step(tiny_run, tmp_path):
    train(tiny_run, tmp_path)
    lines = metrics(tmp_path)
    assert [line["step"] for line in lines] == [0, *range(1, 25)]
    assert [line["step"] for line in lines if "heldout" in line] == [0, 10, 20, 24]
    for line in lines[1:]:
        shares = [line["rows"][domain] / 6 for domain in line["train"]]
        mean = sum(w * x for w, x in zip(shares, line["train"].values(), strict=True))
        assert line["loss"] == pytest.approx(mean)
    assert lines[3]["lr"] == pytest.approx(0.01)
    assert lines[24]["lr"] == pytest.approx(0.001)


def test_same_seed_same_bytes_and_another_seed_other_bytes(tiny_run, tmp_path):
    train(tiny_run, tmp_path / "a")
    train(tiny_run, tmp_path / "b")
    train(replace(tiny_run, seed=4), tmp_path / "c")
    assert outcome(tmp_path / "a") == outcome(tmp_path / "b")
    model = "final/model.safetensors"
    assert outcome(tmp_path / "a")[model] != outcome(tmp_path / "c")[model]


# 1..6 and 13..18 are probe steps of Aioli, checkpoints are made every 5 steps and at each stop.
ATTEMPTS = [[1], [4, 0, 3], [5], [14, 1, 1, 1], [23], [2] * 11, [24]]


@pytest.mark.parametrize("attempts", ATTEMPTS, ids=str)
def test_interrupted_aioli_run_ends_bit_for_bit_the_same(aioli_run, tmp_path, attempts):
    train(aioli_run, tmp_path / "straight")
    if attempts == [24]:  # stopped when all is done: nothing is left to stop
        train(aioli_run, tmp_path / "cut", should_stop=stop_after(24))
    else:
        resume_until_done(aioli_run, tmp_path / "cut", attempts)
    assert outcome(tmp_path / "cut") == outcome(tmp_path / "straight")
    decided = [line["mixer"]["decisions"] for line in metrics(tmp_path / "cut") if "mixer" in line]
    assert decided[-1] == 2


def test_killed_between_checkpoints_ends_bit_for_bit_the_same(aioli_run, tmp_path, monkeypatch):
    """A crash leaves half-written metrics and ledger files behind the last checkpoint."""
    train(aioli_run, tmp_path / "straight")

    class Killed(BaseException):
        pass

    def kill(report):
        if report.step == 9:
            raise Killed

    monkeypatch.setattr("training.ledger.STEPS_PER_PART", 4)
    train(aioli_run, tmp_path / "straight_4")
    with pytest.raises(Killed):
        train(aioli_run, tmp_path / "cut", on_progress=kill)
    with (tmp_path / "cut/metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 10, "lo')
    (tmp_path / "cut/ledger/part-00000009.parquet.tmp").write_bytes(b"PAR1")
    train(aioli_run, tmp_path / "cut")
    assert outcome(tmp_path / "cut") == outcome(tmp_path / "straight_4")
    assert len(list((tmp_path / "cut/ledger").iterdir())) == 12
    model = "final/model.safetensors"
    assert outcome(tmp_path / "cut")[model] == outcome(tmp_path / "straight")[model]


def test_killed_while_the_result_is_written(tiny_run, tmp_path, monkeypatch):
    train(tiny_run, tmp_path / "straight")
    config = replace(tiny_run, checkpoint=replace(tiny_run.checkpoint, every_steps=12))
    monkeypatch.setattr(loop, "write_result", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "cut")
    monkeypatch.undo()
    train(config, tmp_path / "cut")  # resumes after the last step
    assert outcome(tmp_path / "cut") == outcome(tmp_path / "straight")


def test_truncated_checkpoint_is_passed_over(tiny_run, tmp_path, caplog):
    train(tiny_run, tmp_path / "straight")
    train(tiny_run, tmp_path / "cut", should_stop=stop_after(12))
    tensors = tmp_path / "cut/checkpoints/step-00000012/tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-100])
    train(tiny_run, tmp_path / "cut")
    assert "step-00000012 is damaged" in caplog.text
    assert outcome(tmp_path / "cut") == outcome(tmp_path / "straight")


def test_without_checkpoints_a_stopped_run_starts_over(tiny_run, tmp_path):
    config = replace(tiny_run, checkpoint=replace(tiny_run.checkpoint, every_steps=None))
    train(config, tmp_path / "straight")
    resume_until_done(config, tmp_path / "cut", [7])
    assert outcome(tmp_path / "cut") == outcome(tmp_path / "straight")
    assert list((tmp_path / "cut/checkpoints").iterdir()) == []


def test_finished_run_is_not_trained_again(tiny_run, tmp_path, monkeypatch):
    first = train(tiny_run, tmp_path)
    monkeypatch.setattr(loop, "open_session", None)
    assert train(tiny_run, tmp_path) == first


def test_folder_of_another_configuration_is_refused(tiny_run, tmp_path):
    train(tiny_run, tmp_path / "stopped", should_stop=stop_after(3))
    other = replace(tiny_run, seed=4)
    with pytest.raises(RunRejected, match=r"step-00000003 was made by the configuration") as caught:
        train(other, tmp_path / "stopped")
    assert isinstance(caught.value.__cause__, CheckpointMismatch)
    train(tiny_run, tmp_path / "stopped")
    with pytest.raises(RunRejected, match=r"result\.json is of run 'tiny'"):
        train(other, tmp_path / "stopped")


def test_second_writer_is_refused(tiny_run, tmp_path):
    with (
        lock_folder(tmp_path / "checkpoints"),
        pytest.raises(RunLocked, match="another training process writes here"),
    ):
        train(tiny_run, tmp_path)
    assert train(tiny_run, tmp_path).finished


def test_divergence_names_step_rows_and_checkpoint(tiny_run, tmp_path, monkeypatch):
    step, steps = loop.train_step, iter(range(1, 100))

    def poisoned(engine, optimiser, rows, plan, **settings):
        if next(steps) == 11:
            with torch.no_grad():
                next(engine.model.parameters())[3, 0] = float("nan")
        return step(engine, optimiser, rows, plan, **settings)

    monkeypatch.setattr(loop, "train_step", poisoned)
    with pytest.raises(TrainingDiverged, match=r"step 11: loss nan.*blue rows \d+.*step-00000010"):
        train(tiny_run, tmp_path)


def test_exploded_gradient_names_norm_limit_and_rows(tiny_run, tmp_path):
    schedule = replace(tiny_run.schedule, max_grad_norm=1e-3)
    with pytest.raises(TrainingDiverged, match=r"step 1: .*max_grad_norm 0\.001.*blue rows \d+"):
        train(replace(tiny_run, schedule=schedule), tmp_path)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("InductorError: OutOfMemoryError: CUDA out of memory. Tried to allocate"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."),
    ],
    ids=["cuda", "compiler", "cublas", "python", "cpu"],
)
def test_out_of_memory_names_step_rows_checkpoint_and_remedy(
    tiny_run, tmp_path, monkeypatch, error
):
    step, steps = loop.train_step, iter(range(1, 100))

    def full(*arguments, **settings):
        if next(steps) == 11:
            raise error
        return step(*arguments, **settings)

    monkeypatch.setattr(loop, "train_step", full)
    with pytest.raises(OutOfMemory, match=r"step 11: out of memory on cpu with 6 rows") as caught:
        train(tiny_run, tmp_path)
    for part in ("blue rows ", "step-00000010", "execution.micro_rows"):
        assert part in str(caught.value)


def test_another_error_of_a_step_is_not_taken_for_lack_of_memory(tiny_run, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(loop, "train_step", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        train(tiny_run, tmp_path)


def test_saved_model_is_trained_further(tiny_run, tmp_path):
    first = train(tiny_run, tmp_path / "first")
    saved = SavedModelConfig(folder=str(tmp_path / "first/final"), context_tokens=16)
    schedule = replace(tiny_run.schedule, shape="wsd", decay_steps=8)
    second = train(replace(tiny_run, model=saved, schedule=schedule), tmp_path / "second")
    assert metrics(tmp_path / "second")[1]["loss"] < metrics(tmp_path / "first")[10]["loss"]
    assert second.num_parameters == first.num_parameters
    rates = [line["lr"] for line in metrics(tmp_path / "second")[1:]]
    assert rates[2:16] == [0.01] * 14
    assert rates[16] < 0.01


def test_bfloat16_is_a_setting_on_the_cpu_too(tiny_run, tmp_path):
    plain = train(tiny_run, tmp_path / "plain")
    short = train(replace(tiny_run, precision="bfloat16"), tmp_path / "short")
    for domain, measured in plain.heldout.items():
        assert short.heldout[domain].loss_nats == pytest.approx(measured.loss_nats, abs=0.1)
        assert short.heldout[domain].loss_nats != measured.loss_nats
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "short/final")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_accumulated_gradients_give_the_same_run_up_to_rounding(tiny_run, tmp_path):
    """Rows of a pass are no part of the configuration's digest: they may change on resume."""
    small = replace(tiny_run, execution=ExecutionConfig(micro_rows=2))
    assert small.digest() == tiny_run.digest()
    train(tiny_run, tmp_path / "whole")
    train(small, tmp_path / "parts")
    for one, two in zip(metrics(tmp_path / "whole"), metrics(tmp_path / "parts"), strict=True):
        assert two.get("rows") == one.get("rows")
        assert two.get("loss") == (one.get("loss") and pytest.approx(one["loss"], rel=1e-4))
    ledgers = [read_ledger(tmp_path / name / "ledger") for name in ("whole", "parts")]
    assert ledgers[0].equals(ledgers[1])


def test_used_up_domain_is_an_error_that_names_it(tiny_run, tmp_path):
    settings = {"weights": {"blue": 0.8, "green": 0.1, "red": 0.1}}
    config = replace(tiny_run, mixer=MixerConfig(method="fixed", settings=settings), max_epochs=0.5)
    with pytest.raises(BatchRefused, match=r"step 16: domains \['blue'\] would pass max_epochs"):
        train(config, tmp_path / "error")
    result = train(replace(config, epoch_policy="drop"), tmp_path / "drop")
    assert result.finished
    assert result.epochs["blue"] <= 0.5
    assert result.requested_weights["blue"] == pytest.approx(0.8)
    assert result.realised_shares["blue"] < 0.6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"domains": {"blue": "/nowhere"}}, "/nowhere"),
        ({"mixer": MixerConfig(method="uniforn")}, "uniforn"),
    ],
)
def test_wrong_configuration_is_rejected(tiny_run, tmp_path, change, message):
    with pytest.raises(RunRejected, match=message):
        train(replace(tiny_run, **change), tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_missing_cuda_is_rejected(tiny_run, tmp_path):
    with pytest.raises(RunRejected, match="finds no CUDA device"):
        train(replace(tiny_run, device="cuda"), tmp_path)


def test_settings_of_torch_are_given_back(tiny_run, tmp_path):
    before = torch.get_rng_state(), torch.get_num_threads()
    train(tiny_run, tmp_path)
    build_model(tiny_run.model, vocab_size=37, eos_id=0, seed=9)
    torch.testing.assert_close(torch.get_rng_state(), before[0], rtol=0, atol=0)
    assert torch.get_num_threads() == before[1]


def test_full_disk_leaves_the_last_checkpoint(tiny_run, tmp_path, monkeypatch):
    train(tiny_run, tmp_path / "straight")
    from training import checkpoint as module

    write_tensors = module.write_tensors

    def full(tensors, path):
        if "step-00000010" in str(path):
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device", str(path))
        return write_tensors(tensors, path)

    monkeypatch.setattr(module, "write_tensors", full)
    with pytest.raises(OSError, match="No space left"):
        train(tiny_run, tmp_path / "cut")
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "cut/checkpoints").iterdir()] == ["step-00000005"]
    train(tiny_run, tmp_path / "cut")
    assert outcome(tmp_path / "cut") == outcome(tmp_path / "straight")
