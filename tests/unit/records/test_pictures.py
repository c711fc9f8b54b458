from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest

from harness.records import pictures, record
from harness.records.pictures import Pictures, Pixels
from sdcpp.errors import FileInvalid

FIRST: Pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
SECOND: Pixels = np.full((2, 4, 3), 7, np.uint8)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets the name of each picture when it is decoded."""
    names: list[str] = []
    decode = pictures._decoded

    def watch(name: str, encoded: str) -> Pixels:
        names.append(name)
        return decode(name, encoded)

    monkeypatch.setattr(pictures, "_decoded", watch)
    return names


def read_pictures(folder: Path, *written: Pixels) -> Pictures:
    """Return the pictures of a records file that was written and read."""
    with record.Writer(folder / "records.jsonl") as writer:
        writer.run(record.Run(plan="", title="", command="", machine={}, started="", project=""))
        for pixels in written:
            writer.picture(pixels)
    return record.read(folder / "records.jsonl").pictures


def test_a_picture_is_decoded_once_and_only_when_it_is_used(tmp_path: Path, decoded: list[str]) -> None:
    found = read_pictures(tmp_path, FIRST, SECOND)
    first, second = pictures.digest(FIRST), pictures.digest(SECOND)
    assert list(found) == [first, second]
    assert (len(found), first in found, "another" in found, found.get("another")) == (2, True, False, None)
    assert decoded == []
    assert np.array_equal(found[first], FIRST)
    assert found[first] is found[first]
    assert decoded == [first]


def test_adding_pictures_decodes_none_of_them(tmp_path: Path, decoded: list[str]) -> None:
    both = Pictures()
    both.add({"mine": SECOND})
    both.add(read_pictures(tmp_path, FIRST))
    assert list(both) == ["mine", pictures.digest(FIRST)]
    assert decoded == []
    assert np.array_equal(both[pictures.digest(FIRST)], FIRST)


def test_pictures_are_equal_if_their_pixels_are(tmp_path: Path) -> None:
    found, name = read_pictures(tmp_path, FIRST), pictures.digest(FIRST)
    assert found == {name: FIRST.copy()}
    assert found != {name: FIRST + 1}
    assert found != {}
    found[name] = SECOND
    assert found == {name: SECOND}
    del found[name]
    assert found == {}


@pytest.mark.parametrize("encoded", ["no base64!", base64.b64encode(b"no PNG").decode()])
def test_a_picture_that_cannot_be_decoded_is_named(encoded: str) -> None:
    found = Pictures()
    found.add_png("abcd", encoded)
    with pytest.raises(FileInvalid, match="abcd"):
        found["abcd"]


def test_a_picture_that_is_no_text_is_a_broken_line(tmp_path: Path) -> None:
    read_pictures(tmp_path)
    path = tmp_path / "records.jsonl"
    with path.open("a", encoding="utf-8") as file:
        file.write('{"record":"picture","sha256":"abcd","png":null}\n')
    with pytest.raises(FileInvalid, match=r"records\.jsonl:2"):
        record.read(path)


def test_the_digest_depends_on_the_shape_and_on_every_pixel() -> None:
    other = FIRST.copy()
    other[3, 3, 2] += 1
    names = {pictures.digest(pixels) for pixels in (FIRST, other, FIRST.reshape(2, 8, 3))}
    assert len(names) == 3
    assert pictures.digest(FIRST.copy()) in names
