from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sdcpp.binding import header
from sdcpp.binding.declarations import Array, Scalar
from sdcpp.binding.preprocessor import preprocess
from sdcpp.errors import HeaderUnsupported

CHAR = Scalar(name="char")


def test_the_preprocessor_takes_the_plain_branches() -> None:
    parsed = header.parse(
        '#ifndef GUARD\n#define GUARD\n#ifdef __cplusplus\nextern "C" {\n#endif\n'
        "#if defined(_WIN32) || defined(__CYGWIN__)\n#define API __declspec(dllexport)\n"
        '#elif __GNUC__ >= 4\n#define API __attribute__((visibility("default")))\n'
        "#else\n#define API\n#endif\n"
        "#include <stdint.h>\n#define LENGTH (2 * \\\n  SIZE)\n#define SIZE 4\n"
        "API int f(int x /* , int y */); // int g(void);\ntypedef struct { char name[LENGTH]; } t;\n"
        "#ifdef __cplusplus\n}\n#endif\n#endif\n"
    )
    assert list(parsed.functions) == ["f"]
    assert (parsed.structs["t"].fields or ())[0].type == Array(element=CHAR, length=8)


def test_defines_choose_another_branch() -> None:
    text = "typedef struct {\n#ifdef NEW\nint a;\n#endif\nint b;\n} t;"
    fields = header.parse(text, defines={"NEW": "1"}).structs["t"].fields or ()
    assert [field.name for field in fields] == ["a", "b"]


#: Texts for which the result depends on correct handling of conditions, macros and comments.
TEXTS = [
    "#if 0\na\n#elif 1\nb\n#else\nc\n#endif\n",
    "#if 1\na\n#if 0\nb\n#else\nc\n#endif\n#else\n#if 1\nd\n#endif\n#endif\n",
    "#if 0\n#if 1\na\n#else\nb\n#endif\n#elif UNKNOWN\nc\n#else\nd\n#endif\n",
    "#define A 2\n#define B (A + 1)\nint x[B]; // A\nint y = 'A'; const char* z = \"A // no comment\";\n",
    "#define A B\n#define B A\nA B\n",
    "#define A 1\n#undef A\n#ifdef A\nyes\n#else\nA\n#endif\n",
    "#define F(x) x\n#if defined(F) && !defined G && -7 / 2 == -3 && (1 << 3 | 1) == 9\nyes\n#endif\n",
    "/* one\ntwo */ a /* b */ c\n#pragma once\n#ifndef GUARD\n#define GUARD\nd\n#endif\n",
    "#define LONG 1 + \\\n  2\nLONG \\\n  more\nafter\n",
]


@pytest.mark.parametrize("text", TEXTS)
def test_lines_are_those_of_the_compilers_preprocessor(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.h").write_text(text, encoding="utf-8")
    compiler = ["cc", "-E", "-P", "-std=c11", "-undef", "-x", "c", str(tmp_path / "x.h")]
    wanted = subprocess.run(compiler, capture_output=True, text=True, check=True).stdout
    wanted = wanted.replace("#pragma once", "")
    found = preprocess(text, "x.h")
    assert found.split() == wanted.split()
    assert len(found.split("\n")) == len(text.split("\n"))


def test_a_line_keeps_its_number() -> None:
    found = preprocess("/* one\n\n*/ a\n#if 1\nb \\\n c\n#endif\nd", "x.h").split("\n")
    assert [(number, line.split()) for number, line in enumerate(found, 1) if line.split()] == [
        (3, ["a"]),
        (5, ["b", "c"]),
        (8, ["d"]),
    ]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("#if 1\n#bad\n#endif", 2, "unknown directive #bad"),
        ("a\n#define\n", 2, "#define without a name"),
        ("#if 1 +\n#endif", 1, "condition cannot be evaluated"),
        ("#else\n", 1, "#else without #if"),
    ],
)
def test_what_is_not_understood_is_named_with_its_line(text: str, line: int, reason: str) -> None:
    with pytest.raises(HeaderUnsupported, match=reason) as caught:
        preprocess(text, "x.h")
    assert caught.value.subject == f"x.h:{line}"


def test_what_is_left_out_is_not_understood_either_and_does_not_matter() -> None:
    assert preprocess("#if 0\n#bad\n#error no\n#define\n#endif\na", "x.h").split() == ["a"]
