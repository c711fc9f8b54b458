from __future__ import annotations

from pathlib import Path

import pytest

from sdcpp.binding import api, library
from sdcpp.binding.api import GenerationFailed, ModelFiles, generation_c_out
from tests.unit.binding.small_pictures import PICTURE, Fakes


def test_images_come_by_a_parameter_and_false_is_a_refusal(
    fake_build: Fakes, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, returned = (api.bind(library.load(fake_build(name))) for name in ("C-out", "C"))
    assert isinstance(out, generation_c_out.GenerationCOut)
    assert not isinstance(returned, generation_c_out.GenerationCOut)
    pictures = []
    for bound in (out, returned):
        with bound.open(ModelFiles(model=model), mode="auto", threads=1, lora_dir=tmp_path) as context:
            pictures.append(context.generate(PICTURE))
            with monkeypatch.context() as steered:
                steered.setenv("FAKE_NULL", "generate")
                with pytest.raises(GenerationFailed, match="generate_image"):
                    context.generate(PICTURE)
    assert pictures[0] == pictures[1]
