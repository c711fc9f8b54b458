"""Make mistakes in the library by program, and see which cases notice each."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import select
from harness.cases.proposed import case_id
from harness.cli import options
from harness.studies.coverage import reach
from harness.studies.mutation import generated, kill_matrix, page, smallest, targeted
from harness.studies.mutation.kill_matrix import KillMatrix
from harness.studies.mutation.outcome import State
from harness.studies.mutation.relevance import Relevance
from harness.studies.mutation.study import Study
from harness.studies.mutation.worker import MATRICES, Task
from harness.text import plural
from harness.verification.run import machine
from sdcpp import console, project
from sdcpp.errors import NothingTried
from sdcpp.process import cores
from sdcpp.source import revision

#: Exit status of a run in which a mutant was not noticed.
NOT_NOTICED = 3

RENAMED: dict[str, tuple[str, ...]] = {}
RESUMES = True
EPILOG = """\
output
  The generator makes mutants of the code that loads and applies adapters: it changes operators,
  constants and conditions, deletes statements, swaps arguments and drops entries of tables. A seed
  chooses some of them. Each is built and put to the cases of a matrix until a case notices it, or
  with --all to all cases. A mutant that does not compile does not count.
  The output folder keeps a line for each mutant; mutants in it are not tried again. At the end it
  has kill-matrix-REVISION.json, and with --record results/ has this file, too. --smallest writes
  from those in results/ harness/cases/proposed_cases.json, the cases that sdcpp verify runs on a
  change, and docs/mutants.md.
  Exit status 0: every mutant is noticed. 3: otherwise. A crash alone does not count as noticed.

examples
  sdcpp study mutation --count 300 --seed 1 --builds 16     300 mutants of 2026-07, 16 at a time
  sdcpp study mutation --count 300 --matrix full --all      which case notices which mutant?
  sdcpp study mutation --survivors reports/mutation/kill-matrix-2026-07.json --output reports/more
                                                            what the full matrix sees of the rest
  sdcpp study mutation --survivors results/kill-matrix-2026-07.json --targeted --record
                                                            the rest, each on the cases named for it
  sdcpp study coverage --reach --matrix full --revision 2026-07 --output reports
  sdcpp study mutation --reach reports/reach-2026-07.json --all --most 16
                                                            at most 16 cases that reach the mistake
  sdcpp study mutation --list --count 20                    print mutants, try none
  sdcpp study mutation --smallest                           choose the cases of a change anew
  on a machine without network, with the file that the first command writes:
  sdcpp bundle --backend cpu --revision 2026-07 --output mutation.pyz
  python3 mutation.pyz study mutation --count 300 --builds 32 --output mutation
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--revision", default=options.REVISIONS[-1], metavar="NAME", help="default: %(default)s"
    )
    parser.add_argument(
        "--count", type=options.positive, default=300, metavar="N", help="mutants (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="chooses the mutants (default: %(default)s)")
    parser.add_argument(
        "--reach",
        type=Path,
        metavar="FILE",
        help="only mutants of lines that a case reaches, and on each only these cases, from the file that"
        " sdcpp study coverage --reach writes for the same cases",
    )
    parser.add_argument(
        "--most",
        type=options.positive,
        metavar="N",
        help="with --reach: at most so many cases on each mutant, of as many kinds as possible",
    )
    parser.add_argument(
        "--mutant", action="append", default=[], metavar="ID", help="only this mutant; may be repeated"
    )
    parser.add_argument(
        "--survivors",
        type=Path,
        metavar="FILE",
        help="only the mutants that no case notices in this kill matrix, whose other mutants are kept",
    )
    parser.add_argument(
        "--targeted",
        action="store_true",
        help="with --survivors: only those mutants that harness/studies/mutation/targeted.toml names, each on its"
        " cases of the matrix; with --mutant, only these",
    )
    parser.add_argument("--matrix", choices=sorted(MATRICES), default="full", help="default: %(default)s")
    options.add_case(parser)
    parser.add_argument("--all", action="store_true", help="run all cases on each mutant: the kill matrix")
    parser.add_argument(
        "--builds",
        type=options.positive,
        default=cores(),
        metavar="N",
        help="mutants at a time (default: one per core)",
    )
    options.add_workers(parser, "2 for each mutant")
    options.add_output(parser, "reports/mutation", "; an interrupted run goes on from the outcomes in it")
    parser.add_argument(
        "--list", action="store_true", help="print the mutants and stop; builds the library once"
    )
    parser.add_argument("--record", action="store_true", help="also write results/kill-matrix-REVISION.json")
    parser.add_argument(
        "--smallest",
        action="store_true",
        help="try nothing; choose the smallest set of cases from the kill matrices in results/",
    )


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.record or arguments.smallest:
        project.checkout()
    if arguments.smallest:
        return _smallest()
    study = Study(
        revision=revision.find(arguments.revision),
        matrix=arguments.matrix,
        folder=arguments.output,
        builds=arguments.builds,
        jobs=arguments.jobs or 2,
        every=arguments.all,
    )
    if arguments.targeted and not arguments.survivors:
        arguments.complain("--targeted needs --survivors FILE")
    earlier = kill_matrix.read(arguments.survivors) if arguments.survivors else None
    targets = targeted.read(arguments.matrix) if arguments.targeted else {}
    if earlier:
        ids = [outcome.id for outcome in earlier.survivors if not arguments.targeted or outcome.id in targets]
        arguments.mutant = _only(ids, arguments.mutant) if arguments.targeted else arguments.mutant + ids
    prepared = study.prepare()

    def selected(under: BuildUnderTest) -> BuildUnderTest:
        cases = select(under.cases, arguments.case)
        if targets:
            patterns = [pattern for mutant in arguments.mutant for pattern in targets[mutant]]
            ids = set(targeted.matching(patterns, map(case_id, cases)))
            cases = [case for case in cases if case_id(case) in ids]
        return replace(under, cases=cases)

    made = prepared.mutants()
    possible = made
    task: Callable[[generated.GeneratedMutant], Task] = Task.of_whole_matrix
    if arguments.reach:
        known = Relevance(selected(study.under_test(prepared)).supported, reach.read(arguments.reach))
        task = partial(known.task, most=arguments.most)
        possible = [mutant for mutant in made if known.of(mutant)]
    if targets:
        ids = [case_id(case) for case in selected(study.under_test(prepared)).supported]
        task = partial(_targeted_task, targets=targets, cases=ids)
    chosen = _chosen(arguments, possible)
    if arguments.list:
        for mutant in chosen:
            console.out.print(f"{mutant.id:72} {mutant.file}:{mutant.line}: {mutant.mistake}", markup=False)
        return 0
    plain = study.plain(prepared, selected)
    outcomes = study.run(prepared, plain, chosen, task)
    matrix = KillMatrix(
        revision=arguments.revision,
        matrix=arguments.matrix,
        every=arguments.all,
        seed=arguments.seed,
        possible=len(possible),
        cases=len(plain.seen),
        machine=f"{machine()['processor']}, {plural(cores(), 'core')}",
        outcomes=tuple(outcomes),
        unreached=len(made) - len(possible),
        select=tuple(arguments.case),
        most=arguments.most or 0,
        targeted=(arguments.matrix,) if targets else (),
    ).with_reasons(generated.reasons())
    if earlier:
        matrix = earlier.continued(matrix)
    paths = [arguments.output / kill_matrix.path_of(matrix.revision).name]
    paths += [kill_matrix.path_of(matrix.revision)] if arguments.record else []
    for path in paths:
        console.note(f"wrote {kill_matrix.write(matrix, path)}")
    return _report(matrix)


def _only(ids: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Return the ids that are wanted, or all of them if none is named; raises NothingTried if none is left."""
    found = [mutant for mutant in ids if not wanted or mutant in wanted]
    if not found:
        raise NothingTried(
            "no mutant that survives has cases of its own", targeted.PATH, "add its id and its cases"
        )
    return found


def _targeted_task(
    mutant: generated.GeneratedMutant, *, targets: Mapping[str, Sequence[str]], cases: Sequence[str]
) -> Task:
    return Task(mutant=mutant, cases=targeted.matching(targets[mutant.id], cases))


def _chosen(
    arguments: argparse.Namespace, possible: Sequence[generated.GeneratedMutant]
) -> list[generated.GeneratedMutant]:
    """Return the mutants that the options name, or those that the seed chooses; raises NothingTried.

    Survivors of an earlier run that this run has no mutants or no cases for are left out.
    """
    if not arguments.mutant:
        return generated.sample(possible, arguments.count, arguments.seed)
    chosen = [mutant for mutant in possible if mutant.id in arguments.mutant]
    missing = set(arguments.mutant) - {mutant.id for mutant in chosen}
    if missing and not (chosen and arguments.survivors):
        raise NothingTried("no mutant has this id", ", ".join(sorted(missing)), "--list shows the mutants")
    for mutant in sorted(missing):
        console.note(f"left out, because its line has changed or no case reaches it: {mutant}")
    return chosen


def _report(matrix: KillMatrix) -> int:
    """Print what came of the mutants and return the exit status."""
    states = Counter(outcome.state for outcome in matrix.outcomes)
    for outcome in matrix.counted:
        if outcome.state is not State.CAUGHT:
            place = f"{outcome.file}:{outcome.line} {outcome.function}"
            console.out.print(f"{outcome.state}: {outcome.id} {place}: {outcome.mistake}", markup=False)
    counts = ", ".join(f"{count} {state}" for state, count in states.most_common())
    console.out.print(f"{plural(len(matrix.outcomes), 'mutant')}: {counts}", markup=False)
    return 0 if all(outcome.state is State.CAUGHT for outcome in matrix.counted) else NOT_NOTICED


def _smallest() -> int:
    matrices = kill_matrix.read_all(generated.reasons())
    if not matrices:
        raise NothingTried(
            "there is no kill matrix", kill_matrix.FOLDER, "run `sdcpp study mutation --record`"
        )
    for path in (smallest.write(matrices), *page.write()):
        console.note(f"wrote {path}")
    return 0
