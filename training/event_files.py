"""TensorBoard event files, written without TensorBoard: scalars only.

A file is a sequence of records (TFRecord), each a serialised `Event` message of Protocol Buffers:

    record     length (uint64), mask(crc(length)), data, mask(crc(data))       little-endian
    mask(c)    ((c >> 15) | (c << 17)) + 0xa282ead8  mod 2^32;  crc: CRC-32C (Castagnoli)
    Event      1 wall_time (double), 2 step (int64), 3 file_version (string), 5 summary, 7 session
    summary    repeated 1: value { 1 tag (string), 2 simple_value (float) }
    session    1 status; START says: forget what older files hold from this step on

So a run that was stopped and resumed shows one line and no double steps. Six fields of three
messages do not justify a dependency of thirty packages.

Source: event.proto, summary.proto of TensorBoard 2, record_writer of TensorFlow 2.
"""

import os
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from training.step_report import StepReport

_POLYNOMIAL = 0x82F63B78  # Castagnoli, reflected
_MASK = 0xA282EAD8
_FILE_VERSION = b"brain.Event:2"
_DOUBLE, _BYTES, _FLOAT = 1, 2, 5  # wire types; a varint is 0
_START = 1


class EventFile:
    """One attempt of a run: a new file in the folder, opened with the first scalars."""

    def __init__(self, folder: Path) -> None:
        """Remember the folder; nothing is written yet."""
        self._folder = folder
        self._file: BinaryIO | None = None

    def add_report(self, report: StepReport) -> None:
        """Add what a run tells after a step.

        Raises:
            OSError: The file cannot be written.
        """
        scalars = {
            "loss/train": report.loss,
            "learning_rate": report.learning_rate,
            "gradient_norm": report.gradient_norm,
            "tokens_per_second": report.tokens_per_second,
        }
        groups = {
            "loss_by_domain": report.train,
            "heldout": report.heldout or {},
            "weights": report.weights,
        }
        for group, values in groups.items():
            scalars |= {f"{group}/{domain}": value for domain, value in values.items()}
        self.add(report.step, scalars)

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Add scalars by tag.

        Raises:
            OSError: The file cannot be written.
        """
        if self._file is None:
            self._file = self._open(step)
        values = b"".join(
            _bytes(1, _bytes(1, tag.encode()) + _key(2, _FLOAT) + struct.pack("<f", value))
            for tag, value in scalars.items()
        )
        self._file.write(_record(_event(step) + _bytes(5, values)))

    def close(self) -> None:
        """Close the file, if one was opened."""
        if self._file is not None:
            self._file.close()

    def _open(self, step: int) -> BinaryIO:
        self._folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads the files of a folder in the order of their names.
        name = f"events.out.tfevents.{time.time_ns():020d}.{socket.gethostname()}.{os.getpid()}"
        file = (self._folder / name).open("xb", buffering=0)
        file.write(_record(_event(0) + _bytes(3, _FILE_VERSION)))
        file.write(_record(_event(step) + _bytes(7, _key(1, 0) + _varint(_START))))
        return file


def masked_crc(data: bytes) -> int:
    """Return the masked CRC-32C of a record's part, a uint32."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + _MASK) & 0xFFFFFFFF


def _remainder(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_TABLE = tuple(_remainder(byte) for byte in range(256))


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return (
        length + struct.pack("<I", masked_crc(length)) + data + struct.pack("<I", masked_crc(data))
    )


def _event(step: int) -> bytes:
    return _key(1, _DOUBLE) + struct.pack("<d", time.time()) + _key(2, 0) + _varint(step)


def _bytes(field: int, content: bytes) -> bytes:
    return _key(field, _BYTES) + _varint(len(content)) + content


def _key(field: int, wire_type: int) -> bytes:
    return bytes([field << 3 | wire_type])


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
