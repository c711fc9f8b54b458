"""``sdcpp merge``: records of many machines in one table, disagreement between backends first."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.judging import combined, expectation
from harness.reports import combined_report, support_matrix
from sdcpp import atomic_write, console
from sdcpp.errors import NotComparable

#: Exit status where a case is not as expected, or a picture is not the CPU's.
NOT_AS_EXPECTED = 1

EPILOG = """\
what comes out
  In the output folder merged.html (with pictures) and merged.md (under 1 MiB, for a CI summary). A file of records is
  what verify, matrix and regress write. Sides whose upstream source, patches or base models differ from those of the
  CPU's run are left out, with the reason. Exit status 0: everything is as the expectations say, and every picture that
  can be compared is the CPU's within its tolerance. 1: something is not. 61: something was left out.

examples
  sdcpp merge results/*.jsonl*                          the records that the project keeps
  sdcpp merge results/*.jsonl* --support docs/support.md
  sdcpp merge reports/*/records.jsonl --output joined   your own
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--output", type=Path, default=Path("reports/merged"), metavar="DIR")
    parser.add_argument(
        "--support",
        type=Path,
        metavar="FILE",
        help="write the measured support matrix, as docs/support.md is",
    )


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    joined = combined.combine(combined.read(arguments.files), expectation.load())
    for path in combined_report.write(joined, arguments.output):
        console.note(f"wrote {path}")
    if arguments.support:
        atomic_write.write(arguments.support, support_matrix.page(joined))
        console.note(f"wrote {arguments.support}")
    differing = combined_report.disagreements(joined)
    for one in differing[: combined_report.LINES]:
        console.out.print(combined_report.line(one), markup=False)
    if len(differing) > combined_report.LINES:
        console.out.print(f"{len(differing) - combined_report.LINES} more in merged.html", markup=False)
    console.out.print(f"{combined_report.sentence(joined)}.", markup=False)
    if joined.refused:
        reasons = [
            f"{r.side_record.path} {r.side_record.state} {r.side_record.side.backend}: {r.reason}"
            for r in joined.refused
        ]
        raise NotComparable(
            "records that cannot be compared were left out",
            "\n  ".join(reasons),
            "run both sides from the same state of the project (git log, revisions.toml, patches/)",
        )
    return NOT_AS_EXPECTED if joined.failing or any(d.pictures_differ for d in joined.disagreements) else 0
