"""A corpus with a small model and LoRAs for it, for tests."""

from __future__ import annotations

from pathlib import Path

from tests.unit.own_model.own_files import flux, lora

TEXT = """
folders = ["files"]

[[model]]
name = "flux"
files = {{ model = "flux.safetensors" }}

[[case]]
name = "style"
adapter = "style.safetensors"
multiplier = 2.0
{more}
"""


def corpus(folder: Path, more: str = "", rest: str = "") -> Path:
    """Write a corpus of one case and its files; ``more`` are lines of the case, ``rest`` are tables after it."""
    (folder / "files").mkdir(parents=True, exist_ok=True)
    if not (folder / "files" / "flux.safetensors").exists():
        flux(folder / "files" / "flux.safetensors")
        lora(folder / "files" / "style.safetensors")
    path = folder / "corpus.toml"
    path.write_text(TEXT.format(more=more) + rest, encoding="utf-8")
    return path
