from __future__ import annotations

import errno
import os
from pathlib import Path

from sdcpp import os_errors


def error(number: int, *more: object) -> OSError:
    return OSError(number, os.strerror(number), *more)


def test_advice_fits_the_number() -> None:
    assert "free some space" in os_errors.advice(error(errno.ENOSPC), "otherwise")
    assert "--jobs" in os_errors.advice(error(errno.EMFILE), "otherwise")
    assert os_errors.advice(error(errno.ENOENT), "otherwise") == "otherwise"
    assert os_errors.advice(OSError("no number"), "otherwise") == "otherwise"


def test_only_causes_outside_of_the_project_have_advice() -> None:
    assert os_errors.has_advice(error(errno.EROFS))
    assert not os_errors.has_advice(error(errno.ENOENT))
    assert not os_errors.has_advice(OSError("no number"))


def test_the_reason_is_never_empty() -> None:
    assert os_errors.reason(error(errno.EIO)) == os.strerror(errno.EIO)
    assert os_errors.reason(OSError("words")) == "words"
    assert os_errors.reason(TimeoutError()) == "TimeoutError"


def test_the_path_is_text_or_none() -> None:
    assert os_errors.path_of(error(errno.EIO, "name")) == "name"
    assert os_errors.path_of(error(errno.EIO, b"\xff")) == os.fsdecode(b"\xff")
    assert os_errors.path_of(error(errno.EIO, Path("a"))) == "a"
    assert os_errors.path_of(error(errno.EIO, 7)) is None  # a descriptor
    assert os_errors.path_of(error(errno.EIO)) is None
