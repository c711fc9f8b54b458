"""Find the revision that broke a case, or fixed it."""

from __future__ import annotations

import argparse
import difflib
from pathlib import Path

from harness.cases import core
from harness.cli import options
from harness.reports import write
from harness.studies import bisection
from sdcpp import console
from sdcpp.errors import EndsAlike
from sdcpp.source.revision import Revision

RESUMES = True
RENAMED = {"--source": ("--repo",), "--patched": ("--side", "patched")}
EPILOG = f"""\
output
  The command prints the first bad revision, or the first good one if --bad is the older end. The
  output folder gets the report of the step from the revision before it. Revisions that cannot be
  built, or on which the base model makes no picture, are skipped; if one of them may be the change,
  all candidates are printed. If that is so of --good or --bad, the exit status is 62 or 63.

cases
  {", ".join(list(core.CORE_CASES)[:7])},
  {", ".join(list(core.CORE_CASES)[7:])}
  Append @at_runtime for that mode. The default is @immediately.

examples
  sdcpp bisect --case rank-1 --bad 0.2.3 --good 0.2.6         which sdist fixed rank 1?
  sdcpp bisect --case missing-file --good 0.3.7 --bad 0.3.8
  sdcpp bisect --case gguf-Q8_0 --repo . --good v1 --bad HEAD  in your own commits
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--case", required=True, metavar="NAME[@MODE]", type=_case, help="see below")
    parser.add_argument("--good", required=True, metavar="REV", help="a revision on which the case passes")
    parser.add_argument("--bad", required=True, metavar="REV", help="a revision on which the case fails")
    parser.add_argument(
        "--repo",
        type=Path,
        metavar="DIR",
        help="your git repository: REV are commits of it, searched along first parents",
    )
    parser.add_argument(
        "--side",
        choices=("pristine", "patched"),
        default="pristine",
        help="without or with the patches (default: %(default)s)",
    )
    options.add_output(parser, "reports/bisect")


def _case(text: str) -> str:
    name, at, mode = text.partition("@")
    if name not in core.CORE_CASES or (at and mode not in ("immediately", "at_runtime")):
        near = difflib.get_close_matches(name, core.CORE_CASES, 1)
        hint = f"did you mean {near[0]}?" if near else f"the cases are {', '.join(core.CORE_CASES)}"
        raise argparse.ArgumentTypeError(f"{text!r} is no case; {hint}")
    return f"{name}@{mode or 'immediately'}"


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    case, good, bad = arguments.case, arguments.good, arguments.bad
    candidates = (
        bisection.repository_revisions(arguments.repo, good, bad)
        if arguments.repo
        else bisection.registry_revisions(good, bad)
    )
    if len(candidates) == 1:
        raise EndsAlike(
            "--good and --bad are the same commit",
            f"{good} and {bad} are {_commit(candidates[0])}",
            "give one revision on which the case passes and one on which it fails",
        )
    side = arguments.side
    command = ["sdcpp", "bisect", "--good", good, "--bad", bad]
    command += ["--repo", str(arguments.repo)] if arguments.repo else []
    command += ["--side", side] if side != "pristine" else []
    folder = arguments.output / f"{case}-{side}"
    ends = (candidates[0].name, candidates[-1].name)
    bisector = bisection.CaseBisector(case=case, side=side, folder=folder, command=command, ends=ends)
    console.note(
        f"{case}, {side}: {len(candidates)} revisions, {candidates[0].name} to {candidates[-1].name}"
    )
    step = bisection.search(candidates, bisector.passes, lambda candidate: candidate.name)
    records = bisector.compare(step)
    for path in write.write(records, bisector.folder / "step"):
        console.note(f"wrote {path}")
    verdicts = [str(cell.verdict) for cell in records.cells]
    word = "good" if verdicts[-1] == "PASS" else "bad"
    for skipped in step.skipped:
        console.out.print(
            f"maybe {skipped.name} {_commit(skipped)}: could not be tested",
            markup=False,
        )
    console.out.print(
        f"first {word}: {step.after.name} {_commit(step.after)} {step.after.date or ''}: "
        f"{' -> '.join(verdicts)} after {step.before.name}",
        markup=False,
    )
    return 0


def _commit(candidate: Revision) -> str:
    """Return the commit of a revision, or what a fork started from."""
    return candidate.commit or candidate.short_commit
