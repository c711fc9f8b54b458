"""A change that somebody proposes: both states of the source built, and what the change is, for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.case import MODES, select
from harness.matrix import Maker
from harness.report.words import plural
from harness.verify import Contender, Question, contender, naming
from sdcpp import build, checkout, console, series, source
from sdcpp.checkout import Checkout
from sdcpp.errors import BuildFailed, NothingTried
from sdcpp.patch import Patch, hunks
from sdcpp.revision import Revision
from sdcpp.series import State
from sdcpp.source import Tree

BEFORE, AFTER = "before", "after"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Two states of one workspace, ``before`` and ``after``: trees, each with patches on it.

    ``again`` are the words of the command line that propose it again. ``facts`` say in text what it is:

    - "before" and "after": which state that is;
    - "commits": what it consists of, as (id, subject), the newest first;
    - "uncommitted": files with work that is in no commit;
    - "files": all it changes, as (name, lines added, lines removed), None for a binary file.
    """

    before: tuple[Tree, Sequence[Patch]]
    after: tuple[Tree, Sequence[Patch]]
    again: Sequence[str]
    facts: Mapping[str, Any]


def of_checkout(folder: Path, base: str | None = None) -> Proposal:
    """Return what a checkout changes; raises what ``sdcpp.checkout.compare`` does."""
    found: Checkout = checkout.compare(folder, base)
    head = found.commits[0] if found.commits else found.base
    work = f" and uncommitted work in {plural(len(found.uncommitted), 'file')}" if found.uncommitted else ""
    return Proposal(
        before=(found.before, ()),
        after=(found.after, ()),
        again=("--source", str(folder), *(("--base", base) if base else ())),
        facts={
            "before": f"{found.base}: merge base with {found.upstream}",
            "after": f"{head}{work}",
            "commits": [[commit.id, commit.subject] for commit in found.commits],
            "uncommitted": list(found.uncommitted),
            "files": [list(file) for file in found.files],
        },
    )


def of_patches(wanted: Revision, patches: Sequence[Patch]) -> Proposal:
    """Return what patch files change in a revision.

    Raises PatchConflict, with the hunk, for one that does not apply, and NothingTried if none changes anything.
    """
    tree = source.workspace(wanted)
    states = series.states(tree, patches)
    for state in states:
        console.note(f"   patch {state.patch.name}: {state.state.value} {state.detail}".rstrip())
    applied = series.needed(states)
    if not applied:
        why = "; ".join(f"{state.patch.name}: {state.state.value}, {state.detail}" for state in states)
        raise NothingTried(f"nothing to compare on {wanted.name}", why, "choose another --revision")
    for state in states:
        if state.state is State.CONFLICTS:
            raise series.conflict(tree, state.patch, state.detail)
    origin = f"upstream {wanted.tag or wanted.commit or 'source'} ({wanted.name})"
    return Proposal(
        before=(tree, ()),
        after=(tree, applied),
        again=(
            *(word for patch in patches for word in ("--patch", str(patch.path))),
            *naming(wanted),
        ),
        facts={
            "before": origin,
            "after": f"with {', '.join(patch.path.name for patch in applied)}",
            "commits": [[patch.sha256, patch.subject] for patch in applied],
            "uncommitted": [],
            "files": _counts(applied),
        },
    )


def _counts(patches: Sequence[Patch]) -> list[list[Any]]:
    counts: dict[str, list[Any]] = {}
    for patch in patches:
        for name in patch.files:
            counts.setdefault(name, [name, 0, 0])
        for hunk in hunks(patch.diff.decode("utf-8", "replace")):
            entry = counts[hunk.file]
            entry[1] += sum(line.startswith("+") for line in hunk.text.split("\n"))
            entry[2] += sum(line.startswith("-") for line in hunk.text.split("\n"))
    return list(counts.values())


def contend(
    proposal: Proposal, question: Question, maker: Maker
) -> tuple[list[Contender], Mapping[str, Any]]:
    """Build both states; return them as sides with the question's cases, and the facts with what building adds:

    "same", the number of cases that need not be run, because the compiler makes the same of both states, as it does
    of a change to documents or to the width of a space. No case can tell such libraries apart, so the sides have none.
    Raises BuildFailed, which says in which state, and NothingTried where no case is selected.
    """
    generation = proposal.before[0].lora_api
    if not select(question.matrix.cases(generation, MODES, maker), question.select, question.where):
        raise NothingTried(
            "no case is selected", ", ".join(question.select), "widen --select; --list shows the cases"
        )
    found: list[Contender] = []
    for label, (tree, patches) in ((BEFORE, proposal.before), (AFTER, proposal.after)):
        console.note(f"== {label}: {proposal.facts[label]}")
        try:
            made = build.build(tree, patches, question.backend, options=question.options)
        except BuildFailed as error:
            where = "with the change" if label == AFTER else "the base, without the change"
            raise BuildFailed(f"{error.what} {where}", error.subject, error.remedy) from error
        again = question.again(*proposal.again)
        side = contender(made, label, question, maker, patched=label == AFTER, again=again)
        found.append(replace(side, baseline=f"{tree.revision.name} {BEFORE}"))
    contents = {side.build.record.get("content") for side in found}
    same = len(found[0].cases) if len(contents) == 1 and None not in contents else 0
    if same:
        console.note(f"   the compiler makes the same of both: {same} cases need no run")
        found = [replace(side, cases=()) for side in found]
    return found, {**proposal.facts, "same": same}
