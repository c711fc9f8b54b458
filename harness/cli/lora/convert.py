"""Write a LoRA in another container or type."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from harness.cli.lora import options
from harness.cli.options import positive
from harness.converter import requirements, revision_limits, short_rows, text, type_choice
from harness.converter.convert import convert
from harness.converter.inspect import require_fit
from harness.converter.modules import layout_of
from harness.converter.rewriting import Rewriting
from harness.converter.rewritten_file import for_limits, with_names
from harness.formats.read import read_tensors
from harness.quantising.package_quantiser import open_quantiser

RENAMED = {**options.RENAMED, "--anyway": ("--force",)}
EPILOG = """\
The suffix of the output decides its container: .safetensors, .gguf or .ckpt. Without --type every
tensor keeps its type and its bits. With a quantised type, matrices whose rows are whole blocks get
that type; scalars, vectors and other matrices stay float. --verbose shows the reason for each
tensor. The types are those of the built library, or without a build those of the gguf package.

--for REVISION writes the file so that this revision of stable-diffusion.cpp, without patches,
applies it rightly in every apply mode: names, kinds, ranks and types that it can use, and the same
ΔW. "unpatched" means all revisions with measurements. What cannot be had is refused with the
reason. A DoRA needs the base model, and becomes a full difference, which is as large as the weight;
--rank N writes the best LoRA of rank N instead, and the error.

--names SCHEME writes the names of another program: kohya (sd-scripts), diffusers (PEFT), comfy
(ComfyUI, and the published names of Flux) or onetrainer. Fused layers are put together or divided.

The last lines say which revisions of stable-diffusion.cpp cannot use the file without patches, or
only in some apply modes, and what to do. They are what expectations.toml predicts for the CPU;
nothing is run.

examples
  sdcpp lora convert style.safetensors style.gguf --type Q8_0
  sdcpp lora convert style.safetensors style.gguf --type Q4_K,Q4_0   Q4_0 for short rows
  sdcpp lora convert style.safetensors style.gguf --max-loss 2%      the smallest such file
  sdcpp lora convert style.safetensors style.gguf --type Q4_0 --rebalance
  sdcpp lora convert style.gguf style.safetensors                    its values, exactly
  sdcpp lora convert style.safetensors usable.safetensors --for 2026-05
  sdcpp lora convert dora.safetensors usable.safetensors --for unpatched --base-model model.gguf
  sdcpp lora convert flux.safetensors comfy.safetensors --names comfy
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("input", type=Path, metavar="IN", help="a .safetensors, .gguf or .ckpt file")
    parser.add_argument("output", type=Path, metavar="OUT", help="the file to write")
    options.add_types(parser)
    parser.add_argument(
        "--max-loss",
        type=options.share,
        metavar="SHARE",
        help="choose the smallest types with a relative error of ΔW below this: 2%% or 0.02",
    )
    parser.add_argument(
        "--rebalance",
        action="store_true",
        help="choose other factors of the same ΔW where they lose less at the same size",
    )
    parser.add_argument(
        "--pad-rank", action="store_true", help="with --rebalance: pad the rank to whole blocks"
    )
    target = parser.add_mutually_exclusive_group()
    target.add_argument(
        "--for",
        dest="revision",
        metavar="REVISION",
        help="make it work with this revision without patches: "
        f"{', '.join((*revision_limits.known_revisions(), revision_limits.UNPATCHED))}",
    )
    options.add_names(target)
    parser.add_argument(
        "--rank",
        type=positive,
        metavar="N",
        help="with --for: write a LoRA of this rank in place of a full difference, for DoRA and LoKr",
    )
    options.add_base_model(
        parser,
        "refuse a LoRA that does not fit this model, see sdcpp lora inspect; --for needs it for a DoRA",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="also convert a LoRA that has NaN or lacks parts, as far as possible",
    )
    options.add_no_clobber(parser)
    options.add_amount(
        parser,
        "show every tensor's type and why, and why a revision cannot use the file",
        "show the sizes only",
    )


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.pad_rank and not arguments.rebalance:
        arguments.complain("--pad-rank needs --rebalance")
    if arguments.revision and arguments.max_loss:
        arguments.complain("--max-loss chooses quantised types, which --for excludes")
    if arguments.rank and not arguments.revision:
        arguments.complain("--rank needs --for; sdcpp lora resize changes ranks")
    options.require_free(arguments.output, arguments)
    if arguments.base_model:
        require_fit(arguments.input, arguments.base_model)
    choice = None
    with _rewritten(arguments) as (source, rewriting), open_quantiser(arguments.build) as quantiser:
        if arguments.max_loss:
            choice = type_choice.convert_within_loss(
                source,
                arguments.output,
                arguments.max_loss,
                quantiser,
                arguments.type,
                rebalance=arguments.rebalance,
            )
            done = choice.conversion
        else:
            done = convert(
                source,
                arguments.output,
                arguments.type,
                quantiser,
                force=arguments.force,
                rebalance=arguments.rebalance,
                pad=arguments.pad_rank,
            )
    if rewriting:
        done = replace(done, source=arguments.input, before=arguments.input.stat().st_size)
    file = read_tensors(arguments.output)
    needs = requirements.shortcomings(file) if layout_of(file).modules else []
    advice = short_rows.advice(done.plans)
    lines = [text.conversion(done, verbose=arguments.verbose, quiet=arguments.quiet)]
    if rewriting and not arguments.quiet:
        lines += [rewriting.summary, *rewriting.left_out]
        lines += [rewriting.promise] if rewriting.promise else []
    data = {**done.as_json(), "advice": advice, "needs": [asdict(each) for each in needs]}
    if rewriting:
        data |= {"rewritten": rewriting.done, "left_out": [asdict(each) for each in rewriting.refused]}
    if choice:
        data |= {"predicted_loss": choice.predicted, "measured_loss": choice.measured}
        lines.append(
            f"relative error of ΔW: predicted {choice.predicted:.3%}, measured {choice.measured:.3%}, "
            f"allowed {arguments.max_loss:.3%}"
        )
    if not arguments.quiet:
        lines += [advice] if advice else []
        lines += requirements.described(needs, verbose=arguments.verbose)
    options.show(lambda: data, lambda: "\n".join(lines), as_json=arguments.json)
    return 0


@contextmanager
def _rewritten(arguments: argparse.Namespace) -> Iterator[tuple[Path, Rewriting | None]]:
    """Yield the file to convert and how it was rewritten: the input as it is without --for and --names."""
    base = options.base_tensors(arguments.base_model) if arguments.base_model else None
    if arguments.names:
        with with_names(arguments.input, arguments.names, base=base, force=arguments.force) as (
            path,
            rewriting,
        ):
            yield path, rewriting
    elif arguments.revision:
        with for_limits(
            arguments.input,
            arguments.output,
            revision_limits.limits(arguments.revision),
            types=tuple(arguments.type),
            base=base,
            force=arguments.force,
            rank=arguments.rank,
        ) as (path, rewriting):
            yield path, rewriting
    else:
        yield arguments.input, None
