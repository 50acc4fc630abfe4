"""How processes end together: who speaks, and with which code each of them ends."""

import threading

import pytest
import torch
from torch.distributed import HashStore

from training.ranks import ALONE, Ranks, RanksRejected, join_ranks
from training.shared_end import EXIT_DEFECT, SharedEnd, is_broken_exchange

BROKEN = RuntimeError(
    "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:537] Read error [127.0.0.1]:7062: "
    "Connection reset by peer."
)
CODES = {ValueError: 78, OSError: 74}
RESUMABLE = 75


def end(ranks, error):
    """End a process with an error; return its exit code."""
    with SharedEnd(ranks, codes=CODES, resumable=RESUMABLE) as shared:
        raise error
    return shared.code


def pair(size=2):
    store = HashStore()
    return [Ranks(rank=rank, size=size, store=store) for rank in range(size)]


@pytest.mark.parametrize("first", [0, 1])
def test_the_first_to_fail_speaks_and_all_end_with_its_code(first, caplog):
    ranks = pair()
    assert end(ranks[first], OSError("disk full")) == 74
    assert end(ranks[1 - first], BROKEN) == 74
    assert caplog.messages == [f"rank {first} of 2: disk full"]


def test_the_same_error_of_all_is_told_once(caplog):
    assert [end(one, FileNotFoundError("no shards")) for one in pair(3)] == [74] * 3
    assert caplog.messages == ["rank 0 of 3: no shards"]


def test_a_killed_process_leaves_no_note_so_the_others_can_be_resumed(caplog):
    """The survivors' own broken exchanges do not count as its note: they come after the kill."""
    assert [end(one, BROKEN) for one in pair(3)[1:]] == [RESUMABLE] * 2
    (message,) = caplog.messages
    assert message.startswith("rank 1 of 3: another process of this training was killed")


def test_a_defect_is_raised_by_the_first_only(caplog):
    ranks = pair()
    with pytest.raises(AssertionError, match="mine"):
        end(ranks[1], AssertionError("mine"))
    assert end(ranks[0], BROKEN) == EXIT_DEFECT
    assert caplog.messages == []


def test_alone_an_error_has_its_code_and_a_defect_is_raised(caplog):
    assert end(ALONE, ValueError("no such key")) == 78
    assert caplog.messages == ["no such key"]
    # Alone there is no exchange that could break.
    with pytest.raises(RuntimeError, match="Connection reset"):
        end(ALONE, BROKEN)


def test_an_interrupt_is_not_an_error():
    with pytest.raises(KeyboardInterrupt):
        end(pair()[0], KeyboardInterrupt())


def test_without_the_store_each_speaks_for_itself(caplog):
    class Gone(HashStore):
        def compare_set(self, *_):
            raise torch.distributed.DistNetworkError("the agent is gone")

    assert end(Ranks(rank=1, size=2, store=Gone()), OSError("disk full")) == 74
    assert caplog.messages == ["rank 1 of 2: disk full"]


@pytest.mark.parametrize(
    ("error", "broken"),
    [
        (BROKEN, True),
        (torch.distributed.DistBackendError("NCCL error"), True),
        (RuntimeError("Timed out waiting 600000ms for recv operation to complete"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (OSError("Connection reset by peer"), False),
    ],
)
def test_what_counts_as_a_broken_exchange(error, broken):
    assert is_broken_exchange(error) is broken


def test_one_note_is_left_whoever_comes_at_the_same_time():
    ranks, told = pair(8), []
    threads = [
        threading.Thread(target=lambda one=one: told.append(one.first_failure(60 + one.rank)))
        for one in ranks
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = {code for code in told if code is not None}
    assert told.count(None) == 1
    assert ranks[winner - 60].first_failure(99) == winner


@pytest.mark.parametrize(
    "environment",
    [
        {"WORLD_SIZE": "2"},
        {"WORLD_SIZE": "many"},
        {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"},
        {"WORLD_SIZE": "2", "RANK": "x", "MASTER_ADDR": "a", "MASTER_PORT": "1"},
    ],
)
def test_half_an_environment_of_torchrun_is_refused(environment):
    with (
        pytest.raises(RanksRejected, match=r"WORLD_SIZE is '(2|many)', but .* does not fit"),
        join_ranks(environment, device="cpu"),
    ):
        raise AssertionError("joined")
