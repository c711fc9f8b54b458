"""Report what sdcpp verify found about a checkout to GitHub Actions.

The command reads the output folder of sdcpp verify --checkout and writes verdict.json beside its
records: a small file for sdcpp ci comment.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from harness.cli import options
from harness.cli.ci import workflow_files
from harness.records import record
from harness.reports import before_after, change_annotations, change_comment, change_verdict
from harness.reports.change_verdict import ChangeVerdict, Outcome
from harness.reports.table import ReportTable, arrange
from harness.verification.run import RECORDS
from sdcpp import atomic_write, console, git
from sdcpp.errors import Error, NothingTried
from sdcpp.source import checkout

#: The name of the file with the verdict.
VERDICT = "verdict.json"
EPILOG = """\
output
  The command prints the verdict in a sentence and, for each regressed case, an ::error command that
  GitHub shows beside a changed line. It appends report.md to the step summary (the file that
  GITHUB_STEP_SUMMARY names) and sets the outputs (GITHUB_OUTPUT):
    fixed, regressed, unjudged     numbers of cases; empty if the outcome is failed
    outcome                        judged, not judged, nothing to compare or failed
  Exit status: 0 if there is nothing to compare, because the checkout does not differ from its
  base; otherwise that of verify.

examples
  sdcpp verify --checkout . --merge-base HEAD^1 --output out; \\
    sdcpp ci report out --checkout . --merge-base HEAD^1 --status $?
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="the output folder of verify")
    options.add_checkout(parser, "; the one that verify got")
    parser.add_argument("--merge-base", metavar="REF", help="the one that verify got")
    parser.add_argument(
        "--status", type=int, default=0, metavar="N", help="the exit status of verify (default: 0)"
    )


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if not arguments.checkout:
        arguments.complain("--checkout is required")
    path = arguments.folder / RECORDS
    table = arrange(record.read(path)) if path.is_file() else None
    verdict = _verdict(arguments, table)
    atomic_write.write(arguments.folder / VERDICT, change_verdict.to_json(verdict))
    console.out.print(f"{change_comment.headline(verdict)}.", markup=False, soft_wrap=True)
    if table:
        for command in _annotations(arguments, table):
            console.out.print(command, markup=False, soft_wrap=True)
    report = arguments.folder / "report.md"
    whole = report.read_text(encoding="utf-8") if table and report.is_file() else ""
    workflow_files.add_summary(whole or f"{change_comment.headline(verdict)}.\n")
    workflow_files.set_outputs(_outputs(verdict))
    return 0 if verdict.outcome is Outcome.NOTHING else int(arguments.status)


def _verdict(arguments: argparse.Namespace, table: ReportTable | None) -> ChangeVerdict:
    if table:
        return change_verdict.of_table(table, arguments.status)
    unchanged = arguments.status == NothingTried.exit_code and _is_unchanged(arguments)
    return ChangeVerdict(outcome=Outcome.NOTHING if unchanged else Outcome.FAILED, status=arguments.status)


def _is_unchanged(arguments: argparse.Namespace) -> bool:
    """Tell whether the checkout does not differ from its base; verify has the same exit status for other reasons."""
    try:
        checkout.compare(arguments.checkout, arguments.merge_base)
    except NothingTried:
        return True
    except Error:  # verify has said it
        return False
    return False


def _annotations(arguments: argparse.Namespace, table: ReportTable) -> Iterator[str]:
    """Yield the annotations of the regressed cases on the lines that differ from the base."""
    [facts] = table.records.run.proposal.values()
    base = str(facts["before"]).partition(" ")[0]
    words = ("--no-color", "--no-ext-diff", "--no-renames", "--unified=0")
    diff = git.query(arguments.checkout, "diff", *words, base, "--")
    changed = change_annotations.first_lines(diff.output if diff.status == 0 else "")
    for pair in before_after.pairs(table):
        yield from change_annotations.render(before_after.changes(table, pair), changed)


def _outputs(verdict: ChangeVerdict) -> dict[str, str]:
    counts = {"fixed": verdict.fixed, "regressed": verdict.regressed, "unjudged": verdict.unjudged}
    counted = verdict.outcome is not Outcome.FAILED
    return {
        "outcome": str(verdict.outcome),
        **{name: str(count) if counted else "" for name, count in counts.items()},
    }
