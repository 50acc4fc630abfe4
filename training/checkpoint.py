"""Checkpoints of a training run: complete or absent, never half.

    <folder>/step-00000050/
        tensors.safetensors    parameters, optimiser moments, random state, pending ledger rows
        state.json             all the rest
        manifest.json          step, digest of the run's configuration, digests of the two files

It is written as step-00000050.tmp, flushed to the disk and renamed; older ones are removed only
afterwards. A damaged one is reported and the one before it is used. Nothing is pickled, so a moved
class cannot make an old checkpoint unreadable, and loading one executes nothing.
"""

import fcntl
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import xxhash
from torch import Tensor

from training.durable_files import TEMPORARY, flush_file, flush_folder, publish, temporary_path
from training.mixers.interface import Json
from training.run_result import CheckpointMismatch
from training.tensor_file import read_tensors, write_tensors

_LOG = logging.getLogger(__name__)
_FORMAT_VERSION = 3
_PREFIX = "step-"
_TENSORS = "tensors.safetensors"
_STATE = "state.json"
_MANIFEST = "manifest.json"


class RunLocked(RuntimeError):
    """Another process is writing to the folder."""


class _Damaged(ValueError):
    """A checkpoint that cannot be used."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """The state of a run between two steps."""

    step: int
    """Steps finished."""
    config_digest: str
    """Of the configuration that made it."""
    tensors: dict[str, Tensor]
    """By name; no two share memory."""
    state: dict[str, Json]
    """Plain values."""


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold a folder for one writer; it is created if need be. The end of the process frees it.

    Raises:
        RunLocked: Another process, or another call in this one, holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunLocked(
                f"{folder}: another training process writes here; wait until it ends or stop it"
            ) from error
        yield
    finally:
        os.close(descriptor)


def checkpoint_steps(folder: Path) -> list[int]:
    """Return the steps of the checkpoints in a folder, damaged ones included, ascending."""
    ends = [path.name[len(_PREFIX) :] for path in folder.glob(_PREFIX + "*") if path.is_dir()]
    return sorted(int(end) for end in ends if end.isdecimal())


def checkpoint_path(folder: Path, step: int) -> Path:
    """Return the folder of one checkpoint."""
    return folder / f"{_PREFIX}{step:08d}"


def save_checkpoint(checkpoint: Checkpoint, folder: Path, *, keep_last: int) -> Path:
    """Write a checkpoint and remove all but the newest.

    Args:
        checkpoint: What to save.
        folder: Held through lock_folder().
        keep_last: Checkpoints left in the folder, this one included, >= 1. One of a later step can
            only be damaged, else the run would have continued from it; it is removed too.

    Raises:
        OSError: It cannot be written, for instance on a full disk; older ones are untouched.
    """
    path = checkpoint_path(folder, checkpoint.step)
    temporary = temporary_path(path)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        _write_files(checkpoint, temporary)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    if path.exists():
        shutil.rmtree(path)
    publish(path)
    earlier = [step for step in checkpoint_steps(folder) if step <= checkpoint.step]
    for step in set(checkpoint_steps(folder)) - set(earlier[-keep_last:]):
        shutil.rmtree(checkpoint_path(folder, step))
    return path


def _write_files(checkpoint: Checkpoint, folder: Path) -> None:
    digests = {_TENSORS: write_tensors(checkpoint.tensors, folder / _TENSORS)}
    (folder / _STATE).write_text(json.dumps(checkpoint.state, sort_keys=True, indent=1))
    digests[_STATE] = _digest(folder / _STATE)
    manifest = {
        "format_version": _FORMAT_VERSION,
        "step": checkpoint.step,
        "config_digest": checkpoint.config_digest,
        "xxh3_128": digests,
    }
    (folder / _MANIFEST).write_text(json.dumps(manifest, sort_keys=True, indent=1))
    for name in (_TENSORS, _STATE, _MANIFEST):
        flush_file(folder / name)
    flush_folder(folder)


def load_latest_checkpoint(folder: Path, *, config_digest: str) -> Checkpoint | None:
    """Load the newest usable checkpoint; None if there is none.

    Damaged ones are passed over with a warning, and so is it told when all are damaged. Left-overs
    of an interrupted write are removed.

    Args:
        folder: Held through lock_folder().
        config_digest: Of the configuration that is about to continue.

    Raises:
        CheckpointMismatch: The newest usable one was made by another configuration.
    """
    for left in folder.glob(_PREFIX + "*" + TEMPORARY):
        shutil.rmtree(left)
    checkpoint = read_latest_checkpoint(folder)
    if checkpoint is not None and checkpoint.config_digest != config_digest:
        raise CheckpointMismatch(
            f"{checkpoint_path(folder, checkpoint.step)} was made by the configuration "
            f"{checkpoint.config_digest}, this run has {config_digest}; train into another folder "
            f"or remove {folder}"
        )
    return checkpoint


def read_latest_checkpoint(folder: Path) -> Checkpoint | None:
    """Read the newest usable checkpoint of any configuration; None if there is none.

    Nothing is changed, so another process may train in the folder. Damaged ones are passed over
    with a warning.
    """
    steps = checkpoint_steps(folder)
    for step in reversed(steps):
        path = checkpoint_path(folder, step)
        try:
            return _load(path)
        except _Damaged as error:
            remedy = "it begins again" if step == steps[0] else "the one before it is used"
            _LOG.warning("%s is damaged (%s); %s", path, error, remedy)
    return None


def _load(path: Path) -> Checkpoint:
    try:
        manifest = json.loads((path / _MANIFEST).read_text())
        if manifest["format_version"] != _FORMAT_VERSION:
            raise _Damaged(f"format version {manifest['format_version']}, not {_FORMAT_VERSION}")
        tensors, found = read_tensors(path / _TENSORS)
        for name, digest in ((_TENSORS, found), (_STATE, _digest(path / _STATE))):
            if digest != manifest["xxh3_128"][name]:
                raise _Damaged(f"{name} does not have the digest that the manifest records")
        return Checkpoint(
            step=manifest["step"],
            config_digest=manifest["config_digest"],
            tensors=tensors,
            state=json.loads((path / _STATE).read_text()),
        )
    except FileNotFoundError as error:
        raise _Damaged(f"{error.filename} is missing") from error
    except _Damaged:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise _Damaged(f"a file is not what a checkpoint holds: {error}") from error


def _digest(path: Path) -> str:
    return xxhash.xxh3_128(path.read_bytes()).hexdigest()
