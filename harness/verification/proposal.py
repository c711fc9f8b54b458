"""A proposed change: the source before and after it, both built, and a description for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import MODES, select
from harness.cases.matrix import BlockQuantiser
from harness.text import plural
from harness.verification.sides import RunSpec, build_under_test, revision_arguments
from sdcpp import console
from sdcpp.building import build
from sdcpp.errors import BuildFailed, NothingTried
from sdcpp.patching import series
from sdcpp.patching.patch_file import Patch, hunks
from sdcpp.patching.series import State
from sdcpp.source import checkout, workspace
from sdcpp.source.checkout import Checkout
from sdcpp.source.revision import Revision
from sdcpp.source.workspace import Tree

BEFORE, AFTER = "before", "after"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Two states of a source, ``before`` and ``after`` a change: each a tree and the patches to apply to it.

    ``again`` has the arguments of ``sdcpp verify`` that name the change. ``facts`` describe it:

    - "before" and "after": a description of each state;
    - "commits": the commits or patches of the change as (id, subject), the newest first;
    - "uncommitted": the names of files with uncommitted changes;
    - "files": the changed files as (name, lines added, lines removed); the numbers are None for a binary file.
    """

    before: tuple[Tree, Sequence[Patch]]
    after: tuple[Tree, Sequence[Patch]]
    again: Sequence[str]
    facts: Mapping[str, Any]


def of_checkout(folder: Path, base: str | None = None) -> Proposal:
    """Return the change of a checkout since its merge base; raises what ``sdcpp.source.checkout.compare`` raises."""
    found: Checkout = checkout.compare(folder, base)
    head = found.commits[0] if found.commits else found.base
    work = f" and uncommitted work in {plural(len(found.uncommitted), 'file')}" if found.uncommitted else ""
    return Proposal(
        before=(found.before, ()),
        after=(found.after, ()),
        again=("--checkout", str(folder), *(("--merge-base", base) if base else ())),
        facts={
            "before": f"{found.base}: merge base with {found.upstream}",
            "after": f"{head}{work}",
            "commits": [[commit.id, commit.subject] for commit in found.commits],
            "uncommitted": list(found.uncommitted),
            "files": [list(file) for file in found.files],
        },
    )


def of_patches(wanted: Revision, patches: Sequence[Patch]) -> Proposal:
    """Return the change that patch files make to a revision.

    Raises PatchConflict, with the hunk, for a patch that does not apply, and NothingTried if no patch changes anything.
    """
    tree = workspace.workspace(wanted)
    states = series.states(tree, patches)
    for state in states:
        console.note(f"   patch {state.patch.name}: {state.state.value} {state.detail}".rstrip())
    applied = series.patches_to_apply(states)
    if not applied:
        why = "; ".join(f"{state.patch.name}: {state.state.value}, {state.detail}" for state in states)
        raise NothingTried(f"nothing to compare on {wanted.name}", why, "choose another --revision")
    for state in states:
        if state.state is State.CONFLICTS:
            raise series.conflict_error(tree, state.patch, state.detail)
    origin = f"{wanted.title} ({wanted.name})"
    return Proposal(
        before=(tree, ()),
        after=(tree, applied),
        again=(
            *(word for patch in patches for word in ("--patch", str(patch.path))),
            *revision_arguments(wanted),
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


def build_sides(
    proposal: Proposal, spec: RunSpec, block_quantiser: BlockQuantiser
) -> tuple[list[BuildUnderTest], Mapping[str, Any]]:
    """Build both states. Return them as sides with the spec's cases, and the facts of the proposal with "same" added.

    "same" is the number of cases that need not run, because both libraries are identical: a change to documents or to
    white space makes no difference to the compiler. The sides then have no cases. Otherwise "same" is 0.
    Raises BuildFailed, which says in which state, and NothingTried if no case is selected.
    """
    generation = proposal.before[0].lora_api
    if not select(spec.matrix.cases(generation, MODES, block_quantiser), spec.select, spec.where):
        raise NothingTried(
            "no case is selected", ", ".join(spec.select), "give another --case; --list shows the cases"
        )
    found: list[BuildUnderTest] = []
    for label, (tree, patches) in ((BEFORE, proposal.before), (AFTER, proposal.after)):
        console.note(f"== {label}: {proposal.facts[label]}")
        try:
            made = build.build(tree, patches, spec.backend, options=spec.options)
        except BuildFailed as error:
            where = "with the change" if label == AFTER else "the base, without the change"
            raise BuildFailed(f"{error.what} {where}", error.subject, error.remedy) from error
        again = spec.rerun_command(*proposal.again)
        lacks = dict(tree.revision.lacks)
        side = build_under_test(
            made, label, spec, block_quantiser, patched=label == AFTER, again=again, lacks=lacks
        )
        found.append(replace(side, baseline=f"{tree.revision.name} {BEFORE}"))
    contents = {side.build.record.get("content") for side in found}
    same = len(found[0].cases) if len(contents) == 1 and None not in contents else 0
    if same:
        console.note(f"   both libraries are identical: {plural(same, 'case')} need not run")
        found = [replace(side, cases=()) for side in found]
    return found, {**proposal.facts, "same": same}
