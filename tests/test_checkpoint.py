import json

import pytest
import torch

from training.checkpoint import (
    Checkpoint,
    CheckpointMismatch,
    RunLocked,
    checkpoint_path,
    checkpoint_steps,
    load_latest_checkpoint,
    lock_folder,
    read_latest_checkpoint,
    save_checkpoint,
)
from training.checkpoint_tensors import collect_tensors, restore_tensors


def checkpoint(step, digest="aa"):
    return Checkpoint(
        step=step,
        config_digest=digest,
        tensors={"model.w": torch.full((3,), float(step)), "rng": torch.arange(5).byte()},
        state={"step": step, "x": 0.1 + 0.2},
    )


def steps(folder):
    return sorted(path.name for path in folder.iterdir())


def test_comes_back_as_it_was(tmp_path):
    save_checkpoint(checkpoint(7), tmp_path, keep_last=2)
    loaded = load_latest_checkpoint(tmp_path, config_digest="aa")
    assert loaded.step == 7
    assert loaded.state == {"step": 7, "x": 0.1 + 0.2}
    assert loaded.tensors["model.w"].tolist() == [7.0] * 3
    assert loaded.tensors["rng"].dtype == torch.uint8


def test_newest_are_kept(tmp_path):
    for step in (5, 10, 15):
        save_checkpoint(checkpoint(step), tmp_path, keep_last=2)
    assert steps(tmp_path) == ["step-00000010", "step-00000015"]
    assert load_latest_checkpoint(tmp_path, config_digest="aa").step == 15


def test_empty_folder_has_none(tmp_path):
    assert load_latest_checkpoint(tmp_path, config_digest="aa") is None


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [truncate, flip, lambda path: path.unlink()])
@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "manifest.json"])
def test_damaged_one_is_passed_over_with_a_warning(tmp_path, caplog, name, harm):
    for step in (5, 10):
        save_checkpoint(checkpoint(step), tmp_path, keep_last=2)
    harm(tmp_path / "step-00000010" / name)
    assert load_latest_checkpoint(tmp_path, config_digest="aa").step == 5
    assert "step-00000010 is damaged" in caplog.text


def test_it_is_told_that_all_are_damaged(tmp_path, caplog):
    for step in (5, 10):
        save_checkpoint(checkpoint(step), tmp_path, keep_last=2)
        truncate(checkpoint_path(tmp_path, step) / "state.json")
    assert load_latest_checkpoint(tmp_path, config_digest="aa") is None
    told = [record.getMessage() for record in caplog.records]
    assert [line.rsplit("; ")[1] for line in told] == [
        "the one before it is used",
        "it begins again",
    ]


def test_foreign_folders_are_no_checkpoints(tmp_path):
    save_checkpoint(checkpoint(5), tmp_path, keep_last=2)
    (tmp_path / "step-5-kept").mkdir()
    assert checkpoint_steps(tmp_path) == [5]


def test_reading_changes_nothing(tmp_path):
    save_checkpoint(checkpoint(5, digest="bb"), tmp_path, keep_last=2)
    (tmp_path / "step-00000010.tmp").mkdir()  # another process is writing it
    assert read_latest_checkpoint(tmp_path).step == 5
    assert steps(tmp_path) == ["step-00000005", "step-00000010.tmp"]


def test_damaged_one_does_not_displace_a_good_one(tmp_path):
    for step in (5, 10):
        save_checkpoint(checkpoint(step), tmp_path, keep_last=2)
    truncate(tmp_path / "step-00000010/state.json")
    save_checkpoint(checkpoint(6), tmp_path, keep_last=1)
    assert steps(tmp_path) == ["step-00000006"]


def test_damaged_one_of_the_same_step_is_replaced(tmp_path):
    save_checkpoint(checkpoint(5), tmp_path, keep_last=2)
    truncate(tmp_path / "step-00000005/state.json")
    save_checkpoint(checkpoint(5), tmp_path, keep_last=2)
    assert load_latest_checkpoint(tmp_path, config_digest="aa").step == 5


def test_half_written_one_is_removed(tmp_path):
    save_checkpoint(checkpoint(5), tmp_path, keep_last=2)
    (tmp_path / "step-00000010.tmp").mkdir()
    (tmp_path / "step-00000010.tmp/state.json").write_text("{")
    assert load_latest_checkpoint(tmp_path, config_digest="aa").step == 5
    assert steps(tmp_path) == ["step-00000005"]


@pytest.mark.parametrize("version", [2, 4])
def test_another_format_version_is_not_used(tmp_path, caplog, version):
    save_checkpoint(checkpoint(5), tmp_path, keep_last=2)
    path = tmp_path / "step-00000005/manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": version}))
    assert load_latest_checkpoint(tmp_path, config_digest="aa") is None
    assert f"format version {version}, not 3" in caplog.text


def test_other_configuration_is_refused(tmp_path):
    save_checkpoint(checkpoint(5, digest="bb"), tmp_path, keep_last=2)
    with pytest.raises(CheckpointMismatch, match="configuration bb, this run has aa"):
        load_latest_checkpoint(tmp_path, config_digest="aa")


def test_lock_is_for_one_and_freed_at_the_end(tmp_path):
    folder = tmp_path / "new"
    with lock_folder(folder), pytest.raises(RunLocked, match="another training process"):  # noqa: SIM117
        with lock_folder(folder):
            pass
    with lock_folder(folder):
        pass


def trained(num_steps, dropout_seed=0):
    torch.manual_seed(dropout_seed)
    model = torch.nn.Sequential(
        torch.nn.Linear(4, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 1), torch.nn.Tanh()
    )
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    train_on(model, optimiser, num_steps)
    return model, optimiser


def train_on(model, optimiser, num_steps):
    for _ in range(num_steps):
        optimiser.zero_grad()
        model(torch.ones(2, 4)).sum().backward()
        optimiser.step()


def test_model_optimiser_and_random_state_continue_bit_for_bit():
    with torch.random.fork_rng():
        straight, _ = trained(7)
        model, optimiser = trained(4)
        tensors = collect_tensors(model, optimiser)
        train_on(model, optimiser, 5)  # the collected values must not move along
        fresh, fresh_optimiser = trained(2, dropout_seed=99)
        restore_tensors(tensors, fresh, fresh_optimiser)
        train_on(fresh, fresh_optimiser, 3)
    for one, two in zip(straight.parameters(), fresh.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)


@pytest.mark.parametrize("start", [0, 1, 8])
def test_a_random_state_is_restored_from_any_address(start):
    with torch.random.fork_rng():
        model, optimiser = trained(1)
        tensors = collect_tensors(model, optimiser)
        expected = torch.rand(3)
        state = tensors["rng.cpu"]
        room = torch.empty(len(state) + start, dtype=torch.uint8)
        room[start:] = state
        restore_tensors(tensors | {"rng.cpu": room[start:]}, model, optimiser)
        assert torch.equal(torch.rand(3), expected)


def test_missing_parameter_is_an_error():
    with torch.random.fork_rng():
        model, optimiser = trained(1)
    tensors = collect_tensors(model, optimiser)
    del tensors["model.0.weight"]
    with pytest.raises(KeyError, match=r"model\.0\.weight"):
        restore_tensors(tensors, model, optimiser)


def test_another_shape_is_an_error():
    with torch.random.fork_rng():
        model, optimiser = trained(1)
    tensors = collect_tensors(model, optimiser)
    tensors["model.0.bias"] = torch.zeros(99)
    with pytest.raises(ValueError, match=r"0\.bias is \(99,\) .* in the checkpoint"):
        restore_tensors(tensors, model, optimiser)


def test_nothing_is_copied_on_the_cpu():
    with torch.random.fork_rng():
        model, optimiser = trained(1)
        tensors = collect_tensors(model, optimiser)
        restore_tensors(tensors, model, optimiser)
    weight = model[0].weight
    moment = optimiser.state[weight]["exp_avg"]
    assert weight.data_ptr() == tensors["model.0.weight"].data_ptr()
    assert moment.data_ptr() == tensors["optimiser.0.weight.exp_avg"].data_ptr()
