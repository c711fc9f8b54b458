from __future__ import annotations

from harness.quantising.protocol import FILL, QuantiseReply, QuantiseRequest, StartReply
from harness.quantising.type_info import TypeInfo


def test_messages_survive_the_pipe() -> None:
    request = QuantiseRequest(task=FILL, type="Q8_0", file="a\nb", shape=(2, 3), strides=(1, 2), weights=7)
    assert request.line().index(b"\n") == len(request.line()) - 1
    assert QuantiseRequest.from_line(request.line()) == request
    assert QuantiseRequest.from_line(QuantiseRequest(task=FILL).line()) == QuantiseRequest(task=FILL)
    for reply in (QuantiseReply(), QuantiseReply(refused=(1, 2, 3), errno=4)):
        assert QuantiseReply.from_line(reply.line()) == reply
    info = TypeInfo(name="Q8_0", number=8, block=32, bytes=34, needs_imatrix=False)
    for start in (StartReply(types=(info,)), StartReply(error=("what", "subject", "remedy"))):
        assert StartReply.from_line(start.line()) == start


def test_rows_are_whole_blocks_and_plain_tensors_have_no_strides() -> None:
    request = QuantiseRequest(task=FILL, kind="F16", row=64, block=32, block_bytes=34)
    assert request.row_bytes == 68
    assert request.plain
    assert not QuantiseRequest(task=FILL, kind="F16", strides=(1,)).plain
    assert not QuantiseRequest(task=FILL, kind="F64").plain
