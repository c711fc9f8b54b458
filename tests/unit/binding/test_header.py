from __future__ import annotations

import pytest

from sdcpp.binding import header
from sdcpp.binding.declarations import Array, FunctionType, Named, Pointer, Scalar
from sdcpp.errors import HeaderUnsupported
from tests.unit.fakelib import header_text

INT, CHAR, VOID = Scalar(name="int"), Scalar(name="char"), Scalar(name="void")


def only_struct(text: str) -> dict[str, object]:
    (struct,) = header.parse(text).structs.values()
    return {field.name: field.type for field in struct.fields or ()}


def test_enumerators_count_as_c_does() -> None:
    parsed = header.parse(
        "enum e { A, B, C = 10, D, E = C * 2 + 1, F = -1, G, H = 1 << 4, I = 'x', J = 0x1F, K = 010 };"
    )
    assert parsed.enums["e"].values == {
        "A": 0,
        "B": 1,
        "C": 10,
        "D": 11,
        "E": 21,
        "F": -1,
        "G": 0,
        "H": 16,
        "I": 120,
        "J": 31,
        "K": 8,
    }


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("-7 / 2", -3),
        ("-7 % 2", -1),
        ("1 ? 5 : 6", 5),
        ("~0", -1),
        ("!3", 0),
        ("(3 > 2) && (1 || 0)", 1),
        ("7u", 7),
    ],
)
def test_constant_expressions_have_the_values_of_c(expression: str, value: int) -> None:
    assert header.parse(f"enum {{ X = {expression} }};").enumerators() == {"X": value}


def test_an_enum_goes_on_from_another_ones_enumerator() -> None:
    assert header.parse("enum a { X = 3 };\nenum b { Y = X + 1, Z };").enumerators() == {
        "X": 3,
        "Y": 4,
        "Z": 5,
    }


def test_struct_names_come_from_typedef_or_tag() -> None:
    parsed = header.parse(
        "typedef struct { int x; } anonymous_t;\n"
        "typedef struct tag { int y; } alias_t;\n"
        "struct plain { int z; };"
    )
    assert list(parsed.structs) == ["anonymous_t", "tag", "plain"]
    assert parsed.struct("alias_t") is parsed.structs["tag"]
    assert parsed.structs["tag"].spelling == "struct tag"
    assert parsed.structs["anonymous_t"].spelling == "anonymous_t"
    assert parsed.has_field("alias_t", "y")
    assert not parsed.has_field("alias_t", "x")
    assert not parsed.has_field("nowhere", "x")


def test_opaque_structs_have_no_fields_until_they_are_defined() -> None:
    parsed = header.parse(
        "typedef struct ctx_t ctx_t;\nctx_t* make(void);\n"
        "typedef struct later later;\nstruct later { int x; };"
    )
    assert parsed.structs["ctx_t"].fields is None
    assert parsed.structs["later"].fields is not None


def test_field_types() -> None:
    fields = only_struct(
        "typedef struct { const char* s; char* m; uint8_t* data; float v[4]; unsigned long long big;"
        " void (*cb)(int, const void*); size_t n; _Bool flag; int* const fixed; } t;"
    )
    assert fields == {
        "s": Pointer(target=Scalar(name="char", const=True)),
        "m": Pointer(target=CHAR),
        "data": Pointer(target=Scalar(name="uint8_t")),
        "v": Array(element=Scalar(name="float"), length=4),
        "big": Scalar(name="unsigned long long"),
        "cb": Pointer(
            target=FunctionType(result=VOID, arguments=(INT, Pointer(target=Scalar(name="void", const=True))))
        ),
        "n": Scalar(name="size_t"),
        "flag": Scalar(name="bool"),
        "fixed": Pointer(target=INT, const=True),
    }


def test_callbacks_arrays_and_unnamed_parameters_in_prototypes() -> None:
    parsed = header.parse(
        "typedef void (*cb_t)(int step, void* data);\nvoid set(cb_t cb, void* data);\n"
        "int sum(int values[], int);\nint none();"
    )
    assert parsed.functions["set"].arguments[0].type == parsed.aliases["cb_t"]
    assert [(a.name, a.type) for a in parsed.functions["sum"].arguments] == [
        ("values", Pointer(target=INT)),
        ("argument1", INT),
    ]
    assert parsed.functions["none"].arguments == ()


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("\n\nstruct x { unknown_t a; };", 3, "unknown_t"),
        ("int a(;\n", 1, ";"),
        ("\nstruct x { int a : 3; };", 2, "bit field x.a"),
        ("\nunion u { int a; float b; };", 2, "Union"),
        ("struct x {\n struct { int a; };\n};", 2, "unnamed member of x"),
        ("\nint f(const char* format, ...);", 2, "variable arguments"),
        ("enum { A, B = A + q };", 1, "not a constant"),
        ("#if 1\nint a(void);", 2, "without #endif"),
        ("\n#endif", 2, "without #if"),
        ("\n#error no", 2, "#error no"),
        ("#define MAX(a, b) a\nint f(int x[MAX(1, 2)]);", 2, "MAX"),
        ("#if 1 / 0\n#endif", 1, "division by zero"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(text: str, line: int, reason: str) -> None:
    with pytest.raises(HeaderUnsupported) as caught:
        header.parse(text)
    assert f"stable-diffusion.h:{line}" in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize("generation", ["B", "C"])
def test_the_fakes_header_differs_by_generation(generation: str) -> None:
    parsed = header.parse(header_text(generation))
    assert parsed.has_field("sd_img_gen_params_t", "loras") == (generation == "C")
    assert parsed.has_field("sd_ctx_params_t", "lora_model_dir") == (generation == "B")


def test_an_enum_type_is_named() -> None:
    parsed = header.parse(
        "enum mode_t { A };\ntypedef enum { X } other_t;\nvoid f(enum mode_t m, other_t o);"
    )
    assert [a.type for a in parsed.functions["f"].arguments] == [
        Named(kind="enum", name="mode_t", spelling="enum mode_t"),
        Named(kind="enum", name="other_t", spelling="other_t"),
    ]
