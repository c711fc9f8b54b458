"""What a run cost: its time, what the workers spent theirs on, and how much memory one took."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from harness.records.record import Records
from harness.text import plural

#: The parts of ``Observation.seconds`` in words.
PARTS = {"files": "making files", "open": "opening base models", "generate": "making pictures"}


def line(records: Records) -> str:
    """Return a line such as "120 shots in 60 s: making files 5 %, ... of the workers' 115 s; at most 400 MB each"."""
    spent: Counter[str] = Counter()
    for seen in records.observations.values():
        spent.update({part: seconds for part, seconds in seen.seconds.items() if part in PARTS})
    whole = spent.total()
    if not whole:
        return ""
    shares = ", ".join(f"{words} {spent[part] / whole:.0%}" for part, words in PARTS.items())
    memory = max(seen.memory for seen in records.observations.values()) / 1e6
    text = plural(len(records.observations), "shot")
    if records.finished:
        took = datetime.fromisoformat(records.finished) - datetime.fromisoformat(records.run.started)
        text += f" in {took.total_seconds():.0f} s"
    return f"{text}: {shares} of the workers' {whole:.0f} s; a worker took {memory:.0f} MB at most"
