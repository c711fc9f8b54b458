"""A malformed file of three bytes and its case, for tests in which no library reads it."""

from __future__ import annotations

from harness.cases.malformed_file_case import MalformedFileCase, malformed_file_cases
from harness.malformed.malformed_file import MalformedFile
from tests.unit.fake_models import BASE


def recipe(
    accept: frozenset[str] = frozenset({"without"}), quietly: frozenset[str] = frozenset()
) -> MalformedFile:
    """Return a malformed file of three bytes with the answers that are right for it."""
    return MalformedFile(
        name="odd", container="gguf", why="a test", content=lambda: b"odd", accept=accept, quietly=quietly
    )


def malformed_case(**more: frozenset[str]) -> MalformedFileCase:
    """Return the case of such a file on the fake base model, at run time."""
    [found] = malformed_file_cases(BASE, ["at_runtime"], [recipe(**more)], any_suffix=True)
    return found
