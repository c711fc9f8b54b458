from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sdcpp.binding import abi_check, header
from sdcpp.binding.declarations import Enum, Field, Scalar
from sdcpp.errors import HeaderUnsupported, LayoutMismatch, ToolMissing
from sdcpp.machine import toolchain
from tests.unit import fakelib


@pytest.mark.parametrize("name", list(fakelib.FAKES))
def test_a_header_is_checked_without_a_build(tmp_path: Path, name: str) -> None:
    proved = abi_check.check_abi(fakelib.tree(tmp_path / "tree", name))
    assert proved.generation == name[0]
    assert proved.context_arguments == (8 if name == "A-positional" else 1)
    assert min(proved.functions, proved.structs, proved.enumerators) > 0


@pytest.mark.parametrize("place", ["argument", "field", "enumerator"])
def test_a_planted_misreading_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    tree = fakelib.tree(tmp_path / "tree", "A-positional")
    read = header.read(tree / "stable-diffusion.h")
    if place == "argument":
        function = read.functions["txt2img"]
        first, second, third, fourth, *rest = function.arguments
        wrong = (first, second, third, Field(name=fourth.name, type=Scalar(name="double")), *rest)
        functions = {**read.functions, "txt2img": replace(function, arguments=wrong)}
        read = replace(read, functions=functions)
    elif place == "field":
        image = read.structs["sd_image_t"]
        turned = tuple(reversed(image.fields or ()))
        read = replace(read, structs={**read.structs, "sd_image_t": replace(image, fields=turned)})
    else:
        levels = read.enums["sd_log_level_t"]
        values = {name: value + 1 for name, value in levels.values.items()}
        read = replace(
            read,
            enums={
                **read.enums,
                "sd_log_level_t": Enum(name=levels.name, spelling=levels.spelling, values=values),
            },
        )
    monkeypatch.setattr(header, "read", lambda _: read)
    with pytest.raises(LayoutMismatch, match=r"conflicting|sd_image_t|SD_LOG_DEBUG"):
        abi_check.check_abi(tree)


def test_a_header_that_cannot_be_called_fails_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stable-diffusion.h").write_text("int something_else(void);", encoding="utf-8")
    with pytest.raises(HeaderUnsupported, match="unknown generation"):
        abi_check.check_abi(tmp_path)
    monkeypatch.setattr(toolchain, "which", lambda _: None)
    with pytest.raises(ToolMissing, match=r"no C\+\+ compiler"):
        abi_check.check_abi(fakelib.tree(tmp_path / "tree", "B"))
