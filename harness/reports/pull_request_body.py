"""The text of a pull request for one patch of the series, and the steps that lead to it.

The sections are those of .github/pull_request_template.md of leejet/stable-diffusion.cpp as of 2026-08-19, the steps
are what its CONTRIBUTING.md asked for on that day.
"""

from __future__ import annotations

import re

from harness.records.change import ChangeKind
from harness.records.record import Cell
from harness.reports import before_after, pull_request
from harness.reports.table import ReportTable, case_id
from sdcpp.patching.patch_file import Patch
from sdcpp.process import quoted

#: The page with the rules for contributions.
RULES = "https://github.com/leejet/stable-diffusion.cpp/blob/master/CONTRIBUTING.md"
#: The largest number of cases whose reproduction is shown.
CASES = 3
_ISSUE = re.compile(r"(?:\bissue |#)(\d{2,5})\b")


def render(patch: Patch, table: ReportTable, revision: str) -> str:
    """Return the body of the pull request as Markdown: the template, filled in from the patch and from a run of it."""
    issues = dict.fromkeys(_ISSUE.findall(f"{patch.body}\n{patch.notes}"))
    related = ", ".join(f"#{number}" for number in issues)
    return "\n".join(
        [
            "## Summary",
            "",
            patch.body.strip(),
            "",
            "## Related Issue / Discussion",
            "",
            related or "None that I know of.",
            "",
            "## Additional Information",
            "",
            pull_request.render(table).strip(),
            "",
            *_reproduction(table, revision),
            "## Checklist",
            "",
            f"- [ ] I have read and confirmed this PR follows the [contribution guidelines]({RULES}).",
            "",
        ]
    )


def fixed(table: ReportTable) -> list[Cell]:
    """Return the cells before the change, of the cases that the change fixes."""
    return [
        change.before
        for pair in before_after.pairs(table)
        for change in before_after.changes(table, pair)
        if change.before and change.kind is ChangeKind.FIXED
    ]


def _reproduction(table: ReportTable, revision: str) -> list[str]:
    """Return the commands of upstream's own program that show cases which the patch fixes."""
    cells = sorted(fixed(table), key=lambda cell: not cell.upstream)[:CASES]
    if not cells:
        return []
    lines = ["To reproduce without the change:", "", "```sh"]
    for cell in cells:
        words = ["sdcpp", "reproduce", case_id(cell), "--revision", revision]
        base = cell.dimensions.get("base", "")
        lines.append(quoted([*words, *(["--base-model", base] if base else [])]))
        # ``upstream`` is a command, or the reason why there is none
        if cell.upstream.startswith("./"):
            lines.append(f"cd reproduce && {cell.upstream}")
    return [*lines, "```", ""]


def steps(patch: Patch, file: str) -> str:
    """Return, as Markdown, what is left to do for the person who opens the pull request."""
    return f"""\
# {patch.subject}

Nothing was sent. `title.txt` and `body.md` are the text of the pull request, `{file}` is the change, and `report/` has
the run behind the table.

1. Search upstream's open pull requests and issues for the same change.
2. Make the branch in your clone. You are the author, not this project:

   ```sh
   git fetch origin && git switch --create {patch.name} origin/master
   git am --3way {file} && git commit --amend --no-edit --reset-author
   ```

   If git am finds a conflict, `git am --abort`, then `sdcpp patch port . --only {patch.name}`.
3. Format it with upstream's script, and look at what it changed: `scripts/format-code.sh`, `git diff`.
4. Judge your branch, and put the table of this run into `body.md` in place of the one that is there:
   `sdcpp verify --checkout .`
5. Read `git show` line by line. Upstream asks that you understand every line, whoever or whatever wrote it, and that AI
   tools are not listed as co-authors.
6. Push the branch to your fork, open the pull request, and tick the box of the checklist.

What {RULES} asks of it:

- one clear change, with a subject such as `fix: ...`, imperative and scoped;
- what changed and why, the evidence, and the linked issues: they are in `body.md`;
- C++17, the naming conventions and `.clang-format`; no new `.hpp` header, no anonymous namespace;
- no update of ggml, no model weights, no absolute paths, no test debris.
"""
