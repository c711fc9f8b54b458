from __future__ import annotations

import pytest

from sdcpp.binding import header
from sdcpp.binding.declarations import Array, FunctionType, Named, Pointer, Scalar, Type, c_spelling


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


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Pointer(target=Scalar(name="char", const=True)), "const char *x"),
        (Pointer(target=Array(element=Scalar(name="int"), length=3)), "int (*x)[3]"),
        (Array(element=Pointer(target=Scalar(name="int")), length=3), "int *x[3]"),
        (Pointer(target=FunctionType(result=Scalar(name="void"), arguments=())), "void (*x)(void)"),
        (Named(kind="struct", name="tag", spelling="struct tag", const=True), "const struct tag x"),
    ],
)
def test_types_are_spelled_as_c_declares_them(kind: Type, text: str) -> None:
    assert c_spelling(kind, "x") == text


def test_a_struct_is_found_by_its_tag_and_by_its_typedef() -> None:
    parsed = header.parse("typedef struct tag { int y; } alias_t; typedef int number_t; struct opaque;")
    assert parsed.struct("alias_t") is parsed.struct("tag") is not None
    assert parsed.struct("number_t") is None
    assert (parsed.has_field("alias_t", "y"), parsed.has_field("opaque", "y")) == (True, False)
