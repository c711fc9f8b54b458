"""What can be said of every sdist of the registry without building it: how it is called, and what patches do on it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness import history
from sdcpp import binding, console, output, series, source
from sdcpp.errors import FileInvalid, HeaderUnsupported, LayoutMismatch
from sdcpp.revision import Revision

RESULT = history.RESULTS / "survey.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One sdist: ``tree`` tells its content from others', ``binding`` is sdcpp.binding's, or ``unbound`` says why not.

    ``patches`` has the state of each of history.PATCHES.
    """

    revision: str
    tree: str
    binding: Mapping[str, Any] = field(default_factory=dict)
    unbound: str = ""
    patches: Mapping[str, str] = field(default_factory=dict)


def examine(wanted: Revision) -> Entry:
    """Fetch a revision, have the compiler prove its binding, and try the patches on it."""
    tree = source.workspace(wanted)
    proved: dict[str, Any] = {}
    unbound = ""
    try:
        proved = asdict(binding.prove(tree.path))
    except (HeaderUnsupported, LayoutMismatch) as error:
        unbound = str(error)
    states = series.states(tree, history.patches())
    return Entry(
        revision=wanted.name,
        tree=tree.base,
        binding=proved,
        unbound=unbound,
        patches={state.patch.name: state.state.value for state in states},
    )


def run(wanted: Sequence[Revision], *, keep: bool) -> Iterator[Entry]:
    """Examine revisions that are not examined yet, write all that is known after each, and yield it."""
    known = load()
    for number, one in enumerate(wanted, 1):
        if one.name in known:
            continue
        console.note(f"{one.name}: {number} of {len(wanted)}")
        entry = known[one.name] = examine(one)
        entries = [asdict(known[other.name]) for other in wanted if other.name in known]
        output.write(RESULT, json.dumps(entries, indent=1) + "\n")
        if not keep:
            history.drop(one)
        yield entry


def load(path: Path = RESULT) -> dict[str, Entry]:
    """Return what is known, by revision; raises FileInvalid."""
    if not path.exists():
        return {}
    try:
        found = [Entry(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError) as error:
        raise FileInvalid("not a survey", f"{path} ({error})", "remove it and make it again") from error
    return {entry.revision: entry for entry in found}
