"""Say whether LoRAs work with a model, why not, and what to do, from known results or pictures."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.cases.settings import ContextSettings
from harness.cli import options as run_options
from harness.cli.commands import CommandParser
from harness.cli.lora import model_options, options, several
from harness.converter.compare import compare
from harness.converter.merge_into_base import parse_adapter_argument
from harness.own_model import advice, page, results, text
from harness.own_model.builds import builds
from harness.own_model.examination import examine
from harness.own_model.model import UserModel, read_model
from harness.own_model.pictures import Settings, Trial, try_adapter
from harness.own_model.reference import Adapter
from sdcpp import atomic_write, console
from sdcpp.binding.build_folder import Build
from sdcpp.errors import FileInvalid
from sdcpp.source import revision
from sdcpp.waiting_line import counted

#: Exit status if a file is not expected to work everywhere, or does not.
FAILS = 1
#: Upstream's options of the context, the settings that they mean, and their help.
_FLAGS = {
    "--offload-to-cpu": ("offload_params_to_cpu", "keep the weights in the main memory"),
    "--clip-on-cpu": ("keep_clip_on_cpu", "run the text encoder on the CPU"),
    "--diffusion-fa": ("diffusion_flash_attn", "use flash attention"),
    "--mmap": ("enable_mmap", "map the model into memory, a copy of it that must not change"),
    "--free-params": ("free_params_immediately", "free the weights after use, as upstream's program does"),
}
#: The page in the folder of --output.
_REPORT = "report.html"
#: The rounds of --changing-multipliers unless it has a number.
_ROUNDS = 10

RENAMED = {
    **options.RENAMED,
    "--base-model": ("--model",),
    "--base": ("--model",),
    "--source": ("--original",),
}
EPILOG = """\
The first line of a file is the answer. Without --revision, --checkout or --build nothing is built
or run: the answer is what the named revisions are expected to do, from the expected verdicts of
this project's own cases (expectations.toml).

With one of these options the library makes pictures of the model: without the LoRA, with it in each
apply mode, and with the LoRA merged beforehand, as by sdcpp lora merge. The merged model takes as
much space as the model. It is kept in the cache. The pictures are on a page in the --output folder.

exit status
  0 if it works, 1 if it does not, 63 if the pictures cannot be judged

examples
  sdcpp lora try style.gguf --model sd15.safetensors
  sdcpp lora try style.gguf --diffusion-model flux1-dev-q8_0.gguf --clip_l clip_l.safetensors
  sdcpp lora try style.gguf --model sd15.safetensors --revision 2026-07
  sdcpp lora try style-q4.gguf --original style.safetensors --model sd15.gguf --revision 2026-07
  sdcpp lora try style.gguf@0.8 --model sd15.safetensors --checkout ~/stable-diffusion.cpp
"""


def add_arguments(parser: CommandParser) -> None:
    """Add the options of the command."""
    several.add_files(parser, "a LoRA", metavar="FILE[@MULTIPLIER]", kind=str)
    model_options.add_arguments(parser)
    library = parser.add_argument_group("the library that makes pictures; without one, nothing is run")
    library.add_argument(
        "--revision", action="append", metavar="NAME", help="a revision of revisions.toml; may be repeated"
    )
    run_options.add_checkout(library)
    library.add_argument(
        "--build", type=Path, metavar="DIR", help="the folder of a finished build, as sdcpp build prints it"
    )
    library.add_argument("--side", choices=run_options.SIDES, default="pristine", help="default: pristine")
    run_options.add_backend(parser)
    _add_picture_options(parser.add_argument_group("the pictures"))
    options.add_no_clobber(parser)
    options.add_amount(
        parser, "show all problems, reasons and log lines in full", "show one line for each file"
    )


def _add_picture_options(group: argparse._ArgumentGroup) -> None:
    """Add the options of the pictures, with the names of upstream's program."""
    usual = Settings()
    group.add_argument("-p", "--prompt", default=usual.prompt, help="default: %(default)s")
    for name, short, value in (
        ("width", "-W", usual.width),
        ("height", "-H", usual.height),
        ("steps", None, usual.steps),
        ("threads", "-t", usual.threads),
    ):
        group.add_argument(
            *filter(None, (short, f"--{name}")),
            type=run_options.positive,
            default=value,
            metavar="N",
            help="default: %(default)s",
        )
    group.add_argument("-s", "--seed", type=int, default=usual.seed, metavar="N", help="default: %(default)s")
    group.add_argument(
        "--cfg-scale", type=float, default=usual.cfg_scale, metavar="X", help="default: %(default)s"
    )
    group.add_argument(
        "--clip-skip", type=int, default=usual.clip_skip, metavar="N", help="default: the library's"
    )
    group.add_argument(
        "--lora-apply-mode",
        action="append",
        default=[],
        choices=("immediately", "at_runtime", "auto"),
        help="only this mode; may be repeated (default: immediately and at_runtime; auto is one of the two)",
    )
    group.add_argument(
        "-b",
        "--batch-count",
        type=run_options.positive,
        default=usual.batch_count,
        metavar="N",
        help="pictures of a batch (default: %(default)s)",
    )
    group.add_argument(
        "--changing-multipliers",
        type=run_options.positive,
        nargs="?",
        const=_ROUNDS,
        default=usual.changes,
        metavar="N",
        help="also make pictures with 1, 0.9, ... 0 times the multiplier and then without the LoRA in one context, "
        f"N times ({_ROUNDS}); the last must be that of a new context",
    )
    for flag, (member, words) in _FLAGS.items():
        group.add_argument(flag, dest=member, action="store_true", help=words)
    group.add_argument(
        "--original",
        type=Path,
        metavar="FILE",
        help="the float LoRA that FILE was made from, to measure the loss",
    )
    group.add_argument(
        "--timeout",
        type=float,
        default=usual.timeout,
        metavar="S",
        help="seconds for a picture, and for all of --changing-multipliers (default: %(default)g)",
    )
    group.add_argument(
        "--output", type=Path, default=Path("reports/try"), metavar="DIR", help="default: %(default)s"
    )


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    named = model_options.files(arguments)
    runs = bool(arguments.revision or arguments.checkout or arguments.build)
    if runs and not named:
        arguments.complain("pictures need a model: give --model or --diffusion-model")
    if arguments.changing_multipliers and arguments.free_params_immediately:
        arguments.complain("a context of --free-params makes one picture: leave out --changing-multipliers")
    if arguments.original and len(arguments.files) > 1:
        arguments.complain("--original is for a single FILE")
    model = read_model(named) if named else None
    if runs and model is not None and model.hopeless:
        raise FileInvalid(
            model.hopeless[0], next(iter(named.values())), "leave out --revision, --checkout and --build"
        )
    adapters = [_adapter(text) for text in arguments.files]
    if runs:
        options.require_free(arguments.output / _REPORT, arguments)
    libraries = _libraries(arguments) if runs else []
    report = arguments.output / _REPORT
    shown: list[page.Shown] = []

    def work(adapter: Adapter) -> several.Result:
        one, status = _one(arguments, adapter, model, libraries)
        shown.append(one)
        loss = _loss(arguments.original, adapter.path)
        return several.Result(
            data=lambda: {**_json(one), "loss": loss}, text=lambda: _text(one, arguments, loss), status=status
        )

    status = several.run_each(adapters, lambda adapter: adapter.path, work, arguments, listed=True)
    if libraries and shown:
        atomic_write.write(report, page.write(shown, _settings(arguments)))
        console.note(f"wrote {report}")
    return status


def _adapter(text: str) -> Adapter:
    weighted = parse_adapter_argument(text)
    return Adapter(path=weighted.path, multiplier=weighted.multiplier)


def _libraries(arguments: argparse.Namespace) -> list[Build]:
    """Return the builds to try."""
    named = run_options.revisions(arguments) if arguments.revision or arguments.checkout else []
    return builds(named, run_options.SIDES[arguments.side], arguments.backend, arguments.build)


def _settings(arguments: argparse.Namespace) -> Settings:
    return Settings(
        prompt=arguments.prompt,
        width=arguments.width,
        height=arguments.height,
        steps=arguments.steps,
        cfg_scale=arguments.cfg_scale,
        seed=arguments.seed,
        clip_skip=arguments.clip_skip,
        batch_count=arguments.batch_count,
        changes=arguments.changing_multipliers,
        modes=tuple(arguments.lora_apply_mode),
        threads=arguments.threads,
        timeout=arguments.timeout,
        context=ContextSettings(**{member: getattr(arguments, member) for member, _ in _FLAGS.values()}),
    )


def _one(
    arguments: argparse.Namespace, adapter: Adapter, model: UserModel | None, libraries: Sequence[Build]
) -> tuple[page.Shown, int]:
    """Return what is known about a file, after the pictures were made, and its exit status."""
    tried = {str(library.record["revision"]) for library in libraries}
    names = [name for name in run_options.REVISIONS if name in tried] or run_options.REVISIONS
    known = [revision.find(name) for name in names]
    settings = _settings(arguments)
    with counted(f"reading {adapter.path.name}") as progress:
        examined = examine(
            adapter.path,
            model,
            known,
            arguments.backend,
            generation=settings.generation,
            context=settings.context,
            asks_changes=bool(settings.changes),
            progress=progress,
        )
    trials: list[Trial] = []
    if model is not None and examined.adapter.modules:
        for library in libraries:
            trials.append(try_adapter(library, adapter, model, settings, source=arguments.original))
    if trials:
        status = results.status(trials)
        said = results.conclusion(examined, trials)
    else:
        status = 0 if advice.works(examined) else FAILS
        said = advice.conclusion(examined)
    return page.Shown(examined=examined, trials=trials, conclusion=said, works=status == 0), status


def _loss(source: Path | None, path: Path) -> float | None:
    """Return the relative error of ΔW against the source, or None without one."""
    if source is None:
        return None
    with counted(f"comparing {path.name}") as progress:
        return compare(source, path, progress).relative


def _json(shown: page.Shown) -> dict[str, Any]:
    found = text.as_json(shown.examined)
    return {**found, "conclusion": shown.conclusion, "tried": results.as_json(shown.trials)}


def _text(shown: page.Shown, arguments: argparse.Namespace, loss: float | None) -> str:
    tried = list(results.lines(shown.examined, shown.trials, verbose=arguments.verbose))
    if loss is not None:
        tried.append(f"  relative error of ΔW against {arguments.original.name}: {loss:.3%}")
    return text.examination(
        shown.examined,
        shown.conclusion,
        tried,
        verbose=arguments.verbose,
        quiet=arguments.quiet,
    )
