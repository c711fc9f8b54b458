"""Combine the records of several machines in one report, disagreements between backends first."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli import options
from harness.judging import combined, expectation
from harness.records import understood_names
from harness.reports import combined_page, combined_report, names_page, support_by_family, support_matrix
from harness.text import plural
from sdcpp import atomic_write, console
from sdcpp.errors import NotComparable, NotJudged

#: Exit status where a case is not as expected, or a picture is not the CPU's.
NOT_AS_EXPECTED = 1

EPILOG = """\
output
  FILE is a records.jsonl of sdcpp verify. The output folder gets merged.html, with pictures, and
  merged.md, which is small enough for a CI summary. A side is left out, and the reason shown, if
  its upstream source, patches or base models differ from those of the CPU's records.
  Exit status 0: every case did what is expected of it, and every picture that can be compared is
  the CPU's within its tolerance. 1: otherwise. 61: a side was left out. 63: records cannot be
  judged, because a base model makes no picture or too few cases could be judged.

examples
  sdcpp combine results/*.jsonl*                            the records that the project keeps
  sdcpp combine results/*.jsonl* --families results/families/*.jsonl* --support docs/support.md
  sdcpp combine results/families/*.jsonl* --names docs/names.md
  sdcpp combine reports/*/records.jsonl --output combined   your own records
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="records")
    options.add_output(parser, "reports/merged")
    parser.add_argument(
        "--support",
        type=Path,
        metavar="FILE",
        help="write the support matrix, which docs/support.md is, to this file",
    )
    parser.add_argument(
        "--families",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="records of the matrix families, for a section of the support matrix; they are not combined",
    )
    parser.add_argument(
        "--names",
        type=Path,
        metavar="FILE",
        help="write the page of names by model family, which docs/names.md is, to this file",
    )


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    combined_records = combined.combine(combined.read(arguments.files), expectation.load())
    for path in combined_page.write(combined_records, arguments.output):
        console.note(f"wrote {path}")
    if arguments.support:
        families = combined.combine(combined.read(arguments.families), expectation.load())
        section = support_by_family.section(families)
        atomic_write.write(arguments.support, support_matrix.page(combined_records, section))
        console.note(f"wrote {arguments.support}")
    if arguments.names:
        atomic_write.write(arguments.names, names_page.page(combined_records, understood_names.read()))
        console.note(f"wrote {arguments.names}")
    groups = combined_report.group_disagreements(combined_records)
    for group in groups[: combined_report.LINES]:
        console.out.print(combined_report.group_text(group), markup=False)
    if len(groups) > combined_report.LINES:
        rest = plural(len(groups) - combined_report.LINES, "more disagreement")
        console.out.print(f"{rest} in merged.html", markup=False)
    console.out.print(f"{combined_report.headline(combined_records)}.", markup=False)
    if combined_records.excluded:
        reasons = [
            f"{r.side_record.path} {r.side_record.state} {r.side_record.side.backend}: {r.reason}"
            for r in combined_records.excluded
        ]
        raise NotComparable(
            "records that cannot be compared were left out",
            "\n  ".join(reasons),
            "run both sides from the same state of the project (git log, revisions.toml, patches/)",
        )
    differing = any(d.pictures_differ for d in combined_records.disagreements)
    if combined_records.complaints:
        return NotJudged.exit_code
    return NOT_AS_EXPECTED if combined_records.failing or differing else 0
