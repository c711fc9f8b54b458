"""Test GGUF LoRA loading without and with the patches, or before and after a change to the source."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.cli import options, own_corpus, runs
from harness.records import compact
from harness.records.change import ChangeKind
from harness.records.record import Records
from harness.reports import before_after
from harness.reports.table import arrange
from harness.running import pool
from harness.verification import judged, proposal
from harness.verification.run import RECORDS, run_sides
from harness.verification.sides import open_block_quantiser
from sdcpp import atomic_write, console
from sdcpp.patching.patch_file import read
from sdcpp.process import cores
from sdcpp.source import revision, upstream

#: Exit status of a comparison in which a case is worse with the change than without.
REGRESSED = 5
#: The command that reports print: it needs nothing installed but nox.
COMMAND = ("nox", "-s", "verify", "--")

RESUMES = True
RENAMED = {**runs.RENAMED, "--base": ("--merge-base",), "--quick": ("--matrix", "quick")}
EPILOG = f"""\
output
  The command prints a table and writes into the output folder report.md for a pull request,
  report.html with the pictures, junit.xml for CI, records.jsonl with everything and, if a case
  fails, bugs.md with a bug report for each defect. With several --matrix each has a subfolder
  with these files, and records.jsonl has the results of all.
  A case that is worse, or that is not as expected, is run again, up to three times. If one build
  gives different results, the case is UNSTABLE: it is listed apart and fails no run.
  Exit status 0: every case did what is expected of it. 1: a case did not. 63: the run cannot be
  judged, because a base model makes no picture without an adapter or because more than a twentieth
  of the cases could not be judged. CONTRIBUTING.md lists the others.

models and LoRAs of your own
  --corpus FILE runs the cases of a list of your own in place of a matrix: docs/corpus.md. A case
  whose files are missing is UNJUDGED.

a change, yours or upstream's
  --checkout compares your checkout, with uncommitted and new files, with its merge base with
  upstream's branch. That branch is master or main of the remote of leejet/stable-diffusion.cpp,
  else of the remotes upstream and origin, else the local one; --merge-base names another. Your
  checkout is only read. With --side your checkout is instead tested without and with the patches
  of this project.
  --patch compares a revision without and with patch files.
  --upstream fetches upstream's repository into the cache and compares REF with the commit that was
  judged before on this backend: the last one that is an ancestor of REF, else the revision
  {options.REVISIONS[-1]}. --merge-base or --revision names another. A run of all cases that could be judged
  is remembered. Set SDCPP_UPSTREAM_URL to the URL or the folder of another copy of upstream.
  Both states are built and run on the same cases. If the compiler makes the same of both, no case
  is run. report.md tells what changes; paste it under "Additional Information" of your pull
  request.
  Exit status 0: no case is worse. 5: a case is worse. 31: one of the two states does not build.
  20: a patch does not apply. 60: there is nothing to compare, or no case was run. 63: the change
  cannot be judged.

examples
  sdcpp verify                                        all three revisions, with and without patches
  sdcpp verify --checkout ~/stable-diffusion.cpp      is my working tree better than its merge base?
  sdcpp verify --checkout . --merge-base HEAD~1       only the last commit and uncommitted changes
  sdcpp verify --patch fix.patch --revision 2025-12   a patch file, on a revision of your choice
  sdcpp verify --upstream                             does upstream's newest commit break anything?
  sdcpp verify --upstream pr/1836 --merge-base master what does a pull request change?
  sdcpp verify --revision 2026-05 --case 'gguf-Q*'    one revision, quantised files only
  sdcpp verify --matrix full --side pristine          everything, without the patches
  sdcpp verify --matrix full --where mode=at_runtime --where type=F16 --list
  sdcpp verify --matrix quick --matrix full --backend cuda
  sdcpp verify --corpus corpus.toml --revision 2026-07 --side pristine
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    change = parser.add_argument_group("a change, yours or upstream's")
    options.add_checkout(change, ", compared with its merge base; with --side in place of a revision")
    change.add_argument(
        "--merge-base", metavar="REF", help="compare with the merge base with REF, not with upstream's branch"
    )
    options.add_upstream(change)
    options.add_patch(change, "compare without and with these patches, in this order")
    parser.add_argument(
        "--matrix",
        choices=runs.MATRICES,
        action="append",
        default=[],
        help="core: a dozen cases that every revision can run; quick: files of the common types, and one file for each "
        "other kind of model that is cheap; full: everything on "
        "two model families; families: common adapters on small models of other families; "
        "may be repeated (default: quick; for a change with every base model and key scheme)",
    )
    own_corpus.add_option(parser)
    options.add_side(parser, default=None)
    runs.add_arguments(parser, "verify")
    parser.add_argument(
        "--compact",
        action="store_true",
        help="write the results of all matrices into one small records.jsonl, as with several --matrix",
    )
    parser.set_defaults(matrices=(), sides="both")


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    following = arguments.upstream is not None
    change = bool(arguments.patch or following or (arguments.checkout and not arguments.side))
    if following:
        _check_upstream(arguments)
    elif arguments.merge_base and not (arguments.checkout and change and not arguments.patch):
        arguments.complain("--merge-base needs --checkout or --upstream, and neither --patch nor --side")
    if arguments.checkout and arguments.revision:
        arguments.complain("--checkout and --revision name two different sources")
    if arguments.patch and arguments.side:
        arguments.complain("--side is about the patches of this project; --patch has its own two sides")
    for name in arguments.revision or ():
        revision.find(name)  # before the cases, which may be those of another revision
    if arguments.corpus:
        if arguments.matrix or arguments.compact:
            arguments.complain("--corpus has its own cases: leave out --matrix and --compact")
        own_corpus.load(arguments)
    named = arguments.matrix or arguments.matrices
    names = list(dict.fromkeys(named)) or [runs.OF_A_CHANGE if change else "quick"]
    if arguments.list:
        return own_corpus.show(arguments) if arguments.corpus else runs.list_cases(arguments, names)
    sides = () if change else options.SIDES[arguments.side or arguments.sides]
    if arguments.corpus:
        own_corpus.require_cases(arguments)
        named, selected = (), [own_corpus.NAME]
    else:
        selected = runs.require_selection(arguments, names)
    if following:
        _find_upstream(arguments)
    if arguments.compact or len(names) > 1:
        return _run_all(arguments, selected, sides)
    [name] = selected
    return _run(arguments, name, arguments.output, _command(arguments, named, sides), sides)[1]


def _check_upstream(arguments: argparse.Namespace) -> None:
    """Complain about options that contradict ``--upstream``."""
    if arguments.checkout or arguments.patch:
        arguments.complain("--upstream, --checkout and --patch name different sources")
    if arguments.side:
        arguments.complain("--side is about the patches of this project; --upstream has its own two sides")
    if len(arguments.revision or ()) + bool(arguments.merge_base) > 1:
        arguments.complain("--upstream is compared with one state: one --revision, or --merge-base")


def _find_upstream(arguments: argparse.Namespace) -> None:
    """Fetch upstream's repository, and replace the names that are given, or missing, by commits or a revision.

    All matrices are then run on the same two states, and the command in the report repeats the run later.
    """
    wanted = upstream.find(arguments.upstream)
    arguments.upstream = wanted.commit
    if arguments.merge_base:
        arguments.merge_base = upstream.merge_base(upstream.find(arguments.merge_base), wanted).commit
    elif not arguments.revision:
        if before := judged.last(wanted, arguments.backend):
            arguments.merge_base = before.commit
        else:
            arguments.revision = list(options.REVISIONS[-1:])


def _run_all(arguments: argparse.Namespace, names: Sequence[str], sides: Sequence[str]) -> int:
    """Run several matrices, each into a subfolder; write one compact file of records; return the exit status."""
    status, stages, path = 0, list[Records](), arguments.output / RECORDS
    whole = runs.shell_command(arguments, _command(arguments, names, sides))
    for name in names:
        start = time.monotonic()
        command = _command(arguments, [name], sides)
        records, stage = _run(arguments, name, arguments.output / name, command, sides)
        status = max(status, stage)
        stages.append(records)
        # The command of a compact file is that of its last run.
        compact.write([*stages[:-1], replace(records, run=replace(records.run, command=whole))], path)
        calls = sum(sum(seen.seconds.values()) for seen in records.observations.values())
        jobs = arguments.jobs or pool.worker_count(cores())[0]
        console.note(
            f"{name} matrix: {time.monotonic() - start:.0f} s, builds included; {calls:.0f} s inside the library, "
            f"shared by {jobs} workers"
        )
        console.note(f"wrote {path}")
    return status


def _command(arguments: argparse.Namespace, names: Sequence[str], sides: Sequence[str]) -> list[str]:
    """Return the command that runs matrices again, without its revisions and cases."""
    chosen = [name for name in names if name in runs.MATRICES]  # that of a change has no name to type
    command = [*COMMAND, *(word for name in chosen for word in ("--matrix", name))]
    if arguments.corpus:
        command += ["--corpus", str(arguments.corpus.resolve())]
    if len(sides) == 1 or (sides and arguments.checkout):
        command += ["--side", sides[0] if len(sides) == 1 else "both"]
    return command


def _run(
    arguments: argparse.Namespace, name: str, folder: Path, command: Sequence[str], sides: Sequence[str]
) -> tuple[Records, int]:
    """Run one matrix into a folder, on ``sides`` or, if there are none, on both states of a change.

    Returns the records and the exit status.
    """
    if not sides:
        return _compare(arguments, name, folder, command)
    return runs.run_and_report(arguments, name, command, sides, folder)


def _compare(
    arguments: argparse.Namespace, name: str, folder: Path, command: Sequence[str]
) -> tuple[Records, int]:
    """Run a matrix on both states of a change, print and write what it changes.

    Returns the records and the exit status.
    """
    atomic_write.ensure_folder(folder)
    if arguments.patch:
        wanted = options.revisions(arguments, default=options.REVISIONS[-1:])
        patches = [read(path) for path in arguments.patch]
        proposals = [proposal.of_patches(each, patches) for each in wanted]
    elif arguments.upstream:
        old = arguments.merge_base
        before = upstream.find(old) if old else revision.find(arguments.revision[0])
        proposals = [proposal.of_upstream(before, upstream.find(arguments.upstream))]
    else:
        proposals = [proposal.of_checkout(arguments.checkout, arguments.merge_base)]
    specs = [runs.run_spec(arguments, name, command, (), each.after[0].revision) for each in proposals]
    with open_block_quantiser(proposals[-1].after[0].revision, specs[-1]) as block_quantiser:
        made = [
            proposal.build_sides(each, spec, block_quantiser)
            for each, spec in zip(proposals, specs, strict=True)
        ]
        facts = {
            sides[0].side.revision: {**fact, "cases": runs.cases_run(name, sides[0])} for sides, fact in made
        }
        records = run_sides(
            [side for sides, _ in made for side in sides],
            folder,
            title=f"A change to GGUF LoRA loading, {', '.join(facts)}, {arguments.backend}",
            command=runs.shell_command(arguments, command),
            jobs=arguments.jobs,
            repeats=True,
            proposal=facts,
            expected=own_corpus.expected(arguments),
        )
    runs.report(records, folder)
    shown = arrange(records)
    became = [found for pair in before_after.pairs(shown) for found in before_after.changes(shown, pair)]
    tried = any(found.tried for found in became) or any(fact["same"] for fact in facts.values())
    if status := runs.not_judged(records, arguments.backend, tried=tried):
        return records, status
    if arguments.upstream and not (arguments.case or arguments.where or arguments.corpus):
        judged.remember(proposals[0].after[0].revision, arguments.backend)
    return records, REGRESSED if any(found.kind is ChangeKind.REGRESSED for found in became) else 0
