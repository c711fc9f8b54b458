"""Show the metadata, tensors, ranks and hashes of LoRA files, or change the metadata in a new file."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.commands import CommandParser
from harness.cli.lora import options, several
from harness.converter import information
from sdcpp.waiting_line import counted

RENAMED: dict[str, tuple[str, ...]] = {}
EPILOG = """\
The hashes are those that model sites and programs show:

  sha256            of the whole file; it changes with the metadata
  auto_v1           the old hash of stable-diffusion-webui: 64 KiB of the file
  auto_v2           the first 10 digits of sha256
  auto_v3           the first 12 digits of sshs_model_hash
  sshs_model_hash   of the tensors alone, as sd-scripts stores it (safetensors only)
  sshs_legacy_hash  of 64 KiB of the file with the metadata of training only (safetensors only)

A note says if a hash that is stored in the metadata is not that of the tensors. sdcpp lora inspect
says whether a LoRA is usable; this command shows what is in the file.

--set and --unset write a new file, --output, with the same tensors byte for byte, or one for each
FILE with --output-dir. Without them nothing is written. With several files, one that cannot be read
does not keep the others from being shown; its exit status is that of the command.

examples
  sdcpp lora info style.safetensors
  sdcpp lora info -v style.gguf                              also every tensor
  sdcpp lora info --json loras/*.safetensors
  sdcpp lora info style.safetensors --set modelspec.title="My style" --output titled.safetensors
  sdcpp lora info style.safetensors --unset ss_tag_frequency --output private.safetensors
  sdcpp lora info loras/*.safetensors --unset ss_tag_frequency --output-dir private
"""


def add_arguments(parser: CommandParser) -> None:
    """Add the options of the command."""
    several.add_files(parser, "a LoRA, or a model")
    parser.add_argument("--no-hashes", action="store_true", help="do not read the whole file for its hashes")
    parser.add_argument(
        "--set",
        dest="changed",
        type=entry,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="write a file with this metadata entry; may be repeated",
    )
    parser.add_argument(
        "--unset",
        dest="removed",
        action="append",
        default=[],
        metavar="KEY",
        help="write a file without this metadata entry; may be repeated",
    )
    parser.add_argument("--output", type=Path, metavar="OUT", help="the file that --set and --unset write")
    several.add_output_dir(parser, "OUT")
    options.add_no_clobber(parser)
    options.add_amount(parser, "also show every tensor, and metadata in full", "show one line for each file")


def entry(text: str) -> tuple[str, str]:
    """Return the key and the value of "KEY=VALUE"."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is no metadata entry: write KEY=VALUE")
    return key, value


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    edits = bool(arguments.changed or arguments.removed)
    if edits != bool(arguments.output or arguments.output_dir):
        arguments.complain(
            "--set and --unset need --output OUT or --output-dir DIR, and these need one of them"
        )
    if arguments.output and (len(arguments.files) > 1 or arguments.output_dir):
        arguments.complain("--output is for a single FILE; --output-dir DIR is for several")
    if arguments.output_dir:
        files = several.in_folder(arguments.files, arguments)
    else:
        files = [(path, arguments.output or path) for path in arguments.files]
    return several.run_each(files, lambda pair: pair[0], lambda pair: _show(*pair, arguments), arguments)


def _show(path: Path, shown: Path, arguments: argparse.Namespace) -> several.Result:
    """Write the file ``shown`` with other metadata, if it is another one, and return what is in it."""
    if shown != path or arguments.changed or arguments.removed:
        options.require_free(shown, arguments)
        information.with_metadata(path, shown, dict(arguments.changed), arguments.removed)
    found = _read(shown, hashed=not arguments.no_hashes)
    return several.Result(
        data=found.as_json,
        text=lambda: information.text(found, verbose=arguments.verbose, quiet=arguments.quiet),
    )


def _read(path: Path, *, hashed: bool) -> information.Information:
    """Return what is known about a file. Progress is shown while it is read."""
    total = path.stat().st_size if hashed and path.is_file() else 0
    with counted(f"hashes of {path.name}", total) as progress:
        return information.information(path, hashed=hashed, progress=progress)
