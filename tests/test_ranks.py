"""Several processes train one model: what they divide and exchange, and real runs of two."""

import json
import multiprocessing
import os
import signal
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from safetensors.numpy import load_file

from training.config import (
    ExecutionConfig,
    MixerConfig,
    SelectorConfig,
    WeighterConfig,
)
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


def _work_on_many(configs):
    """What a rank does that trains one run after the other; meeting costs more than training."""
    from training.ranks import join_ranks
    from training.run_file import load_run_config

    with join_ranks(os.environ, device="cpu") as ranks:
        assert ranks.from_leader(np.array([5.0 + ranks.rank, 0.5])).tolist() == [5.0, 0.5]
        assert ranks.total(np.array([1.0 + ranks.rank])).tolist() == [3.0]
        assert ranks.any(ranks.rank == 1)
        assert not ranks.any(False)
        told = []
        for path in configs:
            run = load_run_config(path)
            train(run, path.with_suffix(""), ranks=ranks, on_progress=told.append)
        assert bool(told) == ranks.leads


def _stop_and_go_on(path):
    """What a rank does that trains a run at one go and then once more with a stop."""
    from training.ranks import join_ranks
    from training.run_file import load_run_config

    with join_ranks(os.environ, device="cpu") as ranks:
        config, asked = load_run_config(path), iter(range(100))
        train(config, path.with_name("whole"), ranks=ranks)
        cut = path.with_name("cut")
        # Asked of one rank only, as a signal may come to one only.
        ends = lambda: ranks.rank == 1 and next(asked) >= 7  # noqa: E731
        assert train(config, cut, ranks=ranks, should_stop=ends).steps == 7
        train(config, cut, ranks=ranks)


@pytest.fixture(scope="module", autouse=True)
def _forkserver():
    """Ranks as torchrun starts them, by its agent, but from a process that has torch imported."""
    multiprocessing.set_forkserver_preload(["training.loop", "training.ranks"])


def _torchrun(name, *, size=2, max_restarts=0):
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    settings = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=size,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        run_id=name,
        max_restarts=max_restarts,
        monitor_interval=0.1,
        start_method="forkserver",
    )
    return partial(elastic_launch, settings)


def _start(folder, write_run, runs, *, kill_at=None):
    """Train runs, given by name, with two ranks; with kill_at one run, of which a rank dies."""
    launch = _torchrun(next(iter(runs)), max_restarts=0 if kill_at is None else 1)
    paths = [write_run(run, folder / f"{name}.json") for name, run in runs.items()]
    if kill_at is None:
        launch(_work_on_many)(paths)
    else:
        (path,) = paths
        launch(_work)(path, path.with_suffix(""), kill_at)


def losses(out):
    return [
        json.loads(line)["loss"]
        for line in (out / "metrics.jsonl").read_text().splitlines()
        if '"loss"' in line
    ]


def heldout(out):
    result = json.loads((out / "result.json").read_text())
    return [entry["loss_nats"] for entry in result["heldout"].values()]


# Methods -> what they exchange: reduced losses, embeddings and gradients, the leader's decisions.
CASES = {
    "aioli": ("aioli", "random", "none"),
    "doge": ("doge", "nearest", "alignment"),
    "odm": ("odm", "loss_band", "loss"),
    "doremi": ("doremi", "delta_loss", "none"),
    "skill_it": ("skill_it", "gradient_similarity", "loss"),
}
MIXING = {
    "aioli": {"round_steps": 12, "probe_steps": 1, "sweeps": 2, "min_signal": 0.0},
    "doge": {"every_steps": 4, "mu": 0.002},
    "odm": {},
    "doremi": {"eta": 5.0},
    "skill_it": {
        "graph": {
            "blue": {"blue": 1.0, "green": 0.5, "red": 0.0},
            "green": {"blue": 0.0, "green": 1.0, "red": 0.0},
            "red": {"blue": 0.0, "green": 0.3, "red": 1.0},
        },
        "round_steps": 8,
        "evaluation_steps": 3,
        "window": 2,
    },
}
POOLS = {"pool_rows": 12, "keep_share": 0.5}
SELECTING = {
    "random": {},
    # Row by row, each with exchanges of its own: the fewer the better.
    "gradient_similarity": {"pool_rows": 8, "keep_share": 0.75, "projected_size": 32},
}
WEIGHING = {"none": {}, "alignment": {"refresh_steps": 5, "temperature": 0.1}, "loss": {}}
PARALLEL = ("ddp", "fsdp")


@pytest.fixture(scope="module")
def alone(tiny_run, tmp_path_factory):
    """Every case by one process: configuration and folder."""
    base, made = tmp_path_factory.mktemp("alone"), {}
    train(replace(tiny_run, run_id="reference", seed=8), base / "reference")
    for name, (mixer, selector, weighter) in CASES.items():
        steps = 24 if name == "aioli" else 12
        run = replace(
            tiny_run,
            schedule=replace(tiny_run.schedule, steps=steps),
            mixer=MixerConfig(method=mixer, settings=MIXING[mixer]),
            selector=SelectorConfig(method=selector, settings=SELECTING.get(selector, POOLS)),
            weighter=WeighterConfig(method=weighter, settings=WEIGHING[weighter]),
            reference=str(base / "reference") if mixer == "doremi" else None,
        )
        train(run, base / name)
        made[name] = (run, base / name)
    return made


@pytest.fixture(scope="module")
def together(alone, tmp_path_factory, write_run):
    """Every case by two processes of each kind, one launch for all; case and kind -> folder."""
    base, runs = tmp_path_factory.mktemp("together"), {"plain": alone["aioli"][0]}
    for name, (run, _) in alone.items():
        for parallel in PARALLEL:
            # Aioli in two parts a process: gradients accumulate, and are exchanged with the last.
            parts = 2 if name == "aioli" else None
            execution = ExecutionConfig(parallel=parallel, micro_rows=parts)
            runs[f"{name}-{parallel}"] = replace(run, execution=execution)
    _start(base, write_run, runs)
    return base


@pytest.mark.parametrize("parallel", PARALLEL)
@pytest.mark.parametrize("name", CASES)
def test_two_processes_agree_with_one(alone, together, name, parallel):
    """Weights and selections rest on what was reduced: the batches agree only if that does."""
    out, single = together / f"{name}-{parallel}", alone[name][1]
    assert losses(out) == pytest.approx(losses(single), rel=1e-5)
    assert heldout(out) == pytest.approx(heldout(single), rel=1e-5)
    assert read_ledger(out / "ledger").equals(read_ledger(single / "ledger"))
    models = [load_file(folder / "final/model.safetensors") for folder in (out, single)]
    assert models[0].keys() == models[1].keys()
    for key, values in models[0].items():
        np.testing.assert_allclose(values, models[1][key], atol=1e-4)


def test_a_checkpoint_of_two_processes_continues_on_one_and_back(alone, tmp_path, write_run):
    (run, single), out = alone["aioli"], tmp_path / "out"
    asked = iter(range(100))
    assert train(run, out, should_stop=lambda: next(asked) >= 8).steps == 8
    _start(tmp_path, write_run, {"out": replace(run, execution=ExecutionConfig(parallel="fsdp"))})
    assert losses(out) == pytest.approx(losses(single), rel=1e-5)
    for folder in (out / "result.json", out / "checkpoints/step-00000024"):
        assert folder.exists() == (folder.suffix == ".json")
    (out / "result.json").unlink()
    assert train(run, out).finished  # from step 20, written by two
    assert losses(out) == pytest.approx(losses(single), rel=1e-5)
    assert read_ledger(out / "ledger").equals(read_ledger(single / "ledger"))


def test_a_killed_rank_is_restarted_to_the_same_bits(alone, together, tmp_path, write_run):
    """The survivor is stopped in the middle of an exchange, and the new pair meets again."""
    _start(tmp_path, write_run, {"cut": alone["aioli"][0]}, kill_at=13)
    last = json.loads((tmp_path / "cut/timings.jsonl").read_text().splitlines()[-1])
    assert (last["step"], last["steps"]) == (24, 14)  # the second attempt went on from step 10
    for name in ("final/model.safetensors", "metrics.jsonl", "result.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (together / "plain" / name).read_bytes()


def test_three_ranks_that_were_stopped_go_on_to_the_same_bits(tiny_run, tmp_path, write_run):
    """From three on, a sum depends on the order in which DDP packs gradients: it must not move."""
    short = replace(tiny_run, schedule=replace(tiny_run.schedule, steps=12))
    _torchrun("three", size=3)(_stop_and_go_on)(write_run(short, tmp_path / "run.json"))
    for name in ("final/model.safetensors", "metrics.jsonl", "result.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
