"""What a worker and the process that started it send each other. Imported by workers, so it imports nothing heavy.

A line from the parent is a number and a request, a ``harness.cases.shot_request.ShotRequest``, or the number of an
earlier request and CANCELLED. A line from the worker is the number of a request and a ``ShotReply``, or the number 0
and a ``ShotReply`` that belongs to no request. Only a worker with FORKS gets a request before it has answered the last
one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.cases.shot_request import picture_from_json, picture_to_json
from harness.child_process.ended import ChildEnded
from harness.running.crash_report import crash_report
from sdcpp.binding.api.interface import Picture

#: The outcome of a reply that another reply to the same request follows: the base model is open.
OPENED = "opened"
#: The outcomes of replies before OPENED, in this order, if there is no room for the context beside those in use: the
#: base model is not opened yet; it is opened now.
WAITING, OPENING = "waiting", "opening"
#: The outcomes that another reply to the same request follows.
PRELIMINARY = frozenset({OPENED, WAITING, OPENING})
#: The outcome of the first reply to no request: the library is loaded.
READY = "ready"
#: The outcome of later replies to no request: the library crashed while it closed a context that nobody needed.
CLOSING = "closing"
#: Sent instead of a request: nobody waits for the reply to the earlier one any more.
CANCELLED = b"cancelled\n"
#: The argument of a worker that makes pictures in forks. The next argument is the room for contexts (``ForkServer``).
FORKS = "--forks"
#: The environment variable with the folder for a worker's temporary files, which is removed when no more requests come.
OWN_FOLDER = "SDCPP_WORKER_FOLDER"


def numbered(number: int, line: bytes) -> bytes:
    """Return a line for the request with this number."""
    return b"%d %s" % (number, line)


def split(line: bytes) -> tuple[int, bytes]:
    """Return the number and the line that ``numbered`` was given."""
    number, _, rest = line.partition(b" ")
    return int(number), rest


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotReply:
    """What happened to a request: ``outcome`` is READY, CLOSING, in PRELIMINARY, or as in ``record.Observation``.

    ``signal`` names the signal or the exit status of a crash. The other fields are those of ``record.Observation``.
    """

    outcome: str
    picture: Picture | None = None
    backend: str = ""
    signal: str = ""
    text: str = ""
    log: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    processor: float = 0.0
    memory: int = 0
    complaints: int = 0

    def line(self) -> bytes:
        """Return the reply as one line of JSON."""
        content = {name: getattr(self, name) for name in ShotReply.__slots__}
        if self.picture:
            content["picture"] = picture_to_json(self.picture)
        return json.dumps(content).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> ShotReply:
        """Return the reply that ``line`` made."""
        content = json.loads(line)
        picture = content["picture"]
        if picture:
            picture = picture_from_json(picture)
        return cls(**{**content, "picture": picture, "log": tuple(content["log"])})

    @classmethod
    def crashed(cls, status: int, printed: str, outcome: str = "crashed") -> ShotReply:
        """Return the reply for a process that has ended: its exit status, and the end of its standard error.

        The status is negative for a signal, as in ``subprocess``.
        """
        cause = ChildEnded(status).cause
        return cls(outcome=outcome, signal=cause, text=crash_report(printed) or f"ended by {cause}")
