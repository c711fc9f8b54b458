"""The sections of docs/mutants.md about mutants that a program made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.cases import proposed
from harness.studies.mutation import kill_matrix
from harness.studies.mutation.kill_matrix import KillMatrix, MutantOutcome
from harness.studies.mutation.outcome import State
from harness.text import plural

COMMAND = "sdcpp study mutation"
#: The number of cases that the table of the best ones has.
_BEST = 12


def sections(matrices: Sequence[KillMatrix]) -> list[str]:
    """Return the lines of the sections, or none if there is no kill matrix."""
    if not matrices:
        return []
    lines = [
        "",
        "## Mutants made by a program",
        "",
        "A program makes the mistakes on the lines that load and apply an adapter. It changes operators, constants and",
        "conditions, deletes statements, swaps arguments, and drops entries of tables. A seed chooses some of them. A",
        "mutant that does not compile does not count, and neither does one that no picture can show. Reasons for",
        "mutants that are not noticed are in `harness/studies/mutation/reasons.toml`. *Crashed* means that cases crash",
        "or hang, and none has a wrong picture: `sdcpp verify` calls such a case worse, but the picture shows nothing.",
        "",
    ]
    for matrix in matrices:
        lines += _of_revision(matrix)
    chosen = proposed.read()
    lines += [
        "### The cases that `sdcpp verify` runs on a change",
        "",
        f"`{COMMAND} --smallest` chooses the smallest set of cases that notices every mutant that all cases notice:"
        f" {chosen.sentence}. They run first, and then the other cases that every change is put to.",
        "",
    ]
    return lines[:-1]


def headline(matrix: KillMatrix) -> str:
    """Return the sentence that counts the mutants which are noticed and those which are not."""
    counted = matrix.counted
    states = Counter(outcome.state for outcome in matrix.outcomes)
    caught = states[State.CAUGHT]
    share = f" ({100 * caught / len(counted):.0f} %)" if counted else ""
    return (
        f"{caught} of {plural(len(counted), 'mutant')}{share} are noticed, {states[State.CRASHED]} show a crash alone,"
        f" and {states[State.SURVIVED]} survive."
    )


def _of_revision(matrix: KillMatrix) -> list[str]:
    """Return the section of one revision."""
    counted = matrix.counted
    states = Counter(outcome.state for outcome in matrix.outcomes)
    always = sum(outcome.always_crashes for outcome in counted)
    first, *more = matrix.matrix.split(", then ")
    command = f"{COMMAND} --revision {matrix.revision} --seed {matrix.seed}"
    known = kill_matrix.path_of(matrix.revision, Path("results"))
    lines = [
        f"### Revision {matrix.revision}",
        "",
        f"{headline(matrix)} Of those that show a crash, {always} crash or hang in every case that ran, so that no"
        f" picture can be wrong. {_explained(matrix)}"
        f" {plural(states[State.UNBUILT], 'more mutant')} did not compile, and"
        f" {states[State.EQUIVALENT]} cannot be noticed. The mutants are a sample of the {matrix.possible} that the"
        f" generator can make.{_unreached(matrix)} {_cases(matrix)}. {_how(matrix)} {matrix.machine}.",
        "",
        "```sh",
        f"{command} --count {len(matrix.outcomes)} --matrix {first}{' --all' if matrix.every else ''}"
        f"{' --reach REACH --case PATTERN ...' if matrix.select else ''}"
        f"{f' --most {matrix.most}' if matrix.most else ''} --record",
        *(f"{command} --survivors {known.as_posix()} --matrix {name} --record" for name in more),
        *(
            f"{COMMAND} --revision {matrix.revision} --survivors {known.as_posix()} --targeted --matrix {name} --record"
            for name in matrix.targeted
        ),
        "```",
        "",
        "| kind of mistake | noticed | crashed | survived | equivalent | not compiled |",
        "|---|---|---|---|---|---|",
    ]
    kinds = sorted({_kind(outcome) for outcome in matrix.outcomes})
    columns = (State.CAUGHT, State.CRASHED, State.SURVIVED, State.EQUIVALENT, State.UNBUILT)
    for kind in kinds:
        of_kind = Counter(outcome.state for outcome in matrix.outcomes if _kind(outcome) == kind)
        lines.append(f"| {kind} | {' | '.join(str(of_kind[state]) for state in columns)} |")
    killers = Counter(case for outcome in counted for case in outcome.killers)
    best = sorted(killers.items(), key=lambda item: (-item[1], item[0]))[:_BEST]
    if best:
        what = "notices" if matrix.every else "notices first"
        lines += ["", f"| case | {what} |", "|---|---|", *(f"| `{case}` | {count} |" for case, count in best)]
    lines += _listed("Not noticed", [o for o in counted if o.state in (State.SURVIVED, State.CRASHED)])
    lines += _listed("Equivalent", [o for o in matrix.outcomes if o.state is State.EQUIVALENT])
    return [*lines, ""]


def _explained(matrix: KillMatrix) -> str:
    """Return how many of the mutants that are not noticed have a reason."""
    counts = [
        sum(bool(outcome.error) for outcome in matrix.counted if outcome.state is state)
        for state in (State.CRASHED, State.SURVIVED)
    ]
    return f"The reason is known for {counts[0]} of those that show a crash and {counts[1]} of those that survive."


def _unreached(matrix: KillMatrix) -> str:
    """Return a sentence about the mutants that no case can notice, or nothing if there are none."""
    if not matrix.unreached:
        return ""
    return (
        f" {plural(matrix.unreached, 'other mutant')} were left out, because no case reaches their line or has a name"
        " that their row is about: [coverage.md](coverage.md) lists such lines with the reasons."
    )


def _cases(matrix: KillMatrix) -> str:
    """Return what was put to the mutants."""
    count = plural(matrix.cases, "case")
    if matrix.select:
        return (
            f"They are put to {count} of the {matrix.matrix} matrix that differ in kind, names, layers or use;"
            f" results/{kill_matrix.path_of(matrix.revision).name} has the patterns"
        )
    return f"The {matrix.matrix} matrix has {count} that can be compared"


def _how(matrix: KillMatrix) -> str:
    """Return how the cases were put to the mutants."""
    how = "All cases ran on each." if matrix.every else "Cases ran until one noticed it."
    if not matrix.most:
        return how
    wider = sum(outcome.tried > matrix.most for outcome in matrix.counted)
    later = (
        " Others that were not noticed were put to the cases that `harness/studies/mutation/targeted.toml` names for"
        " them, where reading the line told which can show the mistake."
        if matrix.targeted
        else ""
    )
    return (
        f"At most {matrix.most} cases ran on each mutant, of as many kinds as possible, and on {wider} that these did"
        f" not notice more of those that reach the mistake.{later}"
    )


def _kind(outcome: MutantOutcome) -> str:
    return outcome.id.split(":")[2]


def _listed(title: str, outcomes: Iterable[MutantOutcome]) -> list[str]:
    """Return a table of mutants, or nothing if there are none."""
    rows = []
    for one in outcomes:
        reason = one.error or (
            f"{one.state}; {plural(one.pictures, 'picture')} of {plural(one.tried, 'case')} differ"
        )
        cells = (f"`{one.id}`", f"{one.mistake} in `{one.source}`", reason)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return ["", f"| {title} | mistake | why |", "|---|---|---|", *rows] if rows else []
