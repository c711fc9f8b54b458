"""Write one case as files, with the commands of upstream's own program that show it."""

from __future__ import annotations

import argparse
from contextlib import nullcontext

from harness.cases import upstream_command
from harness.cases.case import MODES, select
from harness.cases.families import QUICK_WITH_FAMILIES
from harness.cases.fixture import BlockQuantiser
from harness.cases.matrix import FULL, CaseSource
from harness.cli import options
from harness.verification.sides import RunSpec, open_block_quantiser
from sdcpp import console
from sdcpp.errors import NothingTried
from sdcpp.source import revision, workspace

RENAMED = {"--quick": ("--matrix", "quick")}
EPILOG = """\
output
  The output folder gets the model, the adapter, and the model into which the adapter is merged.
  The command prints the commands of upstream's program that make the picture without the adapter,
  the wanted picture and the picture with the adapter.

examples
  sdcpp reproduce gguf-Q8_0@immediately                  on the newest revision
  sdcpp reproduce gguf-F16@auto --revision 2025-12       with the adapter names of that revision
  sdcpp verify --matrix full --list                      the names of the cases
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("case", metavar="CASE@MODE", help="the case, as reports name it")
    options.add_revision(parser)
    parser.add_argument("--base-model", metavar="NAME", help="the base model, if the case runs on several")
    parser.add_argument(
        "--matrix",
        choices=("quick", "full"),
        default="full",
        help="the matrix of the case: quick has other base models and 64x64 pictures (default: full)",
    )
    options.add_output(parser, "reproduce")


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    wanted = revision.find(arguments.revision)
    matrix: CaseSource = QUICK_WITH_FAMILIES if arguments.matrix == "quick" else FULL
    generation = workspace.workspace(wanted).lora_api
    where = [("base", arguments.base_model)] if arguments.base_model else []
    named = [arguments.case]
    plain = select(matrix.cases(generation, MODES, BlockQuantiser()), named, where)
    # Some types can be made only by a built library.
    opened = nullcontext(BlockQuantiser()) if plain else open_block_quantiser(wanted, RunSpec(matrix=matrix))
    with opened as block_quantiser:
        found = select(matrix.cases(generation, MODES, block_quantiser), named, where)
        if not found:
            raise NothingTried(
                "no such case", arguments.case, f"sdcpp verify --matrix {arguments.matrix} --list shows them"
            )
        case = found[0]
        for path in upstream_command.write(case, arguments.output):
            console.note(f"wrote {path}")
    commands = upstream_command.commands(case, generation, wanted.program_name)
    for picture, command in commands.items():
        console.out.print(f"# {picture}\n{command}", markup=False, highlight=False, soft_wrap=True)
    if reason := upstream_command.why_none(case):
        console.note(reason)
    return 0
