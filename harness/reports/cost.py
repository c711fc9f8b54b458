"""The cost of a run: its duration, the time that its workers spent, and their memory."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from harness.records.record import Records
from harness.text import plural

#: The keys of ``Observation.seconds``, and what the worker does in that time.
PARTS = {"files": "creating files", "open": "loading base models", "generate": "making pictures"}


def summary(records: Records) -> str:
    """Return the number of shots, the duration, and the time and memory of the workers in one line, without full stop.

    An example: "120 shots in 60 s; the workers spent 115 s: 5% creating files, ...; a worker used up to 400 MB". The
    result is "" if no time is recorded.
    """
    spent: Counter[str] = Counter()
    for observation in records.observations.values():
        spent.update({part: seconds for part, seconds in observation.seconds.items() if part in PARTS})
    total = spent.total()
    if not total:
        return ""
    shares = ", ".join(f"{spent[part] / total:.0%} {activity}" for part, activity in PARTS.items())
    memory = max(observation.memory for observation in records.observations.values()) / 1e6
    text = plural(len(records.observations), "shot")
    if records.finished:
        duration = datetime.fromisoformat(records.finished) - datetime.fromisoformat(records.run.started)
        text += f" in {duration.total_seconds():.0f} s"
    return f"{text}; the workers spent {total:.0f} s: {shares}; a worker used up to {memory:.0f} MB"
