from __future__ import annotations

from pathlib import Path

from harness.malformed import gguf_tensors
from harness.malformed.fields import gguf
from harness.malformed.sound_file import FEW, SoundFile
from tests.unit.malformed.malformed_contents import content, readable

#: Files in which only the name of a tensor is another, or where another shape or type of as many bytes fits.
WELL_FORMED = {
    *(f"gguf-name-{word}" for word in ("127-bytes", "128-bytes", "4-kib", "1-mib", "percent-s")),
    *("gguf-bit-flip-06-t3-name", "gguf-bit-flip-07-t3-name"),
    *("gguf-t1-dim0-one-less", "gguf-t5-dim1-one-less"),
    *("gguf-t1-dims-swapped", "gguf-t1-dims-halved-and-doubled", "gguf-t5-type-I16"),
}


def test_a_strict_reader_refuses_all_but_those_whose_fields_agree(sound: SoundFile, tmp_path: Path) -> None:
    assert readable(gguf_tensors.recipes(sound), tmp_path / "x.gguf") == WELL_FORMED


def test_the_data_are_those_of_the_sound_file(sound: SoundFile) -> None:
    parts = sound.gguf(metadata=FEW)
    data = b"".join(piece for label, piece in parts.items() if label.endswith(("-data", "-padding")))
    assert gguf.build_file(parts).endswith(data)
    for recipe in gguf_tensors.recipes(sound):
        assert content(recipe).endswith(data), recipe.name


def test_the_answer_for_one_bad_tensor_is_the_pair_that_it_is_not_in(sound: SoundFile) -> None:
    accepted = {recipe.name: recipe.accept for recipe in gguf_tensors.recipes(sound)}
    assert accepted["gguf-t1-type-removed-4"] == {"without", "second"}
    assert accepted["gguf-t5-type-removed-4"] == {"without", "first"}
    assert accepted["gguf-offsets-all-zero"] == {"without"}
