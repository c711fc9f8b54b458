"""Carry the patches onto your clone of upstream: a new branch with one commit for each patch.

The commits are made in a worktree of their own, a folder beside the clone. Your checkout, its index
and your uncommitted changes stay as they are. git merges each patch by its three-way merge from the
source that the patch was made for, so that moved files are found. Message and diff of each commit
can go into a pull request as they are.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from pathlib import Path

from harness.text import listed
from sdcpp import console, process
from sdcpp.patching import clone as clones
from sdcpp.patching import formatting, port_branch, port_export, series
from sdcpp.patching.form_commits import FormCommits
from sdcpp.patching.port import Port
from sdcpp.patching.port_state import PortState, Result

EPILOG = """\
output
  The command prints one line for each patch:
    carried                             git's merge did it alone
    carried after your resolution       you resolved a conflict
    carried by a remembered resolution  you resolved the same conflict before (git rerere)
    already upstream                    the target has its change
    no longer needed                    the series has no form of it for a later revision
    code is gone                        the target has none of the lines that it changes
    skipped                             you left it out
  At a conflict the command stops as git does. Resolve it in the worktree, run git add, then the
  command again with --continue. clang-format, if it is installed, formats the lines that each
  commit adds in the style of the target.
  Exit status 0: all patches are done. 20: a patch conflicts.

examples
  sdcpp patch port ~/stable-diffusion.cpp
  sdcpp patch port ~/stable-diffusion.cpp --onto origin/master --branch lora-fixes
  sdcpp patch port ~/stable-diffusion.cpp --only lora-rank-one --only lora-tucker-merge
  sdcpp patch port ~/stable-diffusion.cpp --continue
  sdcpp patch port ~/stable-diffusion.cpp --export ~/ported --name 2026-08
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("checkout", type=Path, metavar="CHECKOUT", help="your clone of upstream")
    parser.add_argument(
        "--branch", default="gguf-lora", metavar="NAME", help="the new branch (default: %(default)s)"
    )
    parser.add_argument(
        "--onto", default="HEAD", metavar="REF", help="the commit to begin at (default: %(default)s)"
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="the new worktree (default: CHECKOUT-BRANCH)"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="PATCH", help="carry only this patch; may be repeated"
    )
    parser.add_argument("--export", type=Path, metavar="DIR", help="write the commits as patch files, too")
    parser.add_argument(
        "--name", metavar="NAME", help="name of the revision in these files (default: the short commit)"
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        "--continue", dest="action", action="store_const", const="continue", help="go on after a conflict"
    )
    action.add_argument(
        "--skip", dest="action", action="store_const", const="skip", help="leave out the patch that conflicts"
    )
    action.add_argument(
        "--abort",
        dest="action",
        action="store_const",
        const="abort",
        help="remove the branch and the worktree",
    )


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    clone = clones.open_clone(arguments.checkout)
    if arguments.action == "abort":
        state = port_branch.abort(clone)
        console.out.print(f"removed the branch {state.branch} and {state.folder}", markup=False)
        return 0
    patches = series.load()
    forms = FormCommits(clone=clone, patches=patches)
    if arguments.export:
        port_export.require_new(arguments.export)
    state = port_branch.unfinished(clone, patches) if arguments.action else _start(arguments, forms)
    if arguments.action and arguments.export:
        state.export, state.label = str(arguments.export.resolve()), arguments.name or state.label
    clang_format = formatting.program()
    if clang_format is None and (state.folder / formatting.STYLE).is_file():
        console.note(
            "clang-format is not installed, so the commits keep the format of the patches; "
            "`pip install clang-format` installs it"
        )
    carrier = Port(state=state, series=forms, clang_format=clang_format)
    if arguments.action == "skip":
        carrier.skip()
    elif arguments.action == "continue":
        carrier.resume()
    for step in carrier.carry():
        console.note(f"{step.name}: {step.result}")
    if state.export:
        by_name = {(patch.name, patch.path.name): patch for patch in patches}
        written = port_export.export(state, by_name, Path(state.export))
        console.note(f"{len(written)} patch files are in {state.export}")
    carrier.finish()
    _print(state)
    return 0


def _start(arguments: argparse.Namespace, forms: FormCommits) -> PortState:
    """Create the branch and the worktree."""
    checkout = forms.clone.path
    beside = checkout.with_name(f"{checkout.name}-{arguments.branch.replace('/', '-')}")
    return port_branch.start(
        forms.clone,
        forms.names(),
        branch=arguments.branch,
        onto=arguments.onto,
        folder=arguments.output or beside,
        only=arguments.only,
        export=(str(arguments.export.resolve()) if arguments.export else "", arguments.name or ""),
    )


def _print(state: PortState) -> None:
    """Print a line for each patch, the counts, and the commands to go on with."""
    for step in state.steps:
        form = f"  from {step.form}" if step.commit else ""
        detail = f"  {step.detail}" if step.detail else ""
        line = f"{step.name:32} {step.result}{form}{detail}"
        console.out.print(line, markup=False, soft_wrap=True)
    counts = Counter(step.result for step in state.steps)
    said = listed([f"{counts[result]} {result}" for result in Result if counts[result]], len(Result))
    console.out.print(f"\nof {len(state.steps)} patches, {said}", markup=False, soft_wrap=True)
    console.out.print(f"The branch {state.branch} is checked out in {state.folder}. Next:", markup=False)
    folder = os.fspath(state.folder)
    commands = [["git", "-C", folder, "log", "--oneline", f"{state.base[:10]}.."]]
    if commits := state.commits():
        commands.append(["git", "-C", folder, "format-patch", "-1", str(commits[-1].commit)[:10]])
    if (state.folder / ".gitmodules").is_file():
        commands.append(["git", "-C", folder, "submodule", "update", "--init", "--recursive"])
    commands.append(["sdcpp", "verify", "--checkout", folder, "--merge-base", state.base[:10]])
    for command in commands:
        console.out.print(f"  {process.quoted(command)}", markup=False, soft_wrap=True)
