from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.formats.read import read_tensors
from sdcpp.errors import Error, UnsafePickle
from tests.unit.formats.tensor_files import EXAMPLES, archive, check_one_line, decode_all


class _Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_that_would_run_something_is_refused_by_name(tmp_path: Path, protocol: int) -> None:
    evil = pickle.dumps({"w": _Evil(tmp_path / "ran")}, protocol=protocol)
    with pytest.raises(UnsafePickle, match=r"(getattr|pathlib\S*) at byte \d+"):
        read_tensors(archive(tmp_path / "x.ckpt", evil))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name",
    [
        "os system",
        "builtins eval",
        "torch load",
        "torch._utils _rebuild_sparse_tensor",
        "collections Counter",
    ],
)
def test_every_name_but_those_of_tensors_is_refused(tmp_path: Path, name: str) -> None:
    module, function = name.split()
    with pytest.raises(UnsafePickle, match=f"{module}.{function}"):
        read_tensors(archive(tmp_path / "x.ckpt", b"\x80\x02c" + f"{module}\n{function}\n".encode() + b")R."))


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    tokens=st.lists(
        st.sampled_from([*b"(){}[]lt\x85\x86\x87QR.ub0aes2Nq\x00h\x00cX\x8c\x93\x94K\x05"]), max_size=30
    )
)
def test_any_pickle_is_read_or_refused_with_an_error_of_this_project(
    fuzz_folder: Path, tokens: list[int]
) -> None:
    path = fuzz_folder / "x.ckpt"
    head = b"\x80\x02}q\x00ctorch._utils\n_rebuild_tensor_v2\nctorch\nFloatStorage\n"
    try:
        decode_all(read_tensors(archive(path, head + bytes(tokens) + b".")))
    except Error as error:
        check_one_line(error)
