from __future__ import annotations

import contextlib
import sys

import pytest

from harness.cases.shot_request import ShotRequest
from harness.running.started_worker import StartedWorker

#: A program that says it is ready, answers requests 1 and 2 in the wrong order and ends at request 3.
SWAPPED = r"""
import sys
from harness.running.protocol import OPENED, READY, ShotReply, numbered, split
def send(number, outcome):
    sys.stdout.buffer.write(numbered(number, ShotReply(outcome=outcome).line()))
    sys.stdout.buffer.flush()
send(0, READY)
for line in sys.stdin.buffer:
    number, content = split(line)
    if number == 2:
        for answered in (2, 1):
            send(answered, OPENED)
            send(answered, f"reply {answered}")
    if number == 3:
        sys.exit("why")
"""


def started(code: str) -> contextlib.closing[StartedWorker]:
    """Start a program of Python in place of a worker."""
    return contextlib.closing(StartedWorker([sys.executable, "-c", code], {}))


def test_each_reply_goes_to_the_request_with_its_number(request_of_nothing: ShotRequest) -> None:
    with started(SWAPPED) as worker:
        assert worker.ready.result(60).outcome == "ready"
        asked = [worker.ask(request_of_nothing) for _ in range(2)]
        for number, conversation in enumerate(asked, 1):
            assert conversation.receive(60).outcome == "opened"
            assert conversation.receive(60).outcome == f"reply {number}"
            with pytest.raises(TimeoutError):
                conversation.receive(0.01)
        assert worker.alive


def test_the_end_of_the_process_is_the_reply_to_what_was_asked_and_what_will_be(
    request_of_nothing: ShotRequest,
) -> None:
    with started(SWAPPED) as worker:
        first, *_, last = [worker.ask(request_of_nothing) for _ in range(3)]
        assert first.receive(60).outcome == "opened"
        assert (reply := last.receive(60)).outcome == "crashed"
        assert reply.signal == "exit status 1"
        assert not worker.alive
        assert worker.ask(request_of_nothing).receive(60) == reply


def test_a_cancelled_request_gets_no_reply(request_of_nothing: ShotRequest) -> None:
    with started(SWAPPED) as worker:
        first = worker.ask(request_of_nothing)
        worker.cancel(first)
        second = worker.ask(request_of_nothing)
        assert second.receive(60).outcome == "opened"
        with pytest.raises(TimeoutError):
            first.receive(0.01)


def test_a_program_that_does_not_start_says_why(request_of_nothing: ShotRequest) -> None:
    with started("raise SystemExit('no library')") as worker:
        reply = worker.ready.result(60)
        assert reply.outcome == "failed"
        assert reply.text == "the worker did not start (exit status 1): no library"
        assert worker.ask(request_of_nothing).receive(60) == reply
