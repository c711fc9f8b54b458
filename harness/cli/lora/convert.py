"""Write a LoRA in another container or type."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from harness.cli.commands import CommandParser
from harness.cli.lora import options, several
from harness.cli.options import positive
from harness.converter import requirements, revision_limits, short_rows, text, type_choice
from harness.converter.convert import Conversion, convert
from harness.converter.inspect import require_fit
from harness.converter.modules import layout_of
from harness.converter.rewriting import Rewriting
from harness.converter.rewritten_file import for_limits, with_names
from harness.formats.read import read_tensors
from harness.quantising.package_quantiser import open_quantiser
from harness.quantising.quantiser import Quantiser
from sdcpp.waiting_line import Progress, counted, part

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

With several files and --output-dir, one that cannot be converted does not keep the others from
being written; its exit status is that of the command.

examples
  sdcpp lora convert style.safetensors style.gguf --type Q8_0
  sdcpp lora convert style.safetensors style.gguf --type Q4_K,Q4_0   Q4_0 for short rows
  sdcpp lora convert style.safetensors style.gguf --max-loss 2%      the smallest such file
  sdcpp lora convert style.safetensors style.gguf --type Q4_0 --rebalance
  sdcpp lora convert style.gguf style.safetensors                    its values, exactly
  sdcpp lora convert style.safetensors usable.safetensors --for 2026-05
  sdcpp lora convert dora.safetensors usable.safetensors --for unpatched --base-model model.gguf
  sdcpp lora convert flux.safetensors comfy.safetensors --names comfy
  sdcpp lora convert loras/*.safetensors --output-dir out --container gguf
"""


def add_arguments(parser: CommandParser) -> None:
    """Add the options of the command."""
    several.add_outputs(parser, "a .safetensors, .gguf or .ckpt file")
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
    pairs = several.pairs(arguments)
    with open_quantiser(arguments.build) as quantiser:
        return several.run_each(
            pairs, lambda pair: pair[0], lambda pair: _convert(*pair, arguments, quantiser), arguments
        )


def _convert(path: Path, target: Path, arguments: argparse.Namespace, quantiser: Quantiser) -> several.Result:
    """Convert a file, and return what was written and what it needs."""
    options.require_free(target, arguments)
    with counted(f"converting {path.name}") as progress:
        done, rewriting, choice = _written(path, target, arguments, quantiser, progress)
    if rewriting:
        done = replace(done, source=path, before=path.stat().st_size)
    file = read_tensors(target)
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
    return several.Result(data=lambda: data, text=lambda: "\n".join(lines))


def _written(
    path: Path, target: Path, arguments: argparse.Namespace, quantiser: Quantiser, progress: Progress
) -> tuple[Conversion, Rewriting | None, type_choice.Choice | None]:
    """Write the file ``target``. Return the conversion, how the input was rewritten, and which types were chosen."""
    checked = 0.1 if arguments.base_model else 0
    rewritten = 0.7 if arguments.names or arguments.revision else checked
    if arguments.base_model:
        require_fit(path, arguments.base_model, part(progress, 0, checked))
    with _rewritten(path, target, arguments, part(progress, checked, rewritten)) as (source, rewriting):
        rest = part(progress, rewritten, 1)
        if arguments.max_loss:
            choice = type_choice.convert_within_loss(
                source,
                target,
                arguments.max_loss,
                quantiser,
                arguments.type,
                rebalance=arguments.rebalance,
                progress=rest,
            )
            return choice.conversion, rewriting, choice
        done = convert(
            source,
            target,
            arguments.type,
            quantiser,
            force=arguments.force,
            rebalance=arguments.rebalance,
            pad=arguments.pad_rank,
            progress=rest,
        )
    return done, rewriting, None


@contextmanager
def _rewritten(
    source: Path, target: Path, arguments: argparse.Namespace, progress: Progress
) -> Iterator[tuple[Path, Rewriting | None]]:
    """Yield the file to convert and how it was rewritten: the input as it is without --for and --names."""
    base = options.base_tensors(arguments.base_model) if arguments.base_model else None
    if arguments.names:
        with with_names(source, arguments.names, base=base, force=arguments.force, progress=progress) as (
            path,
            rewriting,
        ):
            yield path, rewriting
    elif arguments.revision:
        with for_limits(
            source,
            target,
            revision_limits.limits(arguments.revision),
            types=tuple(arguments.type),
            base=base,
            force=arguments.force,
            rank=arguments.rank,
            progress=progress,
        ) as (path, rewriting):
            yield path, rewriting
    else:
        yield source, None
