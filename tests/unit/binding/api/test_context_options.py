from __future__ import annotations

import pytest

from sdcpp.binding import header
from sdcpp.binding.api import context_options

EARLIER = header.parse(
    "typedef struct { bool vae_decode_only; bool offload_params_to_cpu; } sd_ctx_params_t;"
)
LATER = header.parse("typedef struct { const char* backend; const char* params_backend; } sd_ctx_params_t;")


def test_a_flag_that_the_revision_has_is_set_as_it_is() -> None:
    options = {"vae_decode_only": False, "offload_params_to_cpu": True}
    assert context_options.members(EARLIER, options) == options


def test_a_flag_is_replaced_by_the_member_that_upstreams_program_sets() -> None:
    options = {"vae_decode_only": False, "offload_params_to_cpu": True, "keep_clip_on_cpu": True}
    assert context_options.members(LATER, options) == {"params_backend": "*=cpu", "backend": "te=cpu"}
    assert context_options.members(LATER, {"offload_params_to_cpu": False}) == {}


def test_what_a_revision_does_not_have_keeps_its_name_and_has_a_reason() -> None:
    assert context_options.members(LATER, {"enable_mmap": True}) == {"enable_mmap": True}
    reason = "sd_ctx_params_t of this revision has no member enable_mmap"
    assert context_options.why_missing(LATER, "enable_mmap") == reason
    assert context_options.why_missing(EARLIER, "keep_clip_on_cpu")
    for declared, option in ((EARLIER, "offload_params_to_cpu"), (LATER, "keep_clip_on_cpu")):
        assert context_options.why_missing(declared, option) == ""


@pytest.mark.parametrize(
    ("struct", "of_context", "of_pictures"),
    [
        ("sd_ctx_params_t", {"circular_x": True}, {}),
        ("sd_img_gen_params_t", {}, {"circular_x": True}),
    ],
)
def test_a_flag_that_moved_to_the_pictures_is_set_where_the_revision_has_it(
    struct: str, of_context: dict[str, bool], of_pictures: dict[str, bool]
) -> None:
    declared = header.parse(f"typedef struct {{ bool circular_x; bool enable_mmap; }} {struct};")
    options = {"circular_x": True}
    assert context_options.members(declared, options) == of_context
    assert context_options.picture_members(declared, options) == of_pictures
    assert context_options.why_missing(declared, "circular_x") == ""
    reason = "neither sd_ctx_params_t nor sd_img_gen_params_t of this revision has a member circular_y"
    assert context_options.why_missing(declared, "circular_y") == reason
    # Only the flags that upstream moved are looked for among the members of a picture.
    assert bool(context_options.why_missing(declared, "enable_mmap")) == (struct != "sd_ctx_params_t")
