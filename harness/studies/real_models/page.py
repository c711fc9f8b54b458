"""docs/real-models.md: on which models of real size ``sdcpp lora try`` was run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.reports.markdown import head, row
from harness.studies.real_models.study import Attempt
from harness.text import number, plural
from sdcpp import atomic_write, project

PAGE = project.ROOT / "docs" / "real-models.md"
_MODES = ("immediately", "at_runtime")
_COLUMNS = ("model", "GB", "LoRA", "library", "device", *_MODES, "memory, GB", "seconds")
_END = """
The models have the tensors of published models and random values: the whole UNet of Stable Diffusion 1 and of SDXL in
F16, and Flux with all its blocks in Q8_0, each with its CLIP and a tiny autoencoder. The LoRA changes the linear layers
of the blocks, in Flux those of attention. A picture with the LoRA passes if it is that of the model into which
`sdcpp lora merge` merged the LoRA beforehand; the effect error says how far both differ. *Memory* is the peak of the
largest process of the command, without the memory of a GPU. *Seconds* include writing the merged model, and are longer
where other work ran on the machine. No published weights were used.

This page is made from [results/real-models.json](../results/real-models.json). `sdcpp study real-models --write-docs`
runs the models and writes both; with `--recorded` it makes the page again.
"""


def page(attempts: Sequence[Attempt]) -> str:
    """Return the page as Markdown."""
    return "\n".join(["# Models of real size", "", *_table(attempts)]) + "\n" + _END


def _table(attempts: Sequence[Attempt]) -> Iterator[str]:
    works = sum(_works(each) for each in attempts)
    yield (
        f"`sdcpp lora try` was run on {plural(len(attempts), 'combination')} of a model of real size, a"
        f" build and a device. In {works} of them every apply mode passes."
    )
    yield ""
    yield from head(_COLUMNS)
    yield from map(_row, attempts)
    yield ""
    yield "The commands:"
    yield ""
    yield from (f"    {command}" for command in dict.fromkeys(each.command for each in attempts))


def _row(attempt: Attempt) -> str:
    results = [attempt.problem, ""] if attempt.problem else [_mode(attempt, mode) for mode in _MODES]
    return row(
        [
            attempt.base,
            f"{attempt.size / 1e9:.1f}",
            attempt.adapter,
            f"{attempt.revision} {'with' if attempt.patched else 'without'} patches, {attempt.backend}",
            f"{attempt.device}, {attempt.date}",
            *results,
            f"{attempt.memory / 1e9:.1f}",
            f"{attempt.seconds:.0f}",
        ]
    )


def _works(attempt: Attempt) -> bool:
    return bool(attempt.verdicts) and set(attempt.verdicts.values()) == {"PASS"}


def _mode(attempt: Attempt, mode: str) -> str:
    error = attempt.errors.get(mode)
    return f"{attempt.verdicts.get(mode, '')}{'' if error is None else f', {number(error)}'}"


def write(attempts: Sequence[Attempt]) -> Path:
    """Write the page and return its path."""
    atomic_write.write(PAGE, page(attempts))
    return PAGE
