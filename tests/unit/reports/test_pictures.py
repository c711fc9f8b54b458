from __future__ import annotations

import numpy as np

from harness.reports.pictures import Album, difference
from tests.unit.example_records import many, picture


def test_a_difference_is_amplified_as_far_as_it_goes() -> None:
    wanted = np.full((8, 8, 3), 100, np.uint8)
    got = wanted.copy()
    got[2, 3] = (102, 96, 100)
    pixels, factor, largest = difference(got, wanted)
    assert (factor, largest) == (50, 4)
    assert pixels[2, 3].tolist() == [100, 200, 0]
    assert pixels.sum() == 300
    assert difference(wanted, wanted)[1:] == (1, 0)


def test_an_album_holds_each_picture_once() -> None:
    found = many(40)
    album = Album(found, 10**9)
    indices = [album.add(dict(each.pictures)) for each in found.cells]
    held = {name for each in found.cells for name in each.pictures.values()}
    gaps = {p["difference"] for p in indices if "difference" in p}
    assert len(album.uris) == len(held) + len(gaps)
    assert len({p["without"] for p in indices if p}) == 1
    assert album.add({"got": "not in the records"}) == {}


def test_pictures_of_the_examples_can_be_told_apart() -> None:
    without = picture("a")
    effect = picture("b", like=without, strength=14).astype(float) - without
    assert 12 < float(np.sqrt(np.mean(effect**2))) < 16
