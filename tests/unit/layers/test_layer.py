from __future__ import annotations

from harness.layers.layer import Family, Place, pieces, plain, swapped

FAMILY = Family(
    name="example",
    layers={
        "block.{n}.qkv": pieces((1, 1, 2), "part.{n}.q", "part.{n}.k", "part.{n}.v"),
        "block.{n}.{rest}": plain("other.{n}.{rest}"),
        "final": (swapped("end"), swapped("last", ratio=2)),
    },
    marks=("block.{n}.qkv",),
    rest="a|a_b",
)


def test_a_name_stands_for_the_rows_of_a_piece_or_for_all_rows() -> None:
    assert FAMILY.place("block.3.qkv") == Place(layer="block_3_qkv")
    assert FAMILY.place("part_3_k") == Place(layer="block_3_qkv", units=(1, 1, 2), take=(1,))
    assert FAMILY.place("other.12.a.b") == Place(layer="block_12_a_b")
    assert FAMILY.place("end") == Place(layer="final", units=(1, 1), take=(1, 0))
    assert FAMILY.place("nowhere") is None
    assert FAMILY.place("other.12.c") is None


def test_a_ratio_restricts_an_exchange_to_weights_of_a_shape() -> None:
    place = FAMILY.place("last")
    assert place is not None
    assert place.within((128, 64)) == Place(layer="final", units=(1, 1), take=(1, 0))
    assert place.within((384, 64)) == Place(layer="final")
    assert place.within((128,)) == Place(layer="final")


def test_marks_tell_a_family() -> None:
    assert FAMILY.has_mark(["x", "block_0_qkv"])
    assert not FAMILY.has_mark(["block_0_other"])
