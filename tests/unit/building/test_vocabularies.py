from __future__ import annotations

import os
import textwrap
from pathlib import Path

import pytest

from sdcpp.building import vocabularies
from sdcpp.process import run
from tests.unit.fakelib import compile_c

#: Everything that has a meaning in a string literal, digits after escapes, and characters of several bytes.
TRICKY = "".join(map(chr, range(128))) + '1\x0027"\\n\\012??=???/\n%s Ġ你好🙂\r\nf' + "\x7f0"


def array(name: str, data: bytes, kind: str = "static const unsigned char") -> str:
    """Return an array as upstream's headers have them."""
    numbers = textwrap.fill(", ".join(f"{value:#04x}" for value in data), 72)
    return f"{kind} {name}[] = {{\n{numbers}\n}};\n"


def large(name: str = "words", data: bytes = b"{}") -> str:
    """Return a header that is so large that it is rewritten."""
    return array(name, data * (1 << 18 >> 1))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a tree with a source file in src/ that includes a large header and a small one."""
    folder = tmp_path / "tree" / "src" / "words"
    folder.mkdir(parents=True)
    (folder / "words.hpp").write_text(large(), encoding="utf-8")
    (folder / "small.hpp").write_text(array("small", b"{}"), encoding="utf-8")
    source = '#include <string>\n#include "words.hpp"\n#include "small.hpp"\n#include "../absent.hpp"\n'
    (folder / "words.cpp").write_text(source, encoding="utf-8")
    (folder.parent / "other.cpp").write_text('#include "words/small.hpp"\n', encoding="utf-8")
    return tmp_path / "tree"


@pytest.mark.skipif(os.name == "nt", reason="the literals are for gcc and clang")
def test_the_compiler_sees_the_same_arrays(tmp_path: Path) -> None:
    header = "\n".join(
        [
            array("a", TRICKY.encode()),
            array("b", b"?", "unsigned char").replace("\n}", ",\n}"),
            array("c", b"0\n", "static unsigned char"),
        ]
    )
    made = vocabularies.literals(header.encode())
    assert made is not None
    program = """
        #include <cstdio>
        #include <type_traits>
        #include "header.hpp"
        template <typename T> void show(T& array) {
            std::printf("%d", (int)std::is_const<T>::value);
            for (unsigned i = 0; i < sizeof array; i++) std::printf(" %02x", array[i]);
            std::printf("\\n");
        }
        int main() { show(a); show(b); show(c); }
    """
    outputs = []
    for content in (header.encode(), made):
        (tmp_path / "header.hpp").write_bytes(content)
        source = tmp_path / "program.cpp"
        source.write_text(program, encoding="utf-8")
        outputs.append(run([compile_c(source, tmp_path / "program", "-std=c++17")], quiet=True).output)
    assert outputs[0] == outputs[1]
    assert outputs[0].splitlines()[0] == f"1 {TRICKY.encode().hex(' ')}"


@pytest.mark.parametrize(
    "header",
    [
        "static const unsigned char a[] = {};\n",
        "static const unsigned char a[] = {1, 2};\n",
        "static const unsigned char a[] = {0x7b, 0x0};\n",
        "static const unsigned char a[] = {0x7b, 0xg0};\n",
        "static const unsigned char a[] = {0x7b,, 0x7b};\n",
        "static const unsigned char a[] = {0xff, 0xfe};\n",
        "static const char a[] = {0x7b};\n",
        "static const unsigned char a[] = {0x7b};\nint b;\n",
        "#pragma once\nstatic const unsigned char a[] = {0x7b};\n",
    ],
)
def test_a_header_with_anything_else_is_left_as_it_is(header: str) -> None:
    assert vocabularies.literals(header.encode()) is None


def test_only_sources_that_include_large_headers_are_copied(tree: Path, tmp_path: Path) -> None:
    objects = tree / ".git" / "objects-of-a-build"
    assert vocabularies.write(tree, objects) == ("src/words/words.cpp",)
    made = objects / vocabularies.FOLDER / "src" / "words"
    assert {path.name for path in made.iterdir()} == {"words.cpp", "words.hpp"}
    first, rest = (made / "words.cpp").read_text(encoding="utf-8").split("\n", 1)
    assert first == '#line 1 "../../src/words/words.cpp"'
    assert rest == (tree / "src/words/words.cpp").read_text(encoding="utf-8")
    assert vocabularies.write(tmp_path / "nothing", objects) == ()
    assert not [path for path in made.rglob("*") if path.is_file()]


def test_files_that_are_still_right_keep_their_times(tree: Path, tmp_path: Path) -> None:
    def times() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("vocabularies/src/words/*")}

    vocabularies.write(tree, tmp_path)
    for path in tmp_path.glob("vocabularies/src/words/*"):
        os.utime(path, (1, 1))
    before = times()
    vocabularies.write(tree, tmp_path)
    assert times() == before
    with (tree / "src/words/words.cpp").open("a", encoding="utf-8") as source:
        source.write("// changed\n")
    vocabularies.write(tree, tmp_path)
    assert {name for name, time in times().items() if time != before[name]} == {"words.cpp"}
    (tree / "src/words/words.hpp").write_text(large("words", b"[]"), encoding="utf-8")
    vocabularies.write(tree, tmp_path)
    assert times()["words.hpp"] != before["words.hpp"]


def test_a_vocabulary_of_another_form_is_compiled_as_upstream_has_it(tree: Path, tmp_path: Path) -> None:
    header = tree / "src" / "words" / "words.hpp"
    header.write_text(f"#pragma once\n{header.read_text(encoding='utf-8')}", encoding="utf-8")
    assert vocabularies.write(tree, tmp_path) == ()
    assert not (tmp_path / vocabularies.FOLDER).exists()
