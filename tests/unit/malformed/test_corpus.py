from __future__ import annotations

import io
import pickletools
import re
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from harness.malformed import paths
from harness.malformed.corpus import corpus
from harness.malformed.fields import ckpt, gguf, safetensors
from harness.malformed.fields.pieces import concatenate
from harness.malformed.malformed_file import MalformedFile, WrittenMalformedFile
from harness.malformed.sound_file import sound_file
from harness.malformed.unusual import variants
from harness.models.tiny_models import FLUX_SMALL, SD1_TINY

SEED = sound_file(FLUX_SMALL)
CORPUS = corpus(FLUX_SMALL)
HEALTHY = {
    "gguf": gguf.build_file(SEED.gguf()),
    "safetensors": safetensors.build_file(SEED.safetensors()),
    "ckpt": concatenate(ckpt.zipped(SEED.ckpt())),
}


def content(recipe: MalformedFile) -> bytes:
    assert recipe.content is not None
    return recipe.content()


FILES = {recipe.name: content(recipe) for recipe in CORPUS if recipe.content}


def truncated(container: str) -> dict[str, int]:
    prefix = f"{container}-truncated-"
    return {name.removeprefix(prefix): len(file) for name, file in FILES.items() if name.startswith(prefix)}


@pytest.mark.parametrize("base", [FLUX_SMALL, SD1_TINY], ids=lambda base: base.name)
def test_there_are_at_least_three_hundred_small_files_that_all_differ(base: object) -> None:
    found = CORPUS if base is FLUX_SMALL else corpus(SD1_TINY)
    files = [content(recipe) for recipe in found if recipe.content]
    assert len(files) >= 300
    assert len(set(files)) == len(files)
    assert len({recipe.name for recipe in found}) == len(found)
    assert sum(map(len, files)) < 20_000_000
    assert max(map(len, files)) < 2_000_000


def test_every_file_differs_from_the_healthy_ones() -> None:
    assert not set(FILES.values()) & set(HEALTHY.values())


def test_recipes_always_make_the_same_bytes() -> None:
    again = corpus(FLUX_SMALL)
    assert [recipe.name for recipe in again] == [recipe.name for recipe in CORPUS]
    assert {recipe.name: content(recipe) for recipe in again if recipe.content} == FILES


def test_every_recipe_has_a_readable_name_a_reason_and_a_right_answer() -> None:
    for recipe in (*CORPUS, *variants(FLUX_SMALL)):
        assert re.fullmatch(r"[A-Za-z0-9_-]+", recipe.name), recipe.name
        assert recipe.why
        assert "\n" not in recipe.why
        assert recipe.accept | recipe.quietly
        assert (recipe.content is None) != (recipe.place is None)
    assert all("without" in recipe.accept | recipe.quietly for recipe in CORPUS)


def test_containers_are_all_there() -> None:
    counts = {c: sum(r.container == c for r in CORPUS) for c in ("gguf", "safetensors", "ckpt", "path")}
    assert min(counts["gguf"], counts["safetensors"], counts["ckpt"]) >= 60
    assert counts["path"] >= 6


def gguf_boundaries(file: bytes) -> set[int]:
    """Walk a GGUF by its specification and return where its fields end."""
    position, found = 0, set()

    def take(form: str) -> int:
        nonlocal position
        [value] = struct.unpack_from(f"<{form}", file, position)
        position += struct.calcsize(form)
        found.add(position)
        return int(value)

    def skip(length: int) -> None:
        nonlocal position
        position += length
        found.add(position)

    def value(kind: int) -> None:
        if kind == 8:
            skip(take("Q"))
        elif kind == 9:
            inner, count = take("I"), take("Q")
            for _ in range(count):
                value(inner)
        else:
            skip({0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}[kind])

    skip(4)
    take("I")
    tensors, entries = take("Q"), take("Q")
    for _ in range(entries):
        skip(take("Q"))
        value(take("I"))
    sizes = []
    for _ in range(tensors):
        skip(take("Q"))
        elements = int(np.prod([take("Q") for _ in range(take("I"))]))
        assert take("I") == 1
        sizes.append((take("Q"), 2 * elements))
    skip(-position % 32)
    for offset, size in sizes:
        found |= {position + offset + size, position + offset + size + -size % 32}
    assert max(found) == len(file)
    return found


def test_gguf_is_cut_at_true_boundaries() -> None:
    boundaries = gguf_boundaries(HEALTHY["gguf"])
    cuts = truncated("gguf")
    assert len(cuts) > 40
    for name, place in cuts.items():
        assert (place in boundaries) == name.startswith(("after-", "before-")), name
        assert FILES[f"gguf-truncated-{name}"] == HEALTHY["gguf"][:place]


def test_safetensors_is_cut_at_true_boundaries() -> None:
    file = HEALTHY["safetensors"]
    [length] = struct.unpack_from("<Q", file)
    tokens = re.finditer(r'"[^"]*"|\d+|[][{},:]', file[8 : 8 + length].decode())
    boundaries = {8, 8 + length, *(8 + token.end() for token in tokens)}
    offsets = re.findall(rb'"data_offsets":\[(\d+),(\d+)\]', file)
    boundaries |= {8 + length + int(end) for _, end in offsets}
    cuts = truncated("safetensors")
    assert len(cuts) > 15
    for name, place in cuts.items():
        assert place in boundaries or not name.startswith("after-"), name


def test_pickles_are_cut_at_true_boundaries() -> None:
    stream = concatenate(SEED.pickle())
    boundaries = {position for _, _, position in pickletools.genops(stream)}
    found = 0
    for name, file in FILES.items():
        if name.startswith("ckpt-pickle-truncated-"):
            cut = zipfile.ZipFile(io.BytesIO(file)).read("archive/data.pkl")
            assert stream.startswith(cut)
            assert (len(cut) in boundaries) == ("-after-" in name), name
            found += 1
    assert found > 12


def test_zips_are_cut_at_true_boundaries() -> None:
    file = HEALTHY["ckpt"]
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        central = archive.start_dir
        headers = [info.header_offset for info in archive.infolist()]
        boundaries = {*headers, *(place + 30 for place in headers)}
        boundaries |= {info.header_offset + 30 + len(info.filename) for info in archive.infolist()}
        for info in archive.infolist():
            boundaries.add(central)
            central += 46 + len(info.filename)
        boundaries.add(central)
    for name, place in truncated("ckpt-zip").items():
        assert (place in boundaries) == name.startswith("after-"), name


@pytest.mark.usefixtures("cache_folder")
def test_files_are_written_where_they_say_and_nowhere_else(cache_folder: Path) -> None:
    chosen = [
        recipe for recipe in CORPUS if recipe.place or recipe.name.startswith(("gguf-magic", "ckpt-html"))
    ]
    for recipe in (*chosen, *variants(FLUX_SMALL)):
        for any_suffix in (True, False):
            file = WrittenMalformedFile(base=FLUX_SMALL, recipe=recipe, any_suffix=any_suffix)
            for _ in range(2):
                assert file.make() == file.path
            assert file.path.is_relative_to(file.folder)
            assert file.folder.is_relative_to(cache_folder)
            assert recipe.content is None or file.path.read_bytes() == recipe.content()
    assert [path.name for path in cache_folder.iterdir()] == ["adapters"]
    assert not [path for path in cache_folder.rglob("*") if path.is_fifo()]


@pytest.mark.usefixtures("cache_folder")
def test_a_file_of_other_content_is_written_anew() -> None:
    file = WrittenMalformedFile(base=FLUX_SMALL, recipe=CORPUS[0])
    file.make().write_bytes(b"of an earlier version")
    assert file.make().read_bytes() == FILES[CORPUS[0].name]


def test_a_library_that_looks_for_suffixes_is_given_one_that_it_finds() -> None:
    for recipe in CORPUS:
        assert WrittenMalformedFile(base=FLUX_SMALL, recipe=recipe, any_suffix=False).path.suffix in (
            ".safetensors",
            ".ckpt",
        )


def test_what_cannot_be_tried_here_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert "root" in paths.left_out()["no-permission"]
    assert "path-no-permission" not in {recipe.name for recipe in paths.recipes()}
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert not paths.left_out()
    assert "path-no-permission" in {recipe.name for recipe in paths.recipes()}


def test_unknown_pieces_are_a_mistake_of_the_recipe() -> None:
    from harness.malformed.gguf_header import changed

    recipe = changed(SEED, "x", "y", {"t9-type": b""})
    with pytest.raises(KeyError, match="t9-type"):
        content(recipe)
