from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdcpp import project
from sdcpp.binding import header, layouts
from sdcpp.binding.declarations import Named
from sdcpp.errors import HeaderUnsupported, LayoutMismatch
from sdcpp.process import run
from tests.unit import fakelib


def compiled(folder: Path, text: str) -> dict[str, Any]:
    """Return the compiler's ABI table of a header's text."""
    (folder / "stable-diffusion.h").write_text(
        f"#include <stdint.h>\n#include <stdbool.h>\n{text}", encoding="utf-8"
    )
    table: dict[str, Any] = json.loads(fakelib.table_of(folder))
    return table


def types_of(text: str) -> layouts.Types:
    return layouts.Types(header.parse(text))


@pytest.mark.parametrize("generation", list(fakelib.FAKES))
def test_the_fakes_layouts_are_the_compilers(tmp_path: Path, generation: str) -> None:
    text = fakelib.header_text(generation)
    layouts.compare(types_of(text), compiled(tmp_path, text))


def test_tags_without_their_keyword_are_read_and_compiled_as_cpp(tmp_path: Path) -> None:
    text = (
        "enum type_t { F32, F16 = 3 };\nstruct pair_t { int a; type_t b; };\n"
        "typedef struct ctx_t ctx_t;\nctx_t* make(const pair_t* p, type_t kind);\n"
    )
    text = f'#ifdef __cplusplus\nextern "C" {{\n#endif\n{text}#ifdef __cplusplus\n}}\n#endif\n'
    types = types_of(text)
    layouts.compare(types, compiled(tmp_path, text))
    kinds = [argument.type for argument in types.header.functions["make"].arguments]
    assert kinds[1] == Named(kind="enum", name="type_t", spelling="enum type_t")


SCALARS = st.sampled_from(
    [
        "bool",
        "char",
        "short",
        "int",
        "unsigned int",
        "long",
        "float",
        "double",
        "int8_t",
        "uint16_t",
        "int64_t",
    ]
).flatmap(lambda kind: st.sampled_from([kind, f"{kind}*"])) | st.sampled_from(
    ["size_t", "const char*", "void*", "enum color", "small_t", "ctx_t*"]
)
FIELDS = st.tuples(SCALARS, st.one_of(st.none(), st.integers(1, 5)))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(structs=st.lists(st.lists(FIELDS, min_size=1, max_size=9), min_size=1, max_size=12))
def test_random_structs_are_laid_out_as_the_compiler_does(tmp_path: Path, structs: list[list[Any]]) -> None:
    text = "enum color { RED, GREEN = 7, BLUE };\ntypedef struct { char a; double b; char c; } small_t;\n"
    text += "typedef struct ctx_t ctx_t;\n"
    for index, fields in enumerate(structs):
        members = " ".join(f"{kind} f{i}{f'[{n}]' if n else ''};" for i, (kind, n) in enumerate(fields))
        held = f" s{index - 1}_t inner; s{index - 1}_t* next;" if index else ""
        text += f"typedef struct {{ {members}{held} void (*cb)(int); }} s{index}_t;\n"
    layouts.compare(types_of(text), compiled(tmp_path, text))


STRUCT = "typedef struct {{ int first; {} double last; }} params_t;\nenum mode {{ A, B }};\n"


@pytest.mark.parametrize(
    ("compiled_text", "read_text", "named"),
    [
        (STRUCT.format(""), STRUCT.format("int inserted;"), "params_t.inserted"),
        (STRUCT.format("int removed;"), STRUCT.format(""), "params_t.last"),
        (STRUCT.format("int x;"), STRUCT.format("char x;"), "params_t.x"),
        ("typedef struct { int a, b; } t;", "typedef struct { int a, b; int c[2]; } t;", "t.c"),
        ("typedef struct { char a; } t;", "typedef struct { char a; } t; typedef struct { int x; } u;", "u"),
        ("typedef struct { char a; } t; typedef struct { int x; } u;", "typedef struct { char a; } t;", "u"),
        ("enum mode { A, NEW, B };", "enum mode { A, B };", "B"),
        ("enum mode { A };", "enum mode { A, B };", "B"),
        ("enum mode { A, B };", "enum mode { A };", "B"),
    ],
)
def test_a_difference_names_the_first_wrong_thing(
    tmp_path: Path, compiled_text: str, read_text: str, named: str
) -> None:
    table = compiled(tmp_path, compiled_text)
    with pytest.raises(LayoutMismatch) as caught:
        layouts.compare(types_of(read_text), table)
    assert caught.value.subject == named


def test_a_mismatch_gives_both_numbers(tmp_path: Path) -> None:
    table = compiled(tmp_path, STRUCT.format("int x;"))
    table["structs"]["params_t"]["fields"]["last"] = [16, 8]
    with pytest.raises(
        LayoutMismatch, match=r"read as offset 8, size 8; compiled as offset 16, size 8: params_t\.last"
    ):
        layouts.compare(types_of(STRUCT.format("int x;")), table)


def test_a_library_of_another_word_size_is_named(tmp_path: Path) -> None:
    table = {**compiled(tmp_path, STRUCT.format("")), "pointer": 4}
    with pytest.raises(LayoutMismatch, match="4-byte pointers"):
        layouts.compare(types_of(STRUCT.format("")), table)


def test_padding_at_the_end_counts(tmp_path: Path) -> None:
    table = compiled(tmp_path, "typedef struct { double d; char c; } t;")
    table["structs"]["t"]["size"] = 24
    with pytest.raises(LayoutMismatch, match=r"read as 16 bytes, compiled as 24: sizeof\(t\)"):
        layouts.compare(types_of("typedef struct { double d; char c; } t;"), table)


def test_an_enum_of_another_width_is_named(tmp_path: Path) -> None:
    table = compiled(tmp_path, "enum mode { A };")
    table["enums"]["mode"] = 1
    with pytest.raises(LayoutMismatch, match=r"sizeof\(mode\)"):
        layouts.compare(types_of("enum mode { A };"), table)


def test_the_compiler_refuses_a_prototype_that_was_read_wrongly(tmp_path: Path) -> None:
    (tmp_path / "stable-diffusion.h").write_text("int f(long x);", encoding="utf-8")
    (tmp_path / "abi_entries.h").write_text(
        layouts.abi_entries(header.parse("int f(int x);")), encoding="utf-8"
    )
    done = run(
        ["c++", "-fsyntax-only", f"-I{tmp_path}", project.ROOT / "sdcpp/binding/native/abi_table.cpp"],
        quiet=True,
    )
    assert done.status != 0
    assert re.search(r"conflicting (declaration|types)", done.output)


def test_a_type_without_ctypes_equivalent_is_named() -> None:
    with pytest.raises(HeaderUnsupported, match="long double"):
        types_of("typedef struct { long double x; } t;")


def test_a_struct_that_is_not_there_is_named() -> None:
    with pytest.raises(HeaderUnsupported, match="params_t"):
        types_of("enum mode { A };").struct("params_t")
