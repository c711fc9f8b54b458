"""Check a selection of cases before anything is built for it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from harness.cases.case import AnyCase, select
from harness.text import listed
from sdcpp.errors import NothingTried

#: The number of values that a message shows.
SHOWN = 20
#: The number of near names that a message shows.
NEAR = 3


def require(cases: Sequence[AnyCase], patterns: Sequence[str], where: Sequence[tuple[str, str]]) -> None:
    """Raise NothingTried, with what to type instead, if a part of a selection matches none of the cases.

    ``patterns`` and ``where`` are those of ``select``. A dimension that no case has is refused, too.
    """
    for key, pattern in where:
        _require_value(cases, key, pattern)
    for pattern in patterns:
        if not select(cases, [pattern]):
            raise NothingTried(
                "no case has this name", pattern, f"{_near(cases, pattern)}--list shows the cases"
            )
    if not select(cases, patterns, where):
        chosen = [*(f"--case {p}" for p in patterns), *(f"--where {k}={v}" for k, v in where)]
        raise NothingTried("no case matches all of these", " ".join(chosen), "--list shows the cases")


def _require_value(cases: Iterable[AnyCase], key: str, pattern: str) -> None:
    dimensions = {name for case in cases for name in case.dimensions}
    if key not in dimensions:
        raise NothingTried(
            "unknown dimension", key, f"the dimensions are {listed(sorted(dimensions), SHOWN)}"
        )
    values = {case.dimensions.get(key, "") for case in cases}
    if not any(fnmatchcase(value, pattern) for value in values):
        raise NothingTried(
            f"no case has this value of the dimension {key}",
            pattern,
            f"the values are {listed(sorted(values - {''}), SHOWN)}",
        )


def _near(cases: Iterable[AnyCase], pattern: str) -> str:
    """Return a question that names the cases nearest to a pattern, or "" if none is near."""
    name, at, mode = pattern.partition("@")
    names = {case.name for case in cases}
    modes = {case.dimensions["mode"] for case in cases}
    near = [name] if name in names else difflib.get_close_matches(name.strip("*"), names, NEAR)
    if at and near:
        [mode] = difflib.get_close_matches(mode, modes, 1) or ["*"]
        near = [f"{each}@{mode}" for each in near]
    return f"did you mean {', '.join(near)}? " if near else ""
