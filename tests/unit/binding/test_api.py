from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdcpp.binding import api, library
from sdcpp.binding.api import (
    Context,
    Lora,
)
from sdcpp.errors import HeaderUnsupported
from tests.unit import fakelib
from tests.unit.binding.small_pictures import Fakes, brightness


def test_the_header_chooses_the_generation(fake_build: Fakes) -> None:
    for name in fakelib.FAKES:
        loaded = library.load(fake_build(name))
        assert api.bind(loaded).generation == api.name_generation(loaded.header) == name[0]


@pytest.mark.parametrize("name", list(fakelib.FAKES))
def test_one_generation_alone_claims_a_header(fake_build: Fakes, name: str) -> None:
    loaded = library.load(fake_build(name))
    fitting = [made for fits, made, _ in api.GENERATIONS if fits(loaded.header)]
    assert len(fitting) == 1
    assert type(api.bind(loaded)) is fitting[0]
    assert api.name_convention(loaded.header) == fitting[0].__name__


def test_an_unknown_generation_is_refused(fake_build: Fakes) -> None:
    loaded = library.load(fake_build("C"))
    del loaded.header.structs["sd_img_gen_params_t"]  # type: ignore[attr-defined]
    with pytest.raises(HeaderUnsupported, match="unknown generation"):
        api.bind(loaded)


def test_adapters_have_their_effect_by_multiplier(context: Context, tmp_path: Path) -> None:
    one, two = tmp_path / "one.safetensors", tmp_path / "sub" / "two.ckpt"
    two.parent.mkdir()
    one.touch()
    two.touch()
    without = brightness(context)
    assert brightness(context, Lora(path=one, multiplier=1.0)) - without == pytest.approx(16)
    assert brightness(context, Lora(path=one, multiplier=-0.5)) - without == pytest.approx(-8)
    both = (Lora(path=one, multiplier=1.0), Lora(path=two, multiplier=2.0))
    assert brightness(context, *both) - without == pytest.approx(48)
    assert brightness(context) == without


def test_a_gguf_adapter_is_found_by_path_but_not_by_name(
    context: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    adapter = tmp_path / "x.gguf"
    adapter.touch()
    effect = brightness(context, Lora(path=adapter)) - brightness(context)
    assert effect == pytest.approx(16 if context.api.generation == "C" else 0)
    monkeypatch.setenv("FAKE_GGUF", "1")
    assert brightness(context, Lora(path=adapter)) - brightness(context) == pytest.approx(16)
