"""Examine every sdist of the registry without building it: the calling convention and the states of the patches."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.studies.history import run
from sdcpp import atomic_write, console, project
from sdcpp.binding import abi_check
from sdcpp.building import finished
from sdcpp.errors import FileInvalid, HeaderUnsupported, LayoutMismatch
from sdcpp.patching.state import find_states
from sdcpp.source import workspace
from sdcpp.source.revision import Revision

RESULT = run.RESULTS / "survey.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyedSdist:
    """The findings about one sdist.

    ``tree`` identifies its content, and ``patches`` has the state of each of ``run.patches()``. ``binding`` has the
    fields of an AbiCheck. If the library cannot be called, ``binding`` is empty and ``unbound`` is the reason.
    """

    revision: str
    tree: str
    binding: Mapping[str, Any] = field(default_factory=dict)
    unbound: str = ""
    patches: Mapping[str, str] = field(default_factory=dict)


def examine(wanted: Revision) -> SurveyedSdist:
    """Fetch a revision, check with the compiler whether its library can be called, and try the patches on it."""
    tree = workspace.workspace(wanted)
    binding: dict[str, Any] = {}
    unbound = ""
    try:
        binding = asdict(abi_check.check_abi(tree.path))
    except (HeaderUnsupported, LayoutMismatch) as error:
        unbound = str(error)
    states = find_states(tree, run.patches())
    return SurveyedSdist(
        revision=wanted.name,
        tree=tree.base,
        binding=binding,
        unbound=unbound,
        patches={state.patch.name: state.state.value for state in states},
    )


def survey(wanted: Sequence[Revision], *, keep: bool) -> Iterator[SurveyedSdist]:
    """Examine the revisions that the survey does not have. After each of them write the survey and yield the entry.

    Raises CheckoutNeeded in an installed sdcpp.
    """
    project.checkout()
    known = load()
    for number, each in enumerate(wanted, 1):
        if each.name in known:
            continue
        console.note(f"{each.name}: {number} of {len(wanted)}")
        entry = known[each.name] = examine(each)
        entries = [asdict(known[other.name]) for other in wanted if other.name in known]
        atomic_write.write(RESULT, json.dumps(entries, indent=1) + "\n")
        if not keep:
            finished.remove_build(each)
        yield entry


def load(path: Path = RESULT) -> dict[str, SurveyedSdist]:
    """Return the survey by revision; it is empty if the file does not exist. Raises FileInvalid."""
    if not path.exists():
        return {}
    try:
        entries = [SurveyedSdist(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError) as error:
        raise FileInvalid(
            "not a survey", f"{path} ({error})", "remove it and run `sdcpp history --survey`"
        ) from error
    return {entry.revision: entry for entry in entries}
