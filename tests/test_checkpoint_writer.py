import threading

import pytest
import torch

from training import checkpoint as module
from training.checkpoint import Checkpoint, load_latest_checkpoint
from training.checkpoint_writer import CheckpointWriter


def checkpoint(step):
    return Checkpoint(
        step=step, config_digest="aa", tensors={"w": torch.full((3,), float(step))}, state={}
    )


@pytest.fixture
def gate(monkeypatch):
    """Writing waits until the gate is opened."""
    opened = threading.Event()
    write_tensors = module.write_tensors

    def slow(tensors, path):
        opened.wait()
        return write_tensors(tensors, path)

    monkeypatch.setattr(module, "write_tensors", slow)
    yield opened
    opened.set()


def test_the_caller_goes_on_while_it_is_written(tmp_path, gate):
    with CheckpointWriter(tmp_path, keep_last=2) as writer:
        writer.write(checkpoint(5))
        assert load_latest_checkpoint(tmp_path / "other", config_digest="aa") is None
        assert not (tmp_path / "step-00000005").exists()
        gate.set()
        writer.wait()
        assert (tmp_path / "step-00000005").exists()
        writer.write(checkpoint(10))
    assert load_latest_checkpoint(tmp_path, config_digest="aa").step == 10


def test_an_error_reaches_whoever_waits_and_only_once(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with CheckpointWriter(tmp_path, keep_last=2) as writer:
        monkeypatch.setattr(module, "write_tensors", full)
        writer.write(checkpoint(5))
        with pytest.raises(OSError, match="No space left"):
            writer.write(checkpoint(10))
        monkeypatch.undo()
        writer.write(checkpoint(15))
    assert load_latest_checkpoint(tmp_path, config_digest="aa").step == 15


def test_an_error_of_the_last_one_is_not_lost_nor_hides_another(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_tensors", full)

    def write(error=None):
        with CheckpointWriter(tmp_path, keep_last=1) as writer:
            writer.write(checkpoint(5))
            if error is not None:
                raise error

    with pytest.raises(OSError, match="No space left"):
        write()
    with pytest.raises(KeyError):
        write(KeyError())
