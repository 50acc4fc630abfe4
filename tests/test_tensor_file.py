import pytest
import torch
import xxhash
from safetensors.torch import load_file, save_file

from training.tensor_file import read_tensors, write_tensors

TENSORS = {
    "flags": torch.tensor([True, False, True]),
    "bytes": torch.arange(5, dtype=torch.uint8),
    "half": torch.tensor([[1.5, -2.0]], dtype=torch.bfloat16),
    "matrix": torch.arange(12.0).view(3, 4).T,
    "step": torch.tensor(7.0),
    "empty": torch.empty((0, 5), dtype=torch.int64),
    "wide": torch.tensor([2**40, -1]),
}


def assert_same(found):
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert found[name].dtype == tensor.dtype
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0)


def test_comes_back_with_the_digest_of_the_file(tmp_path):
    written = write_tensors(TENSORS, tmp_path / "a")
    found, read = read_tensors(tmp_path / "a")
    assert_same(found)
    whole = xxhash.xxh3_128((tmp_path / "a").read_bytes()).digest()  # shorter than a block
    assert written == read == xxhash.xxh3_128(whole).hexdigest()


def test_the_library_reads_what_is_written_and_is_read(tmp_path):
    write_tensors(TENSORS, tmp_path / "a")
    assert_same(load_file(tmp_path / "a"))
    save_file({name: tensor.contiguous() for name, tensor in TENSORS.items()}, tmp_path / "b")
    assert_same(read_tensors(tmp_path / "b")[0])


def test_tensors_longer_than_a_block(tmp_path, monkeypatch):
    monkeypatch.setattr("training.tensor_file._BLOCK_BYTES", 7)
    written = write_tensors(TENSORS, tmp_path / "a")
    found, read = read_tensors(tmp_path / "a")
    assert_same(found)
    content = (tmp_path / "a").read_bytes()
    blocks = [content[start : start + 7] for start in range(0, len(content), 7)]
    digests = b"".join(xxhash.xxh3_128(block).digest() for block in blocks)
    assert written == read == xxhash.xxh3_128(digests).hexdigest()


def test_tensors_are_as_those_that_torch_makes(tmp_path):
    """Aligned for the kernels, and each with its own storage, as what saves a model wants it."""
    write_tensors(TENSORS, tmp_path / "a")
    found, _ = read_tensors(tmp_path / "a")
    full = [tensor for tensor in found.values() if tensor.numel()]
    assert all(tensor.data_ptr() % 64 == 0 for tensor in full)
    assert all(tensor.untyped_storage().nbytes() == tensor.nbytes for tensor in full)
    save_file(found, tmp_path / "b")
    for tensor in full:
        tensor.zero_()
    assert_same(read_tensors(tmp_path / "b")[0])


def test_offsets_beyond_the_file_are_refused(tmp_path):
    header = b'{"a": {"dtype": "U8", "shape": [9], "data_offsets": [0, 9]}}'
    (tmp_path / "a").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(ValueError, match="bytes 0 to 9 of 8"):
        read_tensors(tmp_path / "a")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"\x08" + bytes(7) + b"nothing "])
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ValueError, match="no safetensors file"):
        read_tensors(tmp_path / "a")


def test_a_truncated_file_is_refused(tmp_path):
    write_tensors(TENSORS, tmp_path / "a")
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:-30])
    with pytest.raises(ValueError, match="no safetensors file"):
        read_tensors(tmp_path / "a")
