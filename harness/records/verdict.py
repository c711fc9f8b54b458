"""The verdict on a case, and its status: the verdict compared with the expected one."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """The outcome of one case, judged by the oracles from what was observed."""

    PASS = "PASS"  # noqa: S105 - no password
    NO_EFFECT = "NO_EFFECT"  # the library ignored the adapter without a word
    WRONG = "WRONG"  # the picture differs from the wanted one
    ABORT = "ABORT"  # a signal or a failed assertion ended the process
    TIMEOUT = "TIMEOUT"  # the process did not answer in time
    REFUSED = "REFUSED"  # the library declined
    UNSUPPORTED = "UNSUPPORTED"  # the device or the revision cannot do this
    SKIPPED = "SKIPPED"  # this machine has no such device
    MISDIRECTED = "MISDIRECTED"  # the library ran on another backend than the requested one
    UNJUDGED = "UNJUDGED"  # a picture to compare with could not be made, or the adapter changes it too little
    UNSTABLE = "UNSTABLE"  # the same build gave another picture or another verdict when the case was repeated


#: Verdicts that say nothing about what the library does with an adapter.
NOT_JUDGED = frozenset(
    {Verdict.UNSUPPORTED, Verdict.SKIPPED, Verdict.MISDIRECTED, Verdict.UNJUDGED, Verdict.UNSTABLE}
)
#: Verdicts on a process that did not survive.
LOST = frozenset({Verdict.ABORT, Verdict.TIMEOUT})


def worse(before: Verdict, after: Verdict) -> bool:
    """Tell whether a change from one verdict to another is a regression.

    It is one if the case passed before, if the process survived before and does not survive now, or if the case was
    judged before and is not judged now. Nothing is worse than a process that did not survive before. UNSTABLE is
    neither better nor worse than another verdict.
    """
    if before is after or before in NOT_JUDGED or before in LOST or after is Verdict.UNSTABLE:
        return False
    return before is Verdict.PASS or after in LOST or after in NOT_JUDGED


class Status(StrEnum):
    """A verdict compared with the expected one, in the terms of pytest."""

    PASS = "PASS"  # noqa: S105 - no password; passed, as expected
    XFAIL = "XFAIL"  # failed, as an expectation says
    XPASS = "XPASS"  # passed although an expectation says that it fails: remove the expectation
    UNEXPECTED = "UNEXPECTED"  # failed, and no expectation says so
    SKIPPED = "SKIPPED"  # not judged


#: Statuses because of which a run does not exit with 0.
FAILING = frozenset({Status.XPASS, Status.UNEXPECTED})
