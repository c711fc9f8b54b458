from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.quantising import server as module
from harness.quantising.protocol import FILL, FINISH, QuantiseReply, QuantiseRequest
from harness.quantising.server import QuantiserServer
from harness.quantising.type_list import GgmlLibrary
from sdcpp.binding.build_folder import Build

ROW = 4
FINISHED = QuantiseRequest(task=FINISH)


@pytest.fixture
def server(fake_build: Callable[..., Build]) -> QuantiserServer:
    """Return a server of the stand-in, whose type 8 makes one signed byte of each value."""
    return QuantiserServer(GgmlLibrary(handle=fake_build("C").open_library(), name="fake"), threads=2)


@pytest.fixture
def fill(tmp_path: Path) -> QuantiseRequest:
    """Return a request that writes the blocks of 0, 1, 2 ... 99 in rows of four into a new file."""
    (tmp_path / "values").write_bytes(np.arange(100, dtype=np.float32).tobytes())
    (tmp_path / "blocks").touch()
    return QuantiseRequest(
        task=FILL,
        type="FAKE_8",
        number=8,
        rows=25,
        row=ROW,
        block=4,
        block_bytes=4,
        file=str(tmp_path / "values"),
        output=str(tmp_path / "blocks"),
        kind="F32",
        shape=(25, ROW),
    )


def test_tensors_are_written_where_they_belong_whatever_their_chunks(
    server: QuantiserServer, fill: QuantiseRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 3 * ROW)
    for number in range(3):
        assert server.handle(replace(fill, target=100 * number)) is None
    assert server.handle(FINISHED) == QuantiseReply()
    found = np.fromfile(fill.output, np.int8)
    assert np.array_equal(found, np.tile(np.arange(100, dtype=np.int8), 3))


def test_the_first_failure_is_reported_once(
    server: QuantiserServer, fill: QuantiseRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 5 * ROW)
    values = np.arange(100, dtype=np.float32)
    values[[30, 90]] = np.nan, np.inf
    (tmp_path / "odd").write_bytes(values.tobytes())
    for request in (fill, replace(fill, file=str(tmp_path / "odd")), replace(fill, rows=26)):
        server.handle(request)
    assert server.handle(FINISHED) == QuantiseReply(refused=(1, 5, 5))
    assert server.handle(FINISHED) == QuantiseReply()


def test_a_file_that_ends_too_early_is_refused_by_its_rows(
    server: QuantiserServer, fill: QuantiseRequest
) -> None:
    server.handle(replace(fill, rows=26, shape=(26, ROW)))
    assert server.handle(FINISHED) == QuantiseReply(refused=(0, 0, 26))
    server.handle(replace(fill, file=fill.file + "-absent"))
    assert server.handle(FINISHED) == QuantiseReply(refused=(0, 0, 25))


def test_an_output_that_cannot_be_written_is_an_errno(server: QuantiserServer, fill: QuantiseRequest) -> None:
    server.handle(replace(fill, output=fill.output + "-absent"))
    assert server.handle(FINISHED) == QuantiseReply(refused=(0, 0, 25), errno=errno.ENOENT)


def test_a_tensor_with_strides_is_gathered(server: QuantiserServer, fill: QuantiseRequest) -> None:
    server.handle(replace(fill, strides=(1, 25)))
    assert server.handle(FINISHED) == QuantiseReply()
    wanted = np.arange(100, dtype=np.int8).reshape(ROW, 25).T
    assert np.array_equal(np.fromfile(fill.output, np.int8).reshape(25, ROW), wanted)
