from __future__ import annotations

import pytest

from harness.malformed.fields.pieces import Pieces, concatenate, ends, replaced


def test_pieces_join_to_the_file_and_end_where_they_say() -> None:
    parts: Pieces = {"a": b"12", "b": b"", "c": b"345"}
    assert concatenate(parts) == b"12345"
    assert ends(parts) == {"a": 2, "b": 2, "c": 5}
    assert replaced(parts, {"b": b"67"}) == {"a": b"12", "b": b"67", "c": b"345"}
    with pytest.raises(KeyError, match="no pieces"):
        replaced(parts, {"d": b""})
