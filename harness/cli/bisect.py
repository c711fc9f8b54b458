"""Find the revision that broke a case, or fixed it."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from harness.cases import core, layers
from harness.cases.case import MODES
from harness.cases.matrix import PROPOSED
from harness.cli import options, runs
from harness.reports import write
from harness.studies import bisection
from harness.verification.sides import RunSpec, open_block_quantiser
from sdcpp import console
from sdcpp.errors import EndsAlike
from sdcpp.source import upstream
from sdcpp.source.revision import Revision

RESUMES = True
RENAMED = {"--source": ("--repo",), "--patched": ("--side", "patched")}
#: The base models that ``--base-model`` names.
BASES = tuple(
    dict.fromkeys(base.name for bases in (*PROPOSED.bases.values(), layers.BASES.values()) for base in bases)
)
EPILOG = f"""\
output
  The command prints the first bad revision, or the first good one if --bad is the older end. The
  output folder gets the report of the step from the revision before it. Revisions that cannot be
  built, or on which the base model makes no picture, are skipped; if one of them may be the change,
  all candidates are printed. If that is so of --good or --bad, the exit status is 62 or 63.

cases
  {", ".join(list(core.CORE_CASES)[:7])},
  {", ".join(list(core.CORE_CASES)[7:])}
  Append @at_runtime for that mode. The default is @immediately. With --base-model, any case of
  sdcpp verify --matrix full --list on that base model, and also @auto.

examples
  sdcpp bisect --case rank-1 --bad 0.2.3 --good 0.2.6         which sdist fixed rank 1?
  sdcpp bisect --case missing-file --good 0.3.7 --bad 0.3.8
  sdcpp bisect --case gguf-Q8_0 --repo . --good v1 --bad HEAD  in your own commits
  sdcpp bisect --case gguf-BF16@auto --base-model sd1-tiny --upstream --good COMMIT --bad master
                                                              in upstream's repository
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--case", required=True, metavar="NAME[@MODE]", type=_case, help="see below")
    parser.add_argument("--good", required=True, metavar="REV", help="a revision on which the case passes")
    parser.add_argument("--bad", required=True, metavar="REV", help="a revision on which the case fails")
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--repo",
        type=Path,
        metavar="DIR",
        help="your git repository: REV are commits of it, searched along first parents",
    )
    place.add_argument(
        "--upstream",
        action="store_true",
        help="REV are branches, tags, commits or pr/NUMBER of upstream's repository, which is fetched first",
    )
    parser.add_argument(
        "--base-model",
        metavar="NAME",
        help=f"the base model of the case: {' or '.join(BASES)} (default: the smallest one of each revision)",
    )
    options.add_backend(parser)
    parser.add_argument(
        "--side",
        choices=("pristine", "patched"),
        default="pristine",
        help="without or with the patches (default: %(default)s)",
    )
    options.add_output(parser, "reports/bisect")


def _case(text: str) -> str:
    name, at, mode = text.partition("@")
    if not name or set(name) & set("*?[") or (at and mode not in MODES):
        raise argparse.ArgumentTypeError(f"{text!r} is no case; the modes are {', '.join(MODES)}")
    return text


def _require_core_case(arguments: argparse.Namespace) -> None:
    """Complain unless the case is a core case in one of its modes."""
    name, _, mode = arguments.case.partition("@")
    if name not in core.CORE_CASES or mode == "auto":
        near = difflib.get_close_matches(name, core.CORE_CASES, 1)
        hint = f"did you mean {near[0]}?" if near else f"the cases are {', '.join(core.CORE_CASES)}"
        arguments.complain(f"{arguments.case!r} is no case; {hint} --base-model has more cases")


def _candidates(arguments: argparse.Namespace) -> list[Revision]:
    """Return the revisions from one end to the other, oldest first."""
    good, bad = arguments.good, arguments.bad
    if arguments.upstream:
        return upstream.between(good, bad)
    if arguments.repo:
        return bisection.repository_revisions(arguments.repo, good, bad)
    return bisection.registry_revisions(good, bad)


@contextmanager
def _bisector(
    arguments: argparse.Namespace, candidates: Sequence[Revision], command: Sequence[str], folder: Path
) -> Iterator[bisection.CaseBisector]:
    """Yield what runs the case on a revision."""
    found = bisection.CaseBisector(
        case=arguments.case,
        side=arguments.side,
        folder=folder,
        command=command,
        ends=(candidates[0].name, candidates[-1].name),
        backend=arguments.backend,
    )
    if not arguments.base_model:
        yield found
        return
    selection = argparse.Namespace(case=[arguments.case], where=[("base", arguments.base_model)])
    matrix = runs.matrix(runs.require_selection(selection, [runs.OF_A_CHANGE, "core", "full"])[0])
    # The newest library knows the most types.
    spec = RunSpec(matrix=matrix, backend=arguments.backend)
    with open_block_quantiser(candidates[-1], spec) as block_quantiser:
        yield replace(
            found, matrix=lambda _: matrix, base=arguments.base_model, block_quantiser=block_quantiser
        )


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    good, bad = arguments.good, arguments.bad
    if not arguments.base_model:
        _require_core_case(arguments)
    if "@" not in arguments.case:
        arguments.case += f"@{MODES[0]}"
    case = arguments.case
    candidates = _candidates(arguments)
    if len(candidates) == 1:
        raise EndsAlike(
            "--good and --bad are the same commit",
            f"{good} and {bad} are {_commit(candidates[0])}",
            "give one revision on which the case passes and one on which it fails",
        )
    side, backend, base = arguments.side, arguments.backend, arguments.base_model
    command = ["sdcpp", "bisect", "--good", good, "--bad", bad]
    command += ["--repo", str(arguments.repo)] if arguments.repo else []
    command += ["--upstream"] if arguments.upstream else []
    command += ["--side", side] if side != "pristine" else []
    command += ["--backend", backend] if backend != "cpu" else []
    command += ["--base-model", base] if base else []
    parts = (case, side, base, backend if backend != "cpu" else "")
    folder = arguments.output / "-".join(filter(None, parts))
    console.note(
        f"{case}, {side}: {len(candidates)} revisions, {candidates[0].name} to {candidates[-1].name}"
    )
    with _bisector(arguments, candidates, command, folder) as bisector:
        step = bisection.search(candidates, bisector.passes, lambda candidate: candidate.name)
        records = bisector.compare(step)
    for path in write.write(records, folder / "step"):
        console.note(f"wrote {path}")
    verdicts = [str(cell.verdict) for cell in records.cells]
    word = "good" if verdicts[-1] == "PASS" else "bad"
    for skipped in step.skipped:
        console.out.print(
            f"maybe {skipped.name} {_commit(skipped)}: could not be tested",
            markup=False,
        )
    console.out.print(
        f"first {word}: {step.after.name} {_commit(step.after)} {step.after.date or ''}: "
        f"{' -> '.join(verdicts)} after {step.before.name}",
        markup=False,
    )
    return 0


def _commit(candidate: Revision) -> str:
    """Return the commit of a revision, or what a fork started from."""
    return candidate.commit or candidate.short_commit
