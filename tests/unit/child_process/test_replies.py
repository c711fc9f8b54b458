from __future__ import annotations

import pytest

from harness.child_process.ended import ChildEnded
from tests.unit.child_process.python_child import child


def test_only_replies_reach_the_parent() -> None:
    code = (
        "import os\nfrom harness.child_process.replies import reply_channel\n"
        "with reply_channel() as send:\n    print('noise', flush=True)\n    os.write(1, b'more noise')\n"
        "    send(b'reply\\n')\n"
    )
    with child(code) as process:
        assert process.receive() == b"reply\n"
        with pytest.raises(ChildEnded):
            process.receive()
        assert process.stderr_tail() == "noise\nmore noise"
