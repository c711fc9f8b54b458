from __future__ import annotations

import ctypes
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdcpp.binding.api import (
    Lora,
    lora_tags,
)
from sdcpp.errors import FileInvalid


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_a_multiplier_survives_the_prompt(multiplier: float) -> None:
    folder = Path("loras")
    words = lora_tags.lora_tag(Lora(path=folder / "x.gguf", multiplier=multiplier), folder)
    name, text = words.removeprefix("<lora:").removesuffix(">").split(":")
    assert name == "x"
    assert ctypes_float(text) == multiplier
    assert "," not in text


def ctypes_float(text: str) -> float:
    return ctypes.c_float(float(text)).value


def test_an_adapter_elsewhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileInvalid, match="outside of the context's LoRA folder"):
        lora_tags.lora_tag(Lora(path=tmp_path / "elsewhere" / "x.gguf"), tmp_path / "loras")


@pytest.mark.parametrize("name", ["a:b.gguf", "a>b.gguf"])
def test_a_name_that_breaks_the_prompt_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileInvalid, match="a name that a prompt cannot contain"):
        lora_tags.lora_tag(Lora(path=tmp_path / name), tmp_path)


def test_a_file_that_another_one_hides_is_refused(tmp_path: Path) -> None:
    for suffix in ("safetensors", "gguf"):
        (tmp_path / f"x.{suffix}").touch()
    assert lora_tags.lora_tag(Lora(path=tmp_path / "x.safetensors"), tmp_path) == "<lora:x:1>"
    with pytest.raises(FileInvalid, match=r"would load x.safetensors instead of"):
        lora_tags.lora_tag(Lora(path=tmp_path / "x.gguf"), tmp_path)


def test_an_adapter_for_the_high_noise_model_is_marked() -> None:
    lora = Lora(path=Path("loras/x.gguf"), is_high_noise=True)
    assert lora_tags.lora_tag(lora, Path("loras")) == "<lora:|high_noise|x:1>"
