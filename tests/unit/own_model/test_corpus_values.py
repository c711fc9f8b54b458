from __future__ import annotations

import pytest

from harness.own_model import corpus_values
from harness.own_model.corpus_values import Wanted


def test_a_file_has_a_name_for_messages() -> None:
    assert str(Wanted(path="a.gguf")) == "a.gguf"
    assert str(Wanted(sha256="0123456789abcdef01")) == "SHA-256 0123456789abcdef"
    assert str(Wanted(path="a.gguf", sha256="0123456789")) == "a.gguf (SHA-256 0123456789)"


def test_a_setting_may_have_several_values_once_each() -> None:
    found = corpus_values.settings({"seed": [1, 1, 2], "cfg_scale": 7, "flags": "enable_mmap"}, "here")
    assert found == {"seed": [1, 2], "cfg_scale": [7], "flags": ("enable_mmap",)}
    with pytest.raises(ValueError, match="here: seed = True is no int"):
        corpus_values.settings({"seed": True}, "here")
    with pytest.raises(ValueError, match="here is not a table"):
        corpus_values.settings(3, "here")
    with pytest.raises(ValueError, match="timeout = 0 is no number of seconds"):
        corpus_values.settings({"timeout": 0}, "here")
