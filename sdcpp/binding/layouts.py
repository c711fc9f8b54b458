"""Struct layouts: ctypes classes made from the parsed header, and the compiler's word on each of them.

The compiler speaks through a small program, sdcpp/binding/native/abi_table.cpp, that CMake builds beside the
library and that prints sizeof, offsetof and every enumerator as JSON: the ABI table.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

from sdcpp.binding.declarations import Array, FunctionType, Header, Named, Pointer, Scalar, Type, c_spelling
from sdcpp.errors import HeaderUnsupported, LayoutMismatch

_SCALARS: dict[str, Any] = {
    "bool": ctypes.c_bool,
    "char": ctypes.c_char,
    "signed char": ctypes.c_byte,
    "unsigned char": ctypes.c_ubyte,
    "short": ctypes.c_short,
    "unsigned short": ctypes.c_ushort,
    "int": ctypes.c_int,
    "unsigned int": ctypes.c_uint,
    "long": ctypes.c_long,
    "unsigned long": ctypes.c_ulong,
    "long long": ctypes.c_longlong,
    "unsigned long long": ctypes.c_ulonglong,
    "float": ctypes.c_float,
    "double": ctypes.c_double,
    "wchar_t": ctypes.c_wchar,
    "size_t": ctypes.c_size_t,
    "ptrdiff_t": ctypes.c_ssize_t,
    "intptr_t": ctypes.c_ssize_t,
    "uintptr_t": ctypes.c_size_t,
    **{f"{sign}int{n}_t": getattr(ctypes, f"c_{sign}int{n}") for n in (8, 16, 32, 64) for sign in ("", "u")},
}
_REMEDY = "build again; if that does not help, sdcpp/binding/header.py parses the header wrongly"


class Types:
    """The ctypes view of one header: a Structure class for every struct, a type for every declaration."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self.structs: dict[str, type[ctypes.Structure]] = {
            name: type(name, (ctypes.Structure,), {}) for name in header.structs
        }
        self._callbacks: dict[FunctionType, Any] = {}
        # In the header's order: what is held by value must be complete before its holder is.
        for struct in header.structs.values():
            if struct.fields is not None:
                self.structs[struct.name]._fields_ = [(f.name, self.of(f.type)) for f in struct.fields]

    def struct(self, name: str) -> type[ctypes.Structure]:
        """Return the class of a struct by tag or typedef name; raises HeaderUnsupported if there is none."""
        found = self.header.struct(name)
        if found is None:
            raise HeaderUnsupported("header has no struct", name, "use a revision whose header has it")
        return self.structs[found.name]

    def of(self, kind: Type) -> Any:  # noqa: PLR0911 - one return for each kind of type
        """Return the ctypes type, or None for void.

        ``const char*`` becomes c_char_p; a ``char*`` that is not const stays a pointer, because whoever
        gets it from a function has to free it.
        """
        match kind:
            case Scalar(name="void"):
                return None
            case Scalar(name=name) if name in _SCALARS:
                return _SCALARS[name]
            case Named(kind="enum"):
                return ctypes.c_int
            case Named(name=name):
                return self.structs[name]
            case Array(element=element, length=length):
                return self.of(element) * length
            case FunctionType():
                if kind not in self._callbacks:
                    arguments = [self.of(argument) for argument in kind.arguments]
                    self._callbacks[kind] = ctypes.CFUNCTYPE(self.of(kind.result), *arguments)
                return self._callbacks[kind]
            case Pointer(target=Scalar(name="char", const=True)):
                return ctypes.c_char_p
            case Pointer(target=Scalar(name="void")):
                return ctypes.c_void_p
            case Pointer(target=FunctionType() as function):
                return self.of(function)
            case Pointer(target=target):
                return ctypes.POINTER(self.of(target))
        raise HeaderUnsupported(
            "type has no ctypes equivalent", c_spelling(kind), "add the type to sdcpp/binding/layouts.py"
        )


def entries(header: Header) -> str:
    """Return abi_entries.h, the part of the ABI table's source that depends on the header.

    It also declares every function again as it was read: the compiler refuses a declaration that
    contradicts the header's own, so prototypes are proved by the table's being compiled at all.
    """
    prototypes = [
        c_spelling(f.result, f"{f.name}({', '.join(c_spelling(a.type) for a in f.arguments) or 'void'})")
        + ";"
        for f in header.functions.values()
    ]
    structs = [
        f'S({s.spelling}, "{s.name}") ' + " N ".join(f"F({s.spelling}, {f.name})" for f in s.fields) + " E"
        for s in header.structs.values()
        if s.fields is not None
    ]
    enums = [f'V("{e.name}", sizeof({e.spelling}))' for e in header.enums.values() if e.spelling]
    enumerators = [f'V("{name}", {name})' for name in header.enumerators()]
    between = " N\n    "
    parts = [
        f"static void print_{name}(void) {{\n    {between.join(lines)}\n}}"
        for name, lines in (("structs", structs), ("enums", enums), ("enumerators", enumerators))
    ]
    declared = ['extern "C" {', *prototypes, "}"]
    return "\n\n".join(["/* Made by sdcpp/binding/layouts.py. */", "\n".join(declared), *parts]) + "\n"


def compare(types: Types, table: Mapping[str, Any]) -> None:
    """Compare what was made of the header with the compiler's table, field by field.

    Raises LayoutMismatch, naming the first struct field, size or enumerator that differs, with both
    numbers.
    """
    if table["pointer"] != ctypes.sizeof(ctypes.c_void_p):
        raise LayoutMismatch(
            f"library has {table['pointer']}-byte pointers, this Python {ctypes.sizeof(ctypes.c_void_p)}",
            "word size",
            "use a Python of the library's architecture",
        )
    defined = [s for s in types.header.structs.values() if s.fields is not None]
    for struct in defined:
        if struct.name not in table["structs"]:
            raise LayoutMismatch("struct is unknown to the compiler's table", struct.name, _REMEDY)
        _compare_struct(types.structs[struct.name], struct.name, table["structs"][struct.name])
    for name in table["structs"]:
        if name not in types.structs:
            raise LayoutMismatch("struct of the compiler's table is not in the header", name, _REMEDY)
    for name, size in table["enums"].items():
        if size != ctypes.sizeof(ctypes.c_int):
            ours = ctypes.sizeof(ctypes.c_int)
            raise LayoutMismatch(f"read as {ours} bytes, compiled as {size}", f"sizeof({name})", _REMEDY)
    read = types.header.enumerators()
    for name in [*read, *table["enumerators"]]:
        mine, theirs = read.get(name), table["enumerators"].get(name)
        if mine != theirs:
            raise LayoutMismatch(f"read as {_or_none(mine)}, compiled as {_or_none(theirs)}", name, _REMEDY)


def _compare_struct(made: Any, name: str, row: Mapping[str, Any]) -> None:
    """Compare one struct with its row of the table: members in order, then the size of the whole."""
    ours = [field[0] for field in made._fields_]
    for mine, theirs in zip_longest(ours, row["fields"]):
        if mine != theirs:
            missing = f"read as {_or_none(mine)} where the compiler has {_or_none(theirs)}"
            raise LayoutMismatch(missing, f"{name}.{mine or theirs}", _REMEDY)
        descriptor = getattr(made, mine)
        offset, size = row["fields"][mine]
        if (descriptor.offset, descriptor.size) != (offset, size):
            raise LayoutMismatch(
                f"read as offset {descriptor.offset}, size {descriptor.size}; "
                f"compiled as offset {offset}, size {size}",
                f"{name}.{mine}",
                _REMEDY,
            )
    if ctypes.sizeof(made) != row["size"]:
        raise LayoutMismatch(
            f"read as {ctypes.sizeof(made)} bytes, compiled as {row['size']}", f"sizeof({name})", _REMEDY
        )


def _or_none(value: object) -> str:
    return "nothing" if value is None else str(value)
