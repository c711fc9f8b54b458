"""Expected verdicts: the entries of expectations.toml, and the status of a verdict given what was expected."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from harness.records.verdict import Status, Verdict
from harness.text import fits
from sdcpp.errors import FileInvalid

#: The expectations of this project.
PATH = Path(__file__).parent.parent / "expectations.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """One entry of expectations.toml: the cases that it matches, their expected verdicts, and the reason.

    An entry with several verdicts says that the case is unstable: the outcome depends on the contents of
    uninitialised memory, or on how much memory is free. PASS may be one of the verdicts, and UNSTABLE is then expected,
    too. ``where`` maps dimensions to shell wildcards; a dimension that a case does not have is the empty string. An
    entry with ``without_patch`` matches only builds without a patch of that name.
    """

    revisions: Sequence[str]
    verdicts: Sequence[Verdict]
    reason: str
    cases: Sequence[str] = ("*",)
    where: Mapping[str, Sequence[str]] = field(default_factory=dict)
    backends: Sequence[str] = ("*",)
    without_patch: str = ""

    @property
    def unstable(self) -> bool:
        """Whether the outcome is not the same each time."""
        return len(self.verdicts) > 1

    def matches(
        self,
        *,
        patches: Collection[str],
        revision: str,
        backend: str,
        case: str,
        dimensions: Mapping[str, str],
    ) -> bool:
        """Tell whether the entry is about this case on a build with these patches."""
        return (
            fits(revision, tuple(self.revisions))
            and fits(backend, tuple(self.backends))
            and fits(case, tuple(self.cases))
            and self.without_patch not in patches
            and all(fits(dimensions.get(name, ""), tuple(patterns)) for name, patterns in self.where.items())
        )


def load(path: Path = PATH) -> list[Expectation]:
    """Return the entries of a file in their order.

    Raises FileInvalid for an invalid entry. The message has its number and what is wrong with it.
    """
    keys = {field.name for field in fields(Expectation)} - {"verdicts"} | {"verdict"}
    loaded = []
    for number, entry in enumerate(tomllib.loads(path.read_text(encoding="utf-8")).get("expectation", []), 1):
        try:
            if unknown := set(entry) - keys:
                raise ValueError(f"unknown keys {sorted(unknown)}")
            if not entry.get("reason", "").strip():
                raise ValueError("no reason")
            verdicts = tuple(Verdict(name) for name in _as_list(entry.pop("verdict")))
            if Verdict.UNSTABLE in verdicts:
                raise ValueError("UNSTABLE is no expected verdict; list the verdicts that the case may have")
            where = {name: _as_list(patterns) for name, patterns in entry.pop("where", {}).items()}
            loaded.append(Expectation(**entry, where=where, verdicts=verdicts))
        except (ValueError, KeyError, TypeError) as error:
            raise FileInvalid(
                "invalid expectation",
                f"{path}, entry {number}: {error}",
                "see the comment at the top of the file for the keys",
            ) from error
    return loaded


def _as_list(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def first_match(
    expected: Iterable[Expectation],
    *,
    patches: Collection[str],
    dimensions: Mapping[str, str],
    **facts: str,
) -> Expectation | None:
    """Return the first entry that matches a case, or None.

    ``patches``, ``dimensions`` and ``facts`` are the arguments of ``Expectation.matches``.
    """
    return next(
        (entry for entry in expected if entry.matches(patches=patches, dimensions=dimensions, **facts)), None
    )


def status_and_reason(
    verdict: Verdict,
    expected: Iterable[Expectation],
    *,
    patches: Collection[str],
    dimensions: Mapping[str, str],
    **facts: str,
) -> tuple[Status, str]:
    """Return the status of a verdict by the first entry that matches, and the entry's reason.

    The reason is "" unless the status is XFAIL or XPASS. ``patches``, ``dimensions`` and ``facts`` are the arguments of
    ``Expectation.matches``.
    """
    entry = first_match(expected, patches=patches, dimensions=dimensions, **facts)
    found = status(verdict, entry)
    return found, entry.reason if entry and found in (Status.XFAIL, Status.XPASS) else ""


def status(verdict: Verdict, expected: Expectation | None) -> Status:
    """Return the status of a verdict, given the expectation for its case. Without one, the case should pass.

    An expectation may also say that the case cannot be judged, with UNJUDGED, UNSUPPORTED or another such verdict.
    UNSTABLE fails no run: it is expected if the expectation has several verdicts, and not judged otherwise.
    """
    if verdict is Verdict.PASS:
        return Status.PASS if not expected or verdict in expected.verdicts else Status.XPASS
    if expected and (verdict in expected.verdicts or (verdict is Verdict.UNSTABLE and expected.unstable)):
        return Status.XFAIL
    skipped = (Verdict.UNSUPPORTED, Verdict.SKIPPED, Verdict.UNSTABLE)
    return Status.SKIPPED if verdict in skipped else Status.UNEXPECTED
