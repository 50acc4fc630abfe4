"""Reads and writes tensors in the safetensors format, with the digest from the same pass.

    8 bytes, little-endian: N    N bytes of JSON: name -> dtype, shape, [begin, end)    the data
    digest = xxh3(xxh3(block 0) xxh3(block 1) ...)                blocks of 8 MiB of the whole file

The digest, the 128 bits of XXH3, finds damage and nothing else: whoever can change the file can
change its digest too. SHA-256 would take three times as long as reading. It is one of digests, so
that all cores read and verify a file together.

The safetensors library reads such a file too. It is not used here, since it would need a second
pass over the file for its digest and does not let other threads run while it works; a checkpoint
is written beside the training and read once.
"""

import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray
from torch import Tensor

_BLOCK_BYTES = 2**23
_ALIGNMENT = 64
"""Bytes; how torch places tensors. Elsewhere a kernel may round another way in the last bit."""
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


class _Digest:
    """The digest of bytes that come in pieces of any size."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._open = xxhash.xxh3_128()
        self._left = _BLOCK_BYTES

    def update(self, data: memoryview | bytes) -> None:
        while data:
            piece = data[: self._left]
            self._open.update(piece)
            self._left -= len(piece)
            data = data[len(piece) :]
            if not self._left:
                self._close()

    def hexdigest(self) -> str:
        if self._left < _BLOCK_BYTES:
            self._close()
        return _digest_of(self._blocks)

    def _close(self) -> None:
        self._blocks.append(self._open.digest())
        self._open, self._left = xxhash.xxh3_128(), _BLOCK_BYTES


def _digest_of(blocks: Iterable[bytes]) -> str:
    return xxhash.xxh3_128(b"".join(blocks)).hexdigest()


def write_tensors(tensors: dict[str, Tensor], path: Path) -> str:
    """Write a file and return its digest.

    Args:
        tensors: By name, on the CPU.
        path: The file; it is replaced.

    Raises:
        OSError: It cannot be written.
    """
    header: dict[str, object] = {}
    end = 0
    # First those that leave the next one aligned, nearly all bytes; then wide types, so that every
    # tensor stands at a multiple of its type's size.
    order = sorted(
        tensors,
        key=lambda name: (
            tensors[name].nbytes % _ALIGNMENT > 0,
            -tensors[name].element_size(),
            name,
        ),
    )
    for name in order:
        begin, end = end, end + tensors[name].nbytes
        header[name] = {
            "dtype": _NAMES[tensors[name].dtype],
            "shape": list(tensors[name].shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    digest = _Digest()
    with path.open("wb", buffering=0) as file:
        for content in (len(text).to_bytes(8, "little"), text):
            file.write(content)
            digest.update(content)
        for name in order:
            data = _bytes(tensors[name]).numpy().data
            for start in range(0, len(data), _BLOCK_BYTES):
                block = data[start : start + _BLOCK_BYTES]
                digest.update(block)
                while block:  # a full disk takes a part, then fails
                    block = block[file.write(block) :]
    return digest.hexdigest()


def read_tensors(path: Path) -> tuple[dict[str, Tensor], str]:
    """Read a file whole; return its tensors and its digest.

    Each tensor can be used and changed like one that torch has made: no two overlap, and all are
    aligned. Nearly all lie in one block of memory, which is free when the last of them is.

    Raises:
        ValueError: It is no such file.
        OSError: It cannot be read.
    """
    content = torch.empty(path.stat().st_size, dtype=torch.uint8).numpy()
    digest = _read_blocks(path, content)
    start = 8 + int.from_bytes(content[:8].tobytes(), "little")
    try:
        header = json.loads(content[8:start].tobytes())
        tensors = {
            name: _tensor(content[start:], entry)
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from error
    return tensors, digest


def _read_blocks(path: Path, content: NDArray[np.uint8]) -> str:
    """Fill memory with a file, on all cores, and return the digest."""
    view = content.data

    def read(start: int) -> bytes:
        block = view[start : start + _BLOCK_BYTES]
        place = start
        while place < start + len(block):
            count = os.preadv(file.fileno(), [view[place : start + len(block)]], place)
            if not count:
                raise OSError(f"{path} became shorter while it was read")
            place += count
        return xxhash.xxh3_128(block).digest()

    with path.open("rb", buffering=0) as file, ThreadPoolExecutor(os.cpu_count()) as threads:
        return _digest_of(threads.map(read, range(0, len(content), _BLOCK_BYTES)))


def _tensor(data: NDArray[np.uint8], entry: dict[str, Any]) -> Tensor:
    begin, end = entry["data_offsets"]
    if not 0 <= begin <= end <= len(data):
        raise ValueError(f"bytes {begin} to {end} of {len(data)}")
    # A storage of its own for each: what saves a model takes one storage for one tensor.
    raw = torch.from_numpy(data[begin:end])
    aligned = raw if raw.data_ptr() % _ALIGNMENT == 0 else raw.clone()
    return aligned.view(_DTYPES[entry["dtype"]]).view(entry["shape"])


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().view(-1).view(torch.uint8)
