"""``sdcpp lora``: convert LoRAs to GGUF and back, look into them, know what was lost, merge them."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sdcpp import console
from sdcpp.errors import FileInvalid

if TYPE_CHECKING:
    from harness.converter.convert import Conversion
    from harness.converter.picture_loss import Effect

#: Exit status of ``inspect`` when it found something to complain about.
COMPLAINTS = 1

EPILOG = """\
the container is told by the output's suffix: .safetensors, .gguf, .ckpt
  Without --type every tensor keeps its type, to the bit. With a quantised type, matrices whose rows are whole
  blocks get it; scalars, vectors and other matrices stay float, and each tensor's reason is told. The types that
  can be made are those of the built library (sdcpp build); without one, those of the gguf package.

examples
  sdcpp lora convert style.safetensors style.gguf --type Q8_0
  sdcpp lora convert style.safetensors style.gguf --type Q4_K,Q4_0     Q4_0 where rows are too short for Q4_K
  sdcpp lora convert style.safetensors style.gguf --max-loss 2%        the smallest file that loses no more
  sdcpp lora convert style.safetensors style.gguf --type Q4_0 --rebalance
  sdcpp lora convert style.gguf style.safetensors                      its values, exactly
  sdcpp lora inspect style.gguf --base flux1-schnell.safetensors
  sdcpp lora compare style.safetensors style.gguf --plot loss.svg
  sdcpp lora merge model.safetensors style.gguf@0.8 merged.gguf --type Q8_0
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "lora",
        help="convert, inspect, compare and merge LoRA files",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    convert = actions.add_parser("convert", help="write a file in another container or type")
    convert.add_argument("input", type=Path, metavar="IN")
    convert.add_argument("output", type=Path, metavar="OUT")
    _types(convert)
    convert.add_argument(
        "--max-loss",
        type=percentage,
        metavar="SHARE",
        help="choose the smallest types that lose less: 2%% or 0.02",
    )
    convert.add_argument(
        "--rebalance",
        action="store_true",
        help="choose other factors of the same ΔW where they lose less at the same size",
    )
    convert.add_argument(
        "--pad-rank", action="store_true", help="with --rebalance: pad the rank to whole blocks"
    )
    convert.add_argument("--base", metavar="MODEL", help="refuse what does not fit this model; see inspect")
    convert.add_argument(
        "--anyway", action="store_true", help="convert what has NaN in it or lacks parts, as far as that goes"
    )
    convert.add_argument("--verbose", action="store_true", help="show every tensor's type and why")
    convert.set_defaults(main=convert_file)
    inspect = actions.add_parser("inspect", help="kind, names, rank, types, and what is wrong")
    inspect.add_argument("file", type=Path, metavar="FILE")
    inspect.add_argument("--base", metavar="MODEL", help="a model's file, or flux-small or sd1-tiny")
    inspect.add_argument("--json", action="store_true")
    inspect.set_defaults(main=inspect_file)
    compare = actions.add_parser("compare", help="relative error of ΔW, module by module")
    compare.add_argument("a", type=Path, metavar="A", help="the file that is right")
    compare.add_argument("b", type=Path, metavar="B", help="the file that is judged")
    compare.add_argument("--plot", type=Path, metavar="SVG")
    compare.add_argument("--json", action="store_true")
    compare.add_argument("--base", metavar="MODEL", help="also compare pictures: flux-small or sd1-tiny")
    _library(compare)
    compare.set_defaults(main=compare_files)
    table = actions.add_parser("table", help="type against size against loss")
    table.add_argument("file", type=Path, metavar="FILE")
    table.add_argument("--types", metavar="TYPE;TYPE", help="separated by semicolons, each as for --type")
    table.add_argument("--base", metavar="MODEL", help="also in pictures: flux-small or sd1-tiny")
    table.add_argument("--pad-rank", action="store_true", help="also with the rank padded to whole blocks")
    _library(table)
    table.set_defaults(main=show_table)
    merge = actions.add_parser("merge", help="put adapters into a base model")
    merge.add_argument("base", type=Path, metavar="BASE")
    merge.add_argument("adapters", nargs="+", metavar="ADAPTER[@MULTIPLIER]")
    merge.add_argument("output", type=Path, metavar="OUT")
    _types(merge)
    merge.set_defaults(main=merge_files)


def _types(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--type",
        default="",
        metavar="TYPE[,TYPE]",
        help="F32, F16, BF16 or a quantised type; further ones for rows that are no whole blocks of the first",
    )
    _library(parser)


def _library(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--library", type=Path, metavar="DIR", help="a build's folder (default: the newest)")


def wanted(text: str) -> list[str]:
    """Return the types that ``--type`` names."""
    return [name.strip().upper() for name in text.split(",") if name.strip()]


def percentage(text: str) -> float:
    """Return "2%" or "0.02" as 0.02."""
    found = re.fullmatch(r"([0-9.]+)\s*(%?)", text)
    try:
        value = float(found.group(1)) / (100 if found.group(2) else 1) if found else 0.0
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: write 2% or 0.02")
    return value


def convert_file(arguments: argparse.Namespace) -> int:
    """Run ``convert``."""
    from harness.converter import type_choice
    from harness.converter.convert import convert
    from harness.converter.inspect import require_fit
    from harness.quantising.package_quantiser import open_quantiser

    types = wanted(arguments.type)
    if arguments.pad_rank and not arguments.rebalance:
        raise FileInvalid("--pad-rank needs", "--rebalance", "add it")
    if arguments.base:
        require_fit(arguments.input, arguments.base)
    with open_quantiser(arguments.library) as made:
        if arguments.max_loss:
            choice = type_choice.convert_within_loss(
                arguments.input,
                arguments.output,
                arguments.max_loss,
                made,
                types,
                rebalance=arguments.rebalance,
            )
            done = choice.conversion
        else:
            done = convert(
                arguments.input,
                arguments.output,
                types,
                made,
                anyway=arguments.anyway,
                rebalance=arguments.rebalance,
                pad=arguments.pad_rank,
            )
    _show_conversion(done, arguments.verbose)
    if arguments.max_loss:
        console.out.print(
            f"relative error of ΔW: predicted {choice.predicted:.3%}, measured {choice.measured:.3%}, "
            f"allowed {arguments.max_loss:.3%}",
            markup=False,
        )
    return 0


def _show_conversion(done: Conversion, verbose: bool) -> None:
    from harness.converter.text import conversion

    console.out.print(conversion(done, verbose=verbose), markup=False)


def inspect_file(arguments: argparse.Namespace) -> int:
    """Run ``inspect``."""
    from harness.converter.inspect import inspect
    from harness.converter.text import findings

    found = inspect(arguments.file, arguments.base)
    _result(found.as_json, lambda: findings(found), as_json=arguments.json)
    return COMPLAINTS if found.complaints else 0


def compare_files(arguments: argparse.Namespace) -> int:
    """Run ``compare``."""
    from harness.converter import plot
    from harness.converter.compare import compare
    from harness.converter.text import comparison

    found = compare(arguments.a, arguments.b)
    if arguments.plot:
        plot.write(found, arguments.plot)
    seen = _effect(arguments) if arguments.base else None
    data = {**found.as_json(), "effect_error": seen.error if seen else None}
    _result(lambda: data, lambda: comparison(found), as_json=arguments.json)
    if seen and not arguments.json:
        said = f"{seen.error:.3%}" if seen.error is not None else f"no picture ({seen.outcome})"
        console.out.print(
            f"in pictures of {arguments.base}: effect error {said}, the weights foretell {found.relative:.3%}",
            markup=False,
        )
    return 0


def _effect(arguments: argparse.Namespace) -> Effect:
    from harness.converter import picture_loss
    from sdcpp.building.finished import require_build

    folder = arguments.library or require_build()
    [seen] = picture_loss.effects(folder, picture_loss.base_named(arguments.base), arguments.a, [arguments.b])
    return seen


def show_table(arguments: argparse.Namespace) -> int:
    """Run ``table``."""
    from harness.converter import picture_loss, table
    from harness.quantising.package_quantiser import open_quantiser
    from sdcpp.building.finished import newest_build

    folder = arguments.library or newest_build()
    kinds = [text.strip() for text in arguments.types.split(";")] if arguments.types else table.USUAL
    with open_quantiser(folder) as made:
        base = picture_loss.base_named(arguments.base) if arguments.base else None
        found = table.type_rows(arguments.file, made, kinds, base, folder, pad=arguments.pad_rank)
    console.out.print(table.text(found), markup=False)
    return 0


def merge_files(arguments: argparse.Namespace) -> int:
    """Run ``merge``."""
    from harness.converter.merge_into_base import merge, parse_adapter_argument
    from harness.quantising.package_quantiser import open_quantiser

    with open_quantiser(arguments.library) as made:
        done = merge(
            arguments.base,
            [parse_adapter_argument(text) for text in arguments.adapters],
            arguments.output,
            wanted(arguments.type),
            made,
        )
    _show_conversion(done, False)
    return 0


def _result(data: Callable[[], object], text: Callable[[], str], *, as_json: bool) -> None:
    if as_json:
        console.out.out(json.dumps(data(), indent=1, ensure_ascii=False), highlight=False)
    else:
        console.out.print(text(), markup=False)
