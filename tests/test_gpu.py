"""The benchmark for GPUs, as far as a machine without one can tell."""

import re
from dataclasses import replace

import pytest
import torch

from benchmarks import gpu
from benchmarks.comparison import Inputs


def test_operations_of_a_token_by_hand():
    # 12 blocks of 4 * 768^2 + 3 * 768 * 2048 parameters, and the output of 50,304 x 768.
    parameters = 12 * (2_359_296 + 4_718_592) + 38_633_472
    assert parameters == 123_568_128
    assert gpu.FULL.flops_per_token == 6 * parameters + 12 * 12 * 768 * 1024
    assert gpu.FULL.batch_rows * gpu.FULL.context_tokens >= 250_000
    # The passes of a step have one shape, and kernels that count in 32 bits.
    assert gpu.FULL.batch_rows % gpu.FULL.micro_rows == 0
    assert gpu.FULL.micro_rows * gpu.FULL.context_tokens * gpu.FULL.vocab_size < 2**31


@pytest.mark.parametrize(
    ("card", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA T4", None),
    ],
)
def test_peak_by_the_name_of_the_card(monkeypatch, card, peak):
    monkeypatch.setattr(gpu, "device_name", lambda: card)
    assert gpu._peak() == peak


def test_a_small_model_goes_all_the_way(capsys, monkeypatch):
    scale = replace(gpu.TINY, skipped_steps=1, timed_steps=16)
    monkeypatch.setattr(gpu, "TINY", scale)
    monkeypatch.setattr(
        "sys.argv", ["gpu", "--tiny", "--peak", "1e6", "--seconds", "0", "--commit", "abc"]
    )
    gpu.main()
    said = capsys.readouterr()
    assert said.out.splitlines()[0].endswith(f"commit abc, a CPU, torch {torch.__version__}")
    assert said.err.count("turn 1") == 2
    assert "turn 2" not in said.err  # no time was left
    for method in gpu.METHODS:
        found = re.search(
            rf"^{method}: ([\d,]+) tokens/s, model FLOP utilisation ([\d.]+)%", said.out, re.M
        )
        rate = float(found[1].replace(",", ""))
        assert float(found[2]) == pytest.approx(rate * scale.flops_per_token / 1e4, rel=0.01)


def test_what_is_missing_is_named(monkeypatch):
    assert gpu.what_is_missing(gpu.TINY) is None
    if not torch.cuda.is_available():
        assert "no CUDA device" in gpu.what_is_missing(gpu.FULL)
        assert "no CUDA device" in gpu.measure(Inputs(corpora=None, peer_python=None)).notes[0]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu, "find_spec", lambda module: None if module == "triton" else module)
    assert "triton" in gpu.what_is_missing(gpu.FULL)
    monkeypatch.setattr(gpu, "find_spec", lambda module: module)
    monkeypatch.setattr(gpu.shutil, "which", lambda name: None)
    assert "C compiler" in gpu.what_is_missing(gpu.FULL)
    monkeypatch.setattr(gpu, "find_spec", lambda module: None if module == "yaml" else module)
    assert gpu.what_is_missing(gpu.TINY) == "not installed: pyyaml; pip install pyyaml"
