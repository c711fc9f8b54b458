"""A proposed change: the source before and after it, both built, and a description for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.cases.build_under_test import BuildUnderTest
from harness.cases.case import MODES, select
from harness.cases.fixture import BlockQuantiser
from harness.text import plural
from harness.verification.sides import RunSpec, build_under_test, revision_arguments
from sdcpp import console
from sdcpp.building import build
from sdcpp.errors import BuildFailed, NothingTried
from sdcpp.patching.patch_file import Patch, hunks
from sdcpp.patching.state import State, conflict_error, find_states, patches_to_apply
from sdcpp.source import checkout, upstream, workspace
from sdcpp.source.checkout import Checkout
from sdcpp.source.revision import Mirrored, Revision
from sdcpp.source.workspace import Tree

BEFORE, AFTER = "before", "after"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Two states of a source, ``before`` and ``after`` a change: each a tree and the patches to apply to it.

    ``name`` is the name of the source, and ``labels`` are those of the states in tables. ``again`` has the arguments of
    ``sdcpp verify`` that name the change. ``facts`` describe it:

    - "before" and "after": a description of each state;
    - "commits": the commits or patches of the change as (id, subject), the newest first;
    - "uncommitted": the names of files with uncommitted changes;
    - "files": the changed files as (name, lines added, lines removed); the numbers are None for a binary file.

    For a change of upstream's repository, "compare" is the address of a page that shows it, or "", and "bisect" has the
    arguments of the command that finds the commit that broke a case.
    """

    before: tuple[Tree, Sequence[Patch]]
    after: tuple[Tree, Sequence[Patch]]
    name: str
    again: Sequence[str]
    facts: Mapping[str, Any]
    labels: tuple[str, str] = (BEFORE, AFTER)


def of_checkout(folder: Path, base: str | None = None) -> Proposal:
    """Return the change of a checkout since its merge base; raises what ``sdcpp.source.checkout.compare`` raises."""
    found: Checkout = checkout.compare(folder, base)
    head = found.commits[0] if found.commits else found.base
    work = f" and uncommitted work in {plural(len(found.uncommitted), 'file')}" if found.uncommitted else ""
    return Proposal(
        before=(found.before, ()),
        after=(found.after, ()),
        name=found.after.revision.name,
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
    states = find_states(tree, patches)
    for state in states:
        console.note(f"   patch {state.patch.name}: {state.state.value} {state.detail}".rstrip())
    for state in states:
        if state.state is State.CONFLICTS:
            raise conflict_error(tree, state.patch, state.detail)
    applied = patches_to_apply(states)
    if not applied:
        why = "; ".join(f"{state.patch.name}: {state.state.value}, {state.detail}" for state in states)
        raise NothingTried(f"nothing to compare on {wanted.name}", why, "choose another --revision")
    origin = f"{wanted.title} ({wanted.name})"
    return Proposal(
        before=(tree, ()),
        after=(tree, applied),
        name=wanted.name,
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


def of_upstream(before: Revision, after: Revision) -> Proposal:
    """Return the change from a revision to one of upstream's repository.

    ``before`` is another revision of that repository or a named one. Raises NothingTried if both are the same commit,
    and what fetching raises.
    """
    old, new = str(before.commit or before.fork_of), str(after.commit)
    if before.commit == after.commit:
        raise NothingTried(
            "nothing to compare: both states are the same commit", new, "give another commit to compare with"
        )
    mirrored = isinstance(before.origin, Mirrored)
    return Proposal(
        before=(workspace.workspace(before), ()),
        after=(workspace.workspace(after), ()),
        name="upstream",
        labels=(_dated(before) if mirrored else before.name, _dated(after)),
        again=("--upstream", new, *(("--merge-base", old) if mirrored else ("--revision", before.name))),
        facts={
            "before": f"upstream {_dated(before)}" if mirrored else f"{before.title} ({before.name})",
            "after": f"upstream {_dated(after)}",
            "commits": [[commit, subject] for commit, _, subject in upstream.commits(old, new)],
            "uncommitted": [],
            "files": [],
            "compare": upstream.compare_url(old, new),
            "bisect": ["sdcpp", "bisect", "--upstream", "--good", old, "--bad", new],
        },
    )


def _dated(wanted: Revision) -> str:
    """Return the first digits of a commit of upstream with its date."""
    return f"{wanted.short_commit} ({wanted.date})"


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
    states = ((BEFORE, proposal.before), (AFTER, proposal.after))
    for label, (state, (tree, patches)) in zip(proposal.labels, states, strict=True):
        console.note(f"== {state}: {proposal.facts[state]}")
        try:
            made = build.build(tree, patches, spec.backend, options=spec.options)
        except BuildFailed as error:
            where = "with the change" if state == AFTER else "the base, without the change"
            raise BuildFailed(f"{error.what} {where}", error.subject, error.remedy) from error
        again = spec.rerun_command(*proposal.again)
        lacks = dict(tree.revision.lacks)
        under_test = build_under_test(
            made, label, spec, block_quantiser, patched=state == AFTER, again=again, lacks=lacks
        )
        side = replace(under_test.side, label=f"{proposal.name} {label}", revision=proposal.name)
        found.append(replace(under_test, side=side, baseline=f"{proposal.name} {proposal.labels[0]}"))
    contents = {side.build.record.get("content") for side in found}
    same = len(found[0].cases) if len(contents) == 1 and None not in contents else 0
    if same:
        console.note(f"   both libraries are identical: {plural(same, 'case')} need not run")
        found = [replace(side, cases=()) for side in found]
    return found, {**proposal.facts, "same": same}
