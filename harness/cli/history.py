"""``sdcpp history``: the core cases on every revision in the registry, and what each revision broke or mended."""

from __future__ import annotations

import argparse

from harness.cli import options
from harness.studies.history import lines, page, run, survey
from sdcpp import console
from sdcpp.source import revision

RESUMES = True
EPILOG = """\
what comes out
  One small file a revision in results/history/, and with --docs docs/history.md and docs/history.svg made of all
  of them. A revision that has its file is not run again; a killed run is taken up where it ended. Afterwards the
  revision's tree and builds are removed, its download stays. The registry's 37 sdists hold 30 upstream commits;
  the last sdist of each stands for it. From nothing one takes a few minutes on two cores.

examples
  sdcpp history --list                       the revisions, newest first, and which have been run
  sdcpp history --revision 0.2.9             one revision
  sdcpp history --revision 0.2.9 --select 'gguf-*'      some cases, without a record
  sdcpp history --revision 0.2.9 --again     the same again, whether it has a record or not
  sdcpp history                              all that have no record yet, newest first
  sdcpp history --survey                     what can be said of all 37 without building them
  sdcpp history --docs                       the page and its chart, from the records; runs nothing
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
        help="of all sdists, without a build: how each is called, proved by the compiler, and the patches' states",
    )
    which.add_argument("--docs", action="store_true", help="write the page of the records and stop")
    parser.add_argument(
        "--select",
        action="append",
        default=[],
        metavar="PATTERN",
        help="only cases whose name or name@mode fits this shell wildcard: shows the verdicts, keeps no record",
    )
    parser.add_argument("--again", action="store_true", help="run those that have a record, too")
    parser.add_argument("--keep", action="store_true", help="leave trees, builds and pictures where they are")
    parser.add_argument("--limit", type=int, metavar="N", help="stop after N revisions")
    options.add_output(parser, "reports/history")
    options.add_workers(parser)


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    rows = run.load()
    groups = run.commits(revision.load())
    if arguments.docs:
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
            console.out.print(f"{one.name:8} {one.date} {(one.commit or '')[:10]}  {state}", markup=False)
        return 0
    if arguments.select:
        for one in wanted:
            row = run.run(
                one, arguments.output / f"{one.name}-some", jobs=arguments.jobs, select=arguments.select
            )
            for line in lines.row_verdicts(row):
                console.out.print(line, markup=False)
        return 0
    if not arguments.again:
        there = [one.name for one in wanted if one.name in rows]
        wanted = [one for one in wanted if one.name not in rows]
        if there:
            console.note(f"have a record, --again runs them again: {', '.join(there)}")
    for row in run.run_all(
        wanted[: arguments.limit], arguments.output, keep=arguments.keep, jobs=arguments.jobs
    ):
        console.out.print(lines.row_summary(row), markup=False)
    return 0
