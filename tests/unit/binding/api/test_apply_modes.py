from __future__ import annotations

from typing import Any

import pytest

from sdcpp.binding import header
from sdcpp.binding.api.apply_modes import apply_modes, require_only_mode
from sdcpp.errors import HeaderUnsupported


def test_the_modes_are_the_headers(any_bound_api: Any) -> None:
    choice = ("auto", "immediately", "at_runtime")
    assert any_bound_api.modes == (("immediately",) if any_bound_api.generation == "A" else choice)


def test_the_count_of_modes_and_foreign_names_are_no_modes() -> None:
    text = "enum lora_apply_mode_t { LORA_APPLY_LATER, OTHER, LORA_APPLY_NOW, LORA_APPLY_MODE_COUNT };"
    assert apply_modes(header.parse(text)) == ("later", "now")
    assert apply_modes(header.parse("enum other_t { LORA_APPLY_LATER };")) == ("immediately",)


def test_a_revision_without_a_choice_takes_its_only_mode_and_auto() -> None:
    for mode in ("immediately", "auto"):
        require_only_mode(mode)
    with pytest.raises(HeaderUnsupported, match="at_runtime"):
        require_only_mode("at_runtime")
