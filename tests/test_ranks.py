"""Several processes train one model: what they divide and exchange, and real runs of two."""

import json
import multiprocessing
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

from training.config import ExecutionConfig
from training.ledger import read_ledger
from training.loop import RunRejected, train
from training.ranks import ALONE, Ranks
from training.sampler import Sampler

WORLD_SIZES = (1, 2, 3, 4, 6, 8)


def stream(world_sizes, steps=30, batch_rows=13):
    """Batches put together from the shares of the ranks; the world size changes between steps."""
    sampler = Sampler(("a", "b", "c"), np.array([40, 7, 90]), seed=3, batch_rows=batch_rows)
    state, batches = sampler.initial(), []
    for step in range(steps):
        size = world_sizes[step % len(world_sizes)]
        weights = np.random.default_rng(step).dirichlet(np.ones(3))
        plans = [sampler.plan(state, weights) for _ in range(size)]  # each rank plans by itself
        shares = [Ranks(rank=rank, size=size).share(batch_rows) for rank in range(size)]
        batches.append(
            [
                np.concatenate(
                    [
                        getattr(plan, part)[share]
                        for (plan, _), share in zip(plans, shares, strict=True)
                    ]
                )
                for part in ("domain_index", "rows", "epochs")
            ]
        )
        state = plans[-1][1]
    return np.array(batches)


@pytest.mark.parametrize("world_sizes", [*([size] for size in WORLD_SIZES), list(WORLD_SIZES)])
def test_the_global_batch_is_the_same_for_any_and_changing_number_of_ranks(world_sizes):
    np.testing.assert_array_equal(stream(world_sizes), stream([1]))


@pytest.mark.parametrize("size", WORLD_SIZES)
def test_shares_are_even_and_cover_the_batch(size):
    shares = [Ranks(rank=rank, size=size).share(13) for rank in range(size)]
    assert [share.start for share in shares[1:]] == [share.stop for share in shares[:-1]]
    lengths = [share.stop - share.start for share in shares]
    assert sum(lengths) == 13
    assert max(lengths) - min(lengths) <= 1


def test_alone_nothing_is_exchanged():
    values = np.array([1.0, 2.0])
    assert ALONE.leads
    assert ALONE.total(values) is values
    assert ALONE.from_leader(values) is values
    assert ALONE.any(True)
    assert not ALONE.any(False)


@pytest.mark.parametrize(("parallel", "size"), [("ddp", 7), ("fsdp", 4)])
def test_a_batch_that_cannot_be_divided_is_refused(tiny_run, tmp_path, parallel, size):
    config = replace(tiny_run, execution=ExecutionConfig(parallel=parallel))
    with pytest.raises(RunRejected, match=rf"batch_rows 6 cannot be divided among {size}"):
        train(config, tmp_path, ranks=Ranks(size=size))


def _work(config, out, kill_at=None):
    """What a rank does; in the first attempt rank 1 dies in the middle of a step if so told."""
    from training import loop, run

    doomed = os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
    if kill_at is not None and doomed:
        step, steps = loop.train_step, iter(range(1, 1000))

        def deadly(*arguments, **settings):
            if next(steps) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return step(*arguments, **settings)

        loop.train_step = deadly
    assert run.main([str(config), "--out", str(out), "--plain"]) == 0


@pytest.fixture
def launch(tmp_path, write_run):
    """Start ranks as torchrun does, by its agent, but from a process that has torch imported."""
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    multiprocessing.set_forkserver_preload(["training.loop", "training.ranks"])

    def start(run, name, *, kill_at=None):
        settings = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=2,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            run_id=name,
            max_restarts=0 if kill_at is None else 1,
            monitor_interval=0.1,
            start_method="forkserver",
        )
        path = write_run(run, tmp_path / f"{name}.json")
        elastic_launch(settings, _work)(path, tmp_path / name, kill_at)

    return start


def losses(out):
    return [
        json.loads(line)["loss"]
        for line in (out / "metrics.jsonl").read_text().splitlines()
        if '"loss"' in line
    ]


def heldout(out):
    result = json.loads((out / "result.json").read_text())
    return [entry["loss_nats"] for entry in result["heldout"].values()]


@pytest.fixture(scope="module")
def alone(aioli_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("alone")
    train(aioli_run, out)
    return out


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_agree_with_one(aioli_run, alone, tmp_path, launch, parallel):
    """Aioli's weights rest on reduced statistics: the batches agree only if these do."""
    launch(replace(aioli_run, execution=ExecutionConfig(parallel=parallel, micro_rows=2)), "out")
    assert losses(tmp_path / "out") == pytest.approx(losses(alone), rel=1e-5)
    assert heldout(tmp_path / "out") == pytest.approx(heldout(alone), rel=1e-5)
    ledgers = [read_ledger(out / "ledger") for out in (tmp_path / "out", alone)]
    assert ledgers[0].equals(ledgers[1])
    models = [load_file(out / "final/model.safetensors") for out in (tmp_path / "out", alone)]
    assert models[0].keys() == models[1].keys()
    for name, values in models[0].items():
        np.testing.assert_allclose(values, models[1][name], atol=1e-4)


def test_a_checkpoint_of_two_processes_continues_on_one_and_back(
    aioli_run, alone, tmp_path, launch
):
    out = tmp_path / "out"
    asked = iter(range(100))
    assert train(aioli_run, out, should_stop=lambda: next(asked) >= 8).steps == 8
    launch(replace(aioli_run, execution=ExecutionConfig(parallel="fsdp")), "out")
    assert losses(out) == pytest.approx(losses(alone), rel=1e-5)
    for folder in (out / "result.json", out / "checkpoints/step-00000024"):
        assert folder.exists() == (folder.suffix == ".json")
    (out / "result.json").unlink()
    assert train(aioli_run, out).finished  # from step 20, written by two
    assert losses(out) == pytest.approx(losses(alone), rel=1e-5)


def test_a_killed_rank_is_restarted_to_the_same_bits(aioli_run, tmp_path, launch):
    """The survivor is stopped in the middle of an exchange, and the new pair meets again."""
    launch(aioli_run, "straight")
    launch(aioli_run, "cut", kill_at=13)
    last = json.loads((tmp_path / "cut/timings.jsonl").read_text().splitlines()[-1])
    assert (last["step"], last["steps"]) == (24, 14)  # the second attempt went on from step 10
    for name in ("final/model.safetensors", "metrics.jsonl", "result.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()
