"""Replies from a worker to the process that started it. Imported by workers, so it imports nothing heavy.

The request is ``harness.cases.shot_request.ShotRequest``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.cases.shot_request import picture_from_json, picture_to_json
from sdcpp.binding.api.interface import Picture

#: Outcomes of replies that another reply to the same request follows: the worker closes the context of an earlier
#: request, has closed it, and has opened the base model.
CLOSING, CLOSED, OPENED = "closing", "closed", "opened"
STAGES = frozenset({CLOSING, CLOSED, OPENED})
#: The outcome of the reply to no request: the library is loaded.
READY = "ready"
#: The argument of a worker that makes all pictures in its own process.
KEEPS_STATE = "--keeps-state"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotReply:
    """What happened to a request: ``outcome`` is READY, one of STAGES, or as in ``record.Observation``.

    ``signal`` names the signal or the exit status of a crash. ``while_closing`` says that the worker died while it
    closed the context of an earlier request, so the death says nothing about this one. The other fields are those of
    ``record.Observation``.
    """

    outcome: str
    picture: Picture | None = None
    backend: str = ""
    signal: str = ""
    while_closing: bool = False
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
