"""Carry the patch series onto a clone of upstream: a branch with one commit for each patch.

Each patch is a commit on the source that it was made for (``form_commits``), and ``git cherry-pick`` merges it into the
target by git's three-way merge, which follows moved files. The work is done in a linked worktree: the checkout, the
index and the uncommitted changes of the user stay as they are. The clone gets the branch, the worktree, and the folder
``rr-cache`` with the resolutions that ``git rerere`` remembers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sdcpp.errors import NetworkUnavailable, PatchConflict, SourceInvalid
from sdcpp.patching import formatting
from sdcpp.patching.clone import Clone
from sdcpp.patching.form_commits import FormCommits, release
from sdcpp.patching.patch_file import Patch
from sdcpp.patching.port_state import PortState, Result, Step
from sdcpp.patching.state import old_lines

#: git remembers the resolution of a conflict, and stages the result where it knows one.
_REMEMBER = ("-c", "rerere.enabled=true", "-c", "rerere.autoUpdate=true")
_FORGET = ("-c", "rerere.enabled=false")
_PICKED = "CHERRY_PICK_HEAD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port that can go on. ``clang_format`` formats the lines that each commit adds; None leaves them as they are."""

    state: PortState
    series: FormCommits
    clang_format: Path | None

    def carry(self) -> Iterator[Step]:
        """Carry the patches that are not done, and yield each step after it is done.

        Raises PatchConflict if the user has to resolve a conflict in the worktree.
        """
        for step in self.state.pending():
            since = self.series.without_form(step.name, self._date, forks=False)
            if since is not None:
                self._done(step, Result.NOT_NEEDED, f"the series has no form of it since {since}")
            else:
                self._carry(step, self.series.forms(step.name, self._date))
            yield step

    def resume(self) -> None:
        """Finish the step that the port stopped at: commit the resolution, or see what the user did with git.

        Raises PatchConflict if a file still has a conflict, and SourceInvalid if a change is not staged.
        """
        step = next(self.state.pending(), None)
        if step is None:
            return
        head = self._tree.check_git("rev-parse", "HEAD")
        if self._tree.resolve(_PICKED) is None:
            if head != self.state.head:
                self._finish(step, Result.RESOLVED if self.state.stopped else Result.CARRIED)
            elif self.state.stopped:
                self._done(step, Result.SKIPPED)
        elif not self.state.stopped:  # the command was interrupted
            self._tree.check_git("cherry-pick", "--abort")
        elif unmerged := self._tree.unmerged():
            raise self._conflict(step, unmerged)
        elif self._tree.git("diff", "--quiet", "--ignore-submodules").status:
            raise SourceInvalid(
                "the worktree has changes that are not staged",
                self.state.folder,
                "run `git add` on them, or discard them with `git restore`, and continue again",
            )
        elif self._tree.git("diff", "--cached", "--quiet").status == 0:
            self.skip()
        else:
            self._commit(step, Result.RESOLVED)

    def skip(self) -> None:
        """Leave out the patch that the port stopped at."""
        if self._tree.resolve(_PICKED) is not None:
            self._tree.check_git("cherry-pick", "--abort")
        step = next(self.state.pending(), None)
        if step is not None and self.state.stopped:
            self._done(step, Result.SKIPPED)

    def finish(self) -> None:
        """Remove what an unfinished port needs; the branch and the worktree stay."""
        self.state.forget()
        release(self.state.clone)

    @property
    def _tree(self) -> Clone:
        return self.state.worktree

    @property
    def _date(self) -> str:
        """The date of the target."""
        return self._tree.check_git("log", "-1", "--format=%cs", self.state.base)

    def _carry(self, step: Step, forms: Sequence[Patch]) -> None:
        """Try the forms of a patch, each by a three-way merge; if all conflict, stop with the first one."""
        for form in forms:
            step.form = form.path.name
            try:
                commit = self.series.commit(form)
            except NetworkUnavailable:
                if form is forms[0]:
                    raise
                continue  # an older form, of a revision that the clone does not have
            if self._pick(step, commit, _REMEMBER if form is forms[0] else _FORGET):
                return
            self._tree.check_git("cherry-pick", "--abort")
        if any(self._reverse_applies(form) for form in forms):
            self._done(step, Result.UPSTREAM)
        elif self._is_gone(forms):
            self._done(step, Result.CODE_GONE, "the source has none of the lines that it changes")
        else:
            step.form = forms[0].path.name
            self._pick(step, self.series.commit(forms[0]), _REMEMBER)
            self.state.stopped = True
            self.state.save()
            raise self._conflict(step, self._tree.unmerged())

    def _pick(self, step: Step, commit: str, rerere: Sequence[str]) -> bool:
        """Merge a commit, and return whether this finished the step. If not, the worktree has a conflict."""
        done = self._tree.git(*rerere, "cherry-pick", commit)
        if done.status == 0:
            self._finish(step, Result.CARRIED)
            return True
        if self._tree.resolve(_PICKED) is None:
            raise SourceInvalid(
                "git cherry-pick failed", self.state.folder, f"git says: {done.errors.strip()}"
            )
        if self._tree.unmerged():
            return False
        if self._tree.git("diff", "--cached", "--quiet", "HEAD").status == 0:
            self._tree.check_git("cherry-pick", "--abort")
            self._done(step, Result.UPSTREAM)
        else:
            self._commit(step, Result.REMEMBERED)
        return True

    def _commit(self, step: Step, result: Result) -> None:
        """Commit the resolution with the message and the author of the patch."""
        self._tree.check_git(*_REMEMBER, "commit", "--quiet", "-C", _PICKED)
        self._finish(step, result)

    def _finish(self, step: Step, result: Result) -> None:
        """Format the commit of a step, and record it."""
        if self.clang_format:
            formatting.format_head(self._tree, self.clang_format)
        step.commit = self.state.head = self._tree.check_git("rev-parse", "HEAD")
        self._done(step, result)

    def _done(self, step: Step, result: Result, detail: str = "") -> None:
        step.result, step.detail, self.state.stopped = result, detail, False
        self.state.save()

    def _reverse_applies(self, form: Patch) -> bool:
        with tempfile.TemporaryDirectory() as scratch:
            diff = Path(scratch) / "diff"
            diff.write_bytes(form.diff)
            return self._tree.git("apply", "--cached", "--check", "--reverse", diff).status == 0

    def _is_gone(self, forms: Sequence[Patch]) -> bool:
        """Return whether the source has none of the lines of the forms.

        If the series has no form for the newest revision, the lines that the forms change count. Otherwise the lines
        around them count, too, because upstream may have edited a line that a patch changes.
        """
        context = self.series.without_form(forms[0].name, self._date, forks=True) is None
        lines = {line for form in forms for line in old_lines(form, context=context)}
        with tempfile.TemporaryDirectory() as scratch:
            listing = Path(scratch) / "lines"
            listing.write_bytes(b"\n".join(sorted(lines)))
            fixed = ("grep", "--quiet", "--fixed-strings", "-f", listing, "HEAD")
            return bool(lines) and self._tree.git(*fixed, "--", "*.[ch]pp", "*.[ch]").status == 1

    def _conflict(self, step: Step, files: Sequence[str]) -> PatchConflict:
        done = sum(other.result is not None for other in self.state.steps)
        since = self.series.without_form(step.name, self._date, forks=True)
        hint = f" (the series has no form of it for {since}: check that the target needs it)" if since else ""
        return PatchConflict(
            f"patch {step.name} ({step.form}) conflicts, after {done} of {len(self.state.steps)} patches are done",
            f"{', '.join(files)} in {self.state.folder}",
            "edit the files there and run `git add` on them, then\n"
            f"    sdcpp patch port {self.state.checkout} --continue\n"
            f"  or leave the patch out with --skip{hint}, or remove the branch and the folder with --abort",
        )
