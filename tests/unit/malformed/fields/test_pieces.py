from __future__ import annotations

import pytest

from harness.malformed.fields.pieces import Pieces, concatenate, ends, without


def test_pieces_join_to_the_file_and_end_where_they_say() -> None:
    parts: Pieces = {"a": b"12", "b": b"", "c": b"345"}
    assert concatenate(parts) == b"12345"
    assert ends(parts) == {"a": 2, "b": 2, "c": 5}
    assert without(parts, "b") == {"a": b"12", "c": b"345"}
    with pytest.raises(KeyError):
        without(parts, "d")
