"""Verdicts known beforehand, each with its reason; read from expectations.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path

from harness.records.verdict import Status, Verdict
from sdcpp.errors import FileInvalid

#: The project's own expectations.
PATH = Path(__file__).parent.parent / "expectations.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """One entry: the cases that it speaks of, the verdict they get, and why.

    There are several verdicts where what happens depends on what lay in memory before; PASS may be one of them.
    ``where`` has wildcards for the case's dimensions; one that it lacks is the empty string.
    """

    revisions: Sequence[str]
    verdicts: Sequence[Verdict]
    reason: str
    cases: Sequence[str] = ("*",)
    where: Mapping[str, Sequence[str]] = field(default_factory=dict)
    backends: Sequence[str] = ("*",)
    without_patch: str = ""

    def fits(
        self,
        *,
        patches: Collection[str],
        revision: str,
        backend: str,
        case: str,
        dimensions: Mapping[str, str],
    ) -> bool:
        """Return whether the entry speaks of this case on this build."""
        wanted = (
            (revision, self.revisions),
            (backend, self.backends),
            (case, self.cases),
            *((dimensions.get(name, ""), patterns) for name, patterns in self.where.items()),
        )
        mended = any(fnmatchcase(patch, self.without_patch) for patch in patches)
        return not mended and all(
            any(fnmatchcase(value, pattern) for pattern in patterns) for value, patterns in wanted
        )


def load(path: Path = PATH) -> list[Expectation]:
    """Read the entries; raises FileInvalid that names the entry and what is wrong with it."""
    known = {field.name for field in fields(Expectation)} - {"verdicts"} | {"verdict"}
    loaded = []
    for number, entry in enumerate(tomllib.loads(path.read_text(encoding="utf-8")).get("expectation", []), 1):
        try:
            if unknown := set(entry) - known:
                raise ValueError(f"unknown keys {sorted(unknown)}")
            if not entry.get("reason", "").strip():
                raise ValueError("no reason")
            verdicts = tuple(Verdict(word) for word in _several(entry.pop("verdict")))
            where = {name: _several(patterns) for name, patterns in entry.pop("where", {}).items()}
            loaded.append(Expectation(**entry, where=where, verdicts=verdicts))
        except (ValueError, KeyError, TypeError) as error:
            raise FileInvalid(
                "not an expectation", f"{path}, entry {number}: {error}", "see the top of the file"
            ) from error
    return loaded


def _several(said: str | Sequence[str]) -> Sequence[str]:
    return [said] if isinstance(said, str) else said


def stand(
    verdict: Verdict,
    expected: Iterable[Expectation],
    *,
    patches: Collection[str],
    dimensions: Mapping[str, str],
    **facts: str,
) -> tuple[Status, str]:
    """Return how a verdict stands against the first entry that fits, and that entry's reason if it speaks of it.

    ``patches``, ``dimensions`` and ``facts`` are those of ``Expectation.fits``.
    """
    known = next(
        (entry for entry in expected if entry.fits(patches=patches, dimensions=dimensions, **facts)), None
    )
    found = status(verdict, known)
    return found, known.reason if known and found in (Status.XFAIL, Status.XPASS) else ""


def status(verdict: Verdict, expected: Expectation | None) -> Status:
    """Return how a verdict stands against what was expected (nothing: that it passes)."""
    if verdict in (Verdict.UNSUPPORTED, Verdict.SKIPPED):
        return Status.SKIPPED
    if verdict is Verdict.PASS:
        return Status.PASS if not expected or verdict in expected.verdicts else Status.XPASS
    return Status.XFAIL if expected and verdict in expected.verdicts else Status.UNEXPECTED
