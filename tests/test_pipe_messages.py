import json
import os
from pathlib import Path

from assets.pipe_messages import WholeLineMessageReader


class Handler:
    def __init__(self):
        self.seen = []

    def handle_message(self, message):
        self.seen.append(message)

    def get_custom_messages(self):
        return tuple(one for one in self.seen if one["method"] == "custom")


def test_a_message_written_in_pieces_arrives_whole_and_in_order():
    handler = Handler()
    messages = [{"method": "custom", "params": {"step": step}} for step in range(3)]
    with (
        WholeLineMessageReader().read_messages(handler) as params,
        open(params["path"], "ab", buffering=0) as stream,
    ):
        for message in messages:
            line = json.dumps(message).encode() + b"\n"
            stream.write(line[:7])
            os.sched_yield()
            stream.write(line[7:])
    assert handler.seen == messages


def test_half_a_message_at_the_end_is_not_taken_for_one():
    handler = Handler()
    with (
        WholeLineMessageReader().read_messages(handler) as params,
        open(params["path"], "ab", buffering=0) as stream,
    ):
        stream.write(b'{"method": "custom"}\n{"method": "cus')
    assert handler.seen == [{"method": "custom"}]


def test_a_process_that_is_started_again_continues_the_conversation():
    """As torchrun does: Dagster warns of every message that comes after an end."""
    handler, observed = Handler(), []
    methods = ["opened", "custom", "closed", "opened", "custom", "closed"]
    reader = WholeLineMessageReader(observe=observed.append)
    with reader.read_messages(handler) as params, open(params["path"], "ab") as stream:
        for method in methods:
            stream.write(json.dumps({"method": method}).encode() + b"\n")
    assert [one["method"] for one in handler.seen] == [
        "opened", "custom", "opened", "custom", "closed",
    ]  # fmt: skip
    assert reader.messages == observed[-1] == ({"method": "custom"},) * 2


def test_the_file_lies_where_another_machine_sees_it_and_goes_with_the_session(tmp_path):
    with WholeLineMessageReader(folder=tmp_path).read_messages(Handler()) as params:
        assert tmp_path in Path(params["path"]).parents
        assert Path(params["path"]).is_file()
    assert not list(tmp_path.iterdir())
