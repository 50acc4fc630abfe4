import json
import os

from assets.pipe_messages import WholeLineMessageReader


class Handler:
    def __init__(self):
        self.seen = []

    def handle_message(self, message):
        self.seen.append(message)


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
