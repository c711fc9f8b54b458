"""Print the comment on a pull request, from the verdict.json that its job has written.

The job of a pull request runs foreign code, so the file is read as hostile: anything that sdcpp ci
report cannot have written is refused, and no text of the file but names of cases and verdicts is
shown.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from harness.cli.ci import workflow_files
from harness.reports import change_comment, change_verdict
from sdcpp import console

_ADDRESS = re.compile(r"https://[A-Za-z0-9./_-]+")
EPILOG = """\
output
  The command prints Markdown. Its first line is the same in every comment, so that an earlier one
  can be found and replaced. In GitHub Actions it sets the outputs:
    comment    the Markdown
    mark       the first line
    news       true if a pull request without a comment should get one, else false
  Exit status 0. 51: the file is not a verdict.

examples
  sdcpp ci comment verdict.json
  sdcpp ci comment verdict.json --address https://github.com/OWNER/NAME/actions/runs/1
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a verdict.json of sdcpp ci report")
    parser.add_argument(
        "--address", default="", type=_address, metavar="URL", help="the page that has the whole report"
    )


def _address(text: str) -> str:
    if text and not _ADDRESS.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not the address of a page")
    return text


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    verdict = change_verdict.read(arguments.file)
    text = change_comment.render(verdict, arguments.address)
    console.out.print(text, markup=False, soft_wrap=True, end="")
    workflow_files.set_outputs(
        {
            "comment": text,
            "mark": change_comment.MARK,
            "news": str(change_comment.is_news(verdict)).lower(),
        }
    )
    return 0
