"""``sdcpp bisect``: which revision broke a case, or mended it?"""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cases import core
from harness.cli import options
from harness.reports import write
from harness.studies import bisection
from sdcpp import console

RESUMES = True
EPILOG = f"""\
what comes out
  The first bad revision (the first good one, where --bad is the older end) on standard output, and the report of
  the step from the revision before it in the output folder. What cannot be built is passed over; if the change may
  be in such a one, all that are possible are printed. A killed search is taken up where it ended.

cases
  {", ".join(core.CORE_CASES)}
  Append @at_runtime for that mode; @immediately is the default.

examples
  sdcpp bisect --case rank-1 --bad 0.2.3 --good 0.2.6                 which sdist of the registry mended rank 1?
  sdcpp bisect --case missing-file --good 0.3.7 --bad 0.3.8
  sdcpp bisect --case gguf-Q8_0 --source ~/stable-diffusion.cpp --good v1 --bad HEAD     over your own commits
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--case", required=True, metavar="NAME[@MODE]", type=_case, help="see below")
    parser.add_argument("--good", required=True, metavar="REV", help="a revision on which it passes")
    parser.add_argument("--bad", required=True, metavar="REV", help="a revision on which it does not")
    parser.add_argument(
        "--source",
        type=Path,
        metavar="DIR",
        help="a git checkout of your own: REV are commits of it, searched along first parents",
    )
    parser.add_argument("--patched", action="store_true", help="with the patches instead of without")
    options.add_output(parser, "reports/bisect")


def _case(text: str) -> str:
    name, at, mode = text.partition("@")
    if name not in core.CORE_CASES or (at and mode not in ("immediately", "at_runtime")):
        raise argparse.ArgumentTypeError(f"{text!r} is no case: one of {', '.join(core.CORE_CASES)}")
    return f"{name}@{mode or 'immediately'}"


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    case, good, bad = arguments.case, arguments.good, arguments.bad
    candidates = (
        bisection.commits(arguments.source, good, bad) if arguments.source else bisection.named(good, bad)
    )
    side = "patched" if arguments.patched else "pristine"
    command = ["sdcpp", "bisect", "--good", good, "--bad", bad]
    command += ["--source", str(arguments.source)] if arguments.source else []
    command += ["--patched"] if arguments.patched else []
    folder = arguments.output / f"{case}-{side}"
    examiner = bisection.CaseBisector(case=case, side=side, folder=folder, command=command)
    console.note(
        f"{case}, {side}: {len(candidates)} revisions, {candidates[0].name} to {candidates[-1].name}"
    )
    step = bisection.search(candidates, examiner.passes, lambda one: one.name)
    records = examiner.compare(step)
    for path in write.write(records, examiner.folder / "step"):
        console.note(f"wrote {path}")
    verdicts = [str(cell.verdict) for cell in records.cells]
    word = "good" if verdicts[-1] == "PASS" else "bad"
    for one in step.skipped:
        console.out.print(f"maybe {one.name} {one.commit}: could not be asked", markup=False)
    console.out.print(
        f"first {word}: {step.after.name} {step.after.commit} {step.after.date or ''}: "
        f"{' -> '.join(verdicts)} after {step.before.name}",
        markup=False,
    )
    return 0
