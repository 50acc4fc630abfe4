"""The format is checked against published constants and read back by an independent reader."""

import struct

import pytest

from training.event_files import EventFile, masked_crc
from training.step_report import StepReport


def read_varint(data, place):
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place


def fields(data):
    """Field number and value of each field of a message."""
    place = 0
    while place < len(data):
        key, place = read_varint(data, place)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, place = read_varint(data, place)
        elif kind == 2:
            size, place = read_varint(data, place)
            value, place = data[place : place + size], place + size
        else:
            size, code = (8, "<d") if kind == 1 else (4, "<f")
            value, place = struct.unpack(code, data[place : place + size])[0], place + size
        yield number, value


def read_events(path):
    data, place, events = path.read_bytes(), 0, []
    while place < len(data):
        length = data[place : place + 8]
        (size,) = struct.unpack("<Q", length)
        body = data[place + 12 : place + 12 + size]
        checks = struct.unpack("<I", data[place + 8 : place + 12])
        checks += struct.unpack("<I", data[place + 12 + size : place + 16 + size])
        assert checks == (masked_crc(length), masked_crc(body))
        events.append(dict(fields(body)))
        place += 16 + size
    return events


def scalars(event):
    values = [dict(fields(value)) for number, value in fields(event[5]) if number == 1]
    return {value[1].decode(): value[2] for value in values}


def test_checksum_of_the_published_vector():
    """CRC-32C of "123456789" is 0xe3069283 (RFC 3720, B.4 uses the same polynomial)."""
    crc = 0xE3069283
    rotated = ((crc >> 15) | (crc << 17)) & 0xFFFFFFFF
    assert masked_crc(b"123456789") == (rotated + 0xA282EAD8) & 0xFFFFFFFF


def test_scalars_come_back(tmp_path):
    file = EventFile(tmp_path / "tensorboard")
    assert not (tmp_path / "tensorboard").exists()  # a refused run leaves nothing
    file.add(300, {"loss": 2.5, "weights/code": 0.25})
    file.add(301, {"loss": 2.0})
    file.close()
    (path,) = (tmp_path / "tensorboard").iterdir()
    assert path.name.startswith("events.out.tfevents.")
    version, session, first, second = read_events(path)
    assert version[3] == b"brain.Event:2"
    assert (session[2], dict(fields(session[7]))) == (300, {1: 1})  # START: forget later steps
    assert (first[2], scalars(first)) == (300, {"loss": 2.5, "weights/code": 0.25})
    assert (second[2], scalars(second)) == (301, {"loss": 2.0})
    assert second[1] >= first[1] > 1.7e9


def test_a_report_becomes_scalars_by_domain(tmp_path):
    report = StepReport(
        step=7,
        steps=9,
        loss=3.0,
        weights={"code": 0.75, "web": 0.25},
        train={"code": 3.5},
        heldout=None,
        learning_rate=0.5,
        gradient_norm=2.0,
        tokens_per_second=64.0,
    )
    file = EventFile(tmp_path)
    file.add_report(report)
    file.close()
    told = scalars(read_events(next(tmp_path.iterdir()))[-1])
    assert told == {
        "loss/train": 3.0,
        "learning_rate": 0.5,
        "gradient_norm": 2.0,
        "tokens_per_second": 64.0,
        "loss_by_domain/code": 3.5,
        "weights/code": 0.75,
        "weights/web": 0.25,
    }


def test_two_attempts_are_two_files_in_order(tmp_path):
    for step in (1, 5):
        file = EventFile(tmp_path)
        file.add(step, {"loss": 1.0})
        file.close()
    first, second = sorted(tmp_path.iterdir())
    assert [read_events(path)[1][2] for path in (first, second)] == [1, 5]


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        EventFile(tmp_path / "file").add(1, {"loss": 1.0})
