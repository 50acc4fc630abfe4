"""Reads and writes tensors in the safetensors format, with the digest from the same pass.

    8 bytes, little-endian: N    N bytes of JSON: name -> dtype, shape, [begin, end)    the data

The safetensors library reads such a file too. It is not used here, since it would need a second
pass over the file for its digest and does not let other threads run while it works; a checkpoint
is written beside the training and read once.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

_BLOCK_BYTES = 2**24
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


def write_tensors(tensors: dict[str, Tensor], path: Path) -> str:
    """Write a file and return its sha256.

    Args:
        tensors: By name, on the CPU.
        path: The file; it is replaced.

    Raises:
        OSError: It cannot be written.
    """
    header: dict[str, object] = {}
    end = 0
    # Wide types first, so that every tensor stands at a multiple of its type's size.
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    for name in order:
        begin, end = end, end + tensors[name].nbytes
        header[name] = {
            "dtype": _NAMES[tensors[name].dtype],
            "shape": list(tensors[name].shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 16)
    digest = hashlib.sha256()
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
    """Read a file whole; return its tensors, which share one block of memory, and its sha256.

    Raises:
        ValueError: It is no such file.
        OSError: It cannot be read.
    """
    content = np.empty(path.stat().st_size, dtype=np.uint8)
    view = content.data
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        place = 0
        while count := file.readinto(view[place : place + _BLOCK_BYTES]):
            digest.update(view[place : place + count])
            place += count
    start = 8 + int.from_bytes(view[:8], "little")
    try:
        header = json.loads(bytes(view[8:start]))
        whole = torch.from_numpy(content)[start:]
        tensors = {
            name: whole[entry["data_offsets"][0] : entry["data_offsets"][1]]
            .view(_DTYPES[entry["dtype"]])
            .view(entry["shape"])
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from error
    return tensors, digest.hexdigest()


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().view(-1).view(torch.uint8)
