"""Rewrite the vocabularies of upstream's tokenizers as string literals, which a compiler reads in a second.

Upstream's headers have them as arrays of numbers: up to 240 MB of text, on which gcc spends more than a minute and 3 GB
of memory. The headers that this module makes define the same names with the same bytes. A header is found beside the
source file that includes it, so that source file is copied to them.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

#: The folder of the copies and their headers, in the folder of the objects. CMakeLists.txt knows its name.
FOLDER = "vocabularies"
#: Headers of fewer bytes are left as they are.
_LARGE = 1 << 20
_INCLUDE = re.compile(rb'^#include "([^"\n]+)"', re.MULTILINE)
_ARRAY = re.compile(rb"\s*(static )?(const )?unsigned char (\w+)\[\] = \{([^{}]*)\};\s*")


def write(tree: Path, objects: Path) -> tuple[str, ...]:
    """Copy the source files of a tree that include large vocabularies, and write string literals beside them.

    Return the paths of these source files in the tree. The copies have the same paths in the folder FOLDER of
    ``objects``. The compiler takes line numbers and ``__FILE__`` from the original. Files that are still right are not
    written again, and files of an earlier call that are not needed are removed.
    """
    folder = objects / FOLDER
    copied: list[str] = []
    current: set[Path] = set()
    for source in sorted([*tree.glob("*.cpp"), *tree.glob("src/**/*.cpp")]):
        content = source.read_bytes()
        headers = [path for path in _large_headers(source, content) if _write_header(path, tree, folder)]
        if headers:
            line = f'#line 1 "{Path(os.path.relpath(source, objects)).as_posix()}"\n'
            _write(folder / source.relative_to(tree), line.encode() + content)
            current.update(folder / path.relative_to(tree) for path in (source, *headers))
            copied.append(source.relative_to(tree).as_posix())
    for path in [*folder.rglob("*")]:
        if path.is_file() and path not in current:
            path.unlink()
    return tuple(copied)


def literals(header: bytes) -> bytes | None:
    """Return a C++ header that defines the same arrays by string literals.

    Return None if the header has anything but arrays of ``unsigned char`` in hexadecimal, or bytes that are not UTF-8.
    A definition becomes a reference to the literal, of the same name, size and constness, because an array of C++
    cannot omit the NUL at the end of a literal.
    """
    parts, end = [], 0
    while found := _ARRAY.match(header, end):
        storage, const, name, body = (part or b"" for part in found.groups())
        data = _bytes(body)
        if not data:
            return None
        of_literal = b"reinterpret_cast<const unsigned char (&)[%d]>(\n%s)" % (len(data), _literal(data))
        value = of_literal if const else b"const_cast<unsigned char (&)[%d]>(%s)" % (len(data), of_literal)
        parts.append(b"%s%sunsigned char (&%s)[%d] = %s;\n" % (storage, const, name, len(data), value))
        end = found.end()
    return b"".join(parts) if end == len(header) else None


def _large_headers(source: Path, content: bytes) -> Iterator[Path]:
    """Yield the large headers in the folder of a source file that it includes."""
    for name in _INCLUDE.findall(content):
        path = source.parent / os.fsdecode(name)
        if path.is_file() and path.stat().st_size >= _LARGE:
            yield path


def _write_header(path: Path, tree: Path, folder: Path) -> bool:
    """Write the literals of a header into the folder, and return whether it can be written so."""
    header = path.read_bytes()
    made = folder / path.relative_to(tree)
    origin = f"// Made from a header with the SHA-256 {hashlib.sha256(header).hexdigest()}\n".encode()
    if made.exists():
        with made.open("rb") as stream:
            if stream.readline() == origin:
                return True
    text = literals(header)
    if text is not None:
        _write(made, origin + text)
    return text is not None


def _bytes(body: bytes) -> bytes | None:
    """Return the values of a comma-separated list, or None if it is not made of numbers such as 0x7b."""
    numbers = body.translate(None, b" \t\r\n").removesuffix(b",") + b","
    if len(numbers) % 5 or set(zip(*(set(numbers[at::5]) for at in (0, 1, 4)), strict=False)) != {
        (48, 120, 44)
    }:
        return None
    digits = bytearray(len(numbers) // 5 * 2)
    digits[::2], digits[1::2] = numbers[2::5], numbers[3::5]
    try:
        data = bytes.fromhex(digits.decode())
        data.decode()
    except ValueError:  # also UnicodeDecodeError
        return None
    return data


def _literal(data: bytes) -> bytes:
    """Return a string literal of C++ with these bytes, which are UTF-8."""
    text = data.replace(b"\\", b"\\\\")
    for code in (*range(32), *b'"?\x7f'):  # an escaped question mark starts no trigraph
        text = text.replace(b"%c" % code, b"\\%03o" % code)
    return b'"%s"' % text


def _write(path: Path, content: bytes) -> None:
    # An unchanged file keeps its time, so that ninja does nothing.
    if not path.exists() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
