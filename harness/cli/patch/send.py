"""Write what a pull request for one patch needs into a folder: the change, its text, the evidence.

Nothing is sent anywhere. The patch is judged alone, on the revision that it was written for: both
states are built and run the cases that the patch fixes, and a few others that it should leave as
they are. A run that is there already is used again.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.cases.families import FAMILIES
from harness.cli import options, runs, verify
from harness.cli.commands import Command, CommandParser
from harness.records import record
from harness.reports import pull_request_body
from harness.reports.table import arrange
from harness.verification.run import RECORDS
from sdcpp import atomic_write, console
from sdcpp.errors import NothingTried, PatchConflict, SeriesInvalid
from sdcpp.patching import series
from sdcpp.patching.patch_file import Patch
from sdcpp.patching.state import State, find_states
from sdcpp.source import revision, workspace

#: The cases that a patch should leave as they are, unless it is about them.
CONTROLS = ("safetensors-F32@*", "gguf-F16@*", "gguf-Q8_0@*")
#: The folder of the run.
REPORT = "report"
EPILOG = """\
output
  title.txt      the subject
  body.md        the body, with the sections of upstream's template and the table before and after
  NAME.patch     the change for git am, without the notes of this project
  steps.md       what is left to do, and what upstream's CONTRIBUTING.md asks
  report/        the run of sdcpp verify --patch
  Exit status 0: the patch fixes a case and makes none worse. 5: a case is worse. 20: the patch does
  not apply without others of the series. 60: the patch fixes no case alone. 63: the run cannot be
  judged.

examples
  sdcpp patch send lora-rank-one --output ~/rank-one
  sdcpp patch send lora-wan-names --revision 2026-07 --output ~/wan
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("name", metavar="NAME", help="a patch of the series")
    parser.add_argument(
        "--revision",
        metavar="NAME",
        help=f"a revision that the patch is for (default: {options.UPSTREAM}, or the newest)",
    )
    options.add_workers(parser)
    options.add_output(parser, "reports/send")


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    form, name = _form(arguments.name, arguments.revision)
    _require_alone(form, name)
    file, report = arguments.output / f"{form.name}.patch", arguments.output / REPORT
    _write(file, mail(form))
    status = _verify(form, file, name, report, arguments.jobs)
    records = record.read(report / RECORDS)
    command = records.run.command.replace(shlex.quote(str(file)), file.name)
    records.run = replace(records.run, command=command)
    table = arrange(records)
    fixed = pull_request_body.fixed(table)
    _write(arguments.output / "title.txt", f"{form.subject}\n")
    _write(arguments.output / "body.md", pull_request_body.render(form, table, name))
    _write(arguments.output / "steps.md", pull_request_body.steps(form, file.name))
    if not (status or fixed):
        raise NothingTried(
            "the patch fixes no case alone",
            f"{form.name} on {name}",
            "see body.md; it may need other patches",
        )
    return status


def _write(path: Path, content: str | bytes) -> None:
    atomic_write.write(path, content)
    console.note(f"wrote {path}")


def _form(name: str, wanted: str | None) -> tuple[Patch, str]:
    """Return the form of a patch for a revision, by default upstream's newest or the newest, and that revision's name.

    Raises SeriesInvalid if there is no such patch or form, and UnknownRevision.
    """
    if name not in series.names():
        raise SeriesInvalid("the series has no such patch", name, "sdcpp patch state lists the patches")
    forms = series.forms(name)
    for known in [wanted] if wanted else [options.UPSTREAM, *reversed(revision.load())]:
        found = revision.find(known)
        named = {found.name, f"generation {found.lora_api}"}
        for form in forms:
            if not form.revisions or named & set(form.revisions):
                return form, found.name
    said = ", ".join(item for form in forms for item in form.revisions)
    raise SeriesInvalid(f"the patch has no form for {wanted}", name, f"its forms are for {said}")


def _require_alone(form: Patch, name: str) -> None:
    """Raise PatchConflict if a form does not apply to its revision without the patches before it."""
    [state] = find_states(workspace.workspace(revision.find(name)), [form])
    if state.state is not State.APPLIES:
        earlier = series.names()[: series.names().index(form.name)]
        raise PatchConflict(
            f"the patch does not apply to {name} alone ({state.state.value})",
            form.path,
            "send the patches first that change the same lines; those before it in the series are "
            f"{', '.join(earlier) or 'none'}\n    {state.detail}",
        )


def _verify(form: Patch, file: Path, name: str, folder: Path, jobs: int | None) -> int:
    """Run the cases of a patch without and with it, and return the exit status of sdcpp verify.

    ``file`` has the change; its name is that of the patch, which expectations refer to.
    """
    words = ["--patch", str(file), "--revision", name, "--output", str(folder)]
    if jobs:
        words += ["--jobs", str(jobs)]
    for pattern in dict.fromkeys([*(fix.case for fix in form.fixes), *CONTROLS]):
        words += ["--case", pattern]
    parser = CommandParser(prog="sdcpp verify", command=Command(module=verify.__name__))
    arguments = parser.parse_args([*words, "--matrix", _matrix(form)])
    return int(arguments.main(arguments))


def _matrix(form: Patch) -> str:
    """Return the matrix that has the base models of the cases that a patch fixes."""
    bases = {fix.base for fix in form.fixes}
    full = {base for found in runs.matrix("full").bases.values() for base in _names(found)}
    families = {base for found in FAMILIES.bases.values() for base in _names(found)}
    return "families" if bases - full and bases <= families else "full"


def _names(bases: Sequence[object]) -> list[str]:
    return [str(getattr(base, "name", base)) for base in bases]


def mail(form: Patch) -> bytes:
    """Return a form as ``git format-patch`` writes it: with its message, without the notes of this project."""
    head, _, rest = form.mail.partition(b"\n---\n")
    return head + b"\n---\n\n" + form.diff if rest else form.mail
