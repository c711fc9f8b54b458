"""Run the core cases on every revision in the registry, to see what each revision broke or fixed."""

from __future__ import annotations

import argparse

from harness.cli import options
from harness.studies.history import lines, page, run, survey
from sdcpp import console
from sdcpp.errors import NotJudged
from sdcpp.source import revision

RESUMES = True
RENAMED = {"--select": ("--case",), "--again": ("--restart",), "--docs": ("--write-docs",)}
EPILOG = """\
output
  Each revision gets a small file in results/history/. --write-docs makes docs/history.md and
  docs/history.svg from these files. A revision that has its file is not run again. After a run
  the tree and the builds of the revision are removed; its download is kept. The registry's 37
  sdists hold 30 upstream commits; the last sdist of each commit is run. A revision takes a few
  minutes on two cores.
  Exit status 0: every revision that was run is recorded. 63: one cannot be judged, because its
  base model makes no picture; its record says so.

examples
  sdcpp history --list                           the revisions, and whether each has been run
  sdcpp history                                  all without a record, newest first
  sdcpp history --revision 0.2.9 --restart       one revision again, even if it has a record
  sdcpp history --revision 0.2.9 --case 'gguf-*' some cases, without a record
  sdcpp history --survey                         what all 37 sdists tell without being built
  sdcpp history --write-docs                     write the page from the records; run nothing
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--revision", action="append", metavar="NAME", help="default: one for each upstream commit"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--list", action="store_true", help="print the revisions and stop")
    which.add_argument(
        "--survey",
        action="store_true",
        help="for all sdists, without a build: the API that each has, checked by the compiler, and which patches apply",
    )
    which.add_argument("--write-docs", action="store_true", help="write the page from the records and stop")
    options.add_case(parser, "show the verdicts and keep no record, only for cases")
    parser.add_argument("--restart", action="store_true", help="also run revisions that have a record")
    parser.add_argument("--keep", action="store_true", help="remove no trees, builds and pictures")
    parser.add_argument("--limit", type=options.positive, metavar="N", help="stop after N revisions")
    options.add_output(parser, "reports/history")
    options.add_workers(parser)


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    rows = run.load()
    groups = run.commits(revision.load())
    if arguments.write_docs:
        for path in page.write(rows, groups, survey.load()):
            console.note(f"wrote {path}")
        return 0
    if arguments.survey:
        everything = [one for group in groups for one in group]
        for entry in survey.survey(everything, keep=arguments.keep):
            console.out.print(lines.survey_line(entry), markup=False)
        return 0
    wanted = [revision.find(name) for name in arguments.revision or ()] or run.representatives()
    if arguments.list:
        for one in wanted:
            row = rows.get(one.name)
            state = "not run" if row is None else "failed" if row.failed else f"run {row.date}"
            console.out.print(f"{one.name:8} {one.date} {one.short_commit:17}  {state}", markup=False)
        return 0
    unjudged = False
    if arguments.case:
        for one in wanted:
            row = run.run(
                one, arguments.output / f"{one.name}-some", jobs=arguments.jobs, select=arguments.case
            )
            unjudged = unjudged or bool(row.complaints)
            for line in lines.row_verdicts(row):
                console.out.print(line, markup=False)
        return NotJudged.exit_code if unjudged else 0
    if not arguments.restart:
        there = [one.name for one in wanted if one.name in rows]
        wanted = [one for one in wanted if one.name not in rows]
        if there:
            console.note(f"have a record; --restart runs them again: {', '.join(there)}")
    for row in run.run_all(
        wanted[: arguments.limit], arguments.output, keep=arguments.keep, jobs=arguments.jobs
    ):
        unjudged = unjudged or bool(row.complaints)
        console.out.print(lines.row_summary(row), markup=False)
    return NotJudged.exit_code if unjudged else 0
