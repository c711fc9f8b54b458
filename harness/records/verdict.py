"""What can be said of a case."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """The outcome of one case, from what was observed and what the oracles say."""

    PASS = "PASS"  # noqa: S105 - no password
    NO_EFFECT = "NO_EFFECT"  # the adapter was silently ignored
    WRONG = "WRONG"  # a picture, but not the one that the adapter means
    ABORT = "ABORT"  # a signal or a failed assertion ended the process
    TIMEOUT = "TIMEOUT"
    REFUSED = "REFUSED"  # the library declined
    UNSUPPORTED = "UNSUPPORTED"  # the device or the revision says that it cannot
    SKIPPED = "SKIPPED"  # no such device here
    MISDIRECTED = (
        "MISDIRECTED"  # the library ran on another backend than asked for, which says nothing of that one
    )
    UNJUDGED = "UNJUDGED"  # a picture that the oracles compare with could not be made


#: Verdicts on a case that said nothing of the library: it was not tried, or not there, or what to judge by was not.
UNTRIED = frozenset({Verdict.UNSUPPORTED, Verdict.SKIPPED, Verdict.MISDIRECTED, Verdict.UNJUDGED})
#: Verdicts on a process that did not survive.
_LOST = frozenset({Verdict.ABORT, Verdict.TIMEOUT})


def worse(before: Verdict, after: Verdict) -> bool:
    """Tell whether a change from one verdict to another is for the worse.

    It is if what passed does not any more, and if a process that lived, whatever it made, now dies or hangs.
    """
    return before is not after and (before is Verdict.PASS or (after in _LOST and before not in _LOST))


class Status(StrEnum):
    """A verdict seen against what was expected of it."""

    PASS = "PASS"  # noqa: S105 - no password; passed, and nothing else was expected
    XFAIL = "XFAIL"  # failed in the way that an expectation says
    XPASS = "XPASS"  # passed although an expectation says that it fails: remove the expectation
    UNEXPECTED = "UNEXPECTED"  # failed, and nobody expected it
    SKIPPED = "SKIPPED"  # nothing was tried (unsupported, skipped)


#: Standings with which a run does not exit 0.
FAILING = frozenset({Status.XPASS, Status.UNEXPECTED})
