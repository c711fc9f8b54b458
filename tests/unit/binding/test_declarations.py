from __future__ import annotations

import pytest

from sdcpp.binding import header
from sdcpp.binding.declarations import Type, c_spelling


@pytest.mark.parametrize(
    ("declaration", "name"),
    [
        ("const char* s", "s"),
        ("int (*f)(const char*, void*)", "f"),
        ("int* a[3]", "a"),
        ("int (*p)[3]", "p"),
        ("struct tag* const q", "q"),
        ("void (*(*g)(int))(float)", "g"),
    ],
)
def test_a_type_spelled_in_c_again_reads_as_the_same_type(declaration: str, name: str) -> None:
    before = only_struct_field(declaration, name)
    assert only_struct_field(c_spelling(before, name), name) == before


def only_struct_field(declaration: str, name: str) -> Type:
    parsed = header.parse(f"struct tag;\nstruct holder {{ {declaration}; }};")
    (field,) = parsed.structs["holder"].fields or ()
    assert field.name == name
    return field.type
