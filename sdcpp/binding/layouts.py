"""Create ctypes classes from the parsed header, and compare their layouts with the compiler's.

CMake builds the program sdcpp/binding/native/abi_table.cpp beside the library. The program prints the compiler's sizes,
offsets and enumerators as JSON: the ABI table.
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
_REMEDY = (
    "build again; if that does not help, correct sdcpp/binding/header.py, which parses the header wrongly"
)


class Types:
    """The ctypes types of one header. ``structs`` has a class for each struct of the header."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self.structs: dict[str, type[ctypes.Structure]] = {
            name: type(name, (ctypes.Structure,), {}) for name in header.structs
        }
        self._callbacks: dict[FunctionType, Any] = {}
        # In the header's order, because the struct of a member must be complete before the struct that contains it.
        for struct in header.structs.values():
            if struct.fields is not None:
                self.structs[struct.name]._fields_ = [(f.name, self.ctype(f.type)) for f in struct.fields]

    def struct(self, name: str) -> type[ctypes.Structure]:
        """Return the class of the struct with this tag or typedef name; raises HeaderUnsupported if there is none."""
        declared = self.header.struct(name)
        if declared is None:
            raise HeaderUnsupported("header has no struct", name, "use a revision whose header has it")
        return self.structs[declared.name]

    def ctype(self, kind: Type) -> Any:  # noqa: PLR0911 - one return for each kind of type
        """Return the ctypes type of a C type, or None for void.

        ``const char*`` is c_char_p. ``char*`` is a pointer, because a function's caller must free the returned string.
        Raises HeaderUnsupported for a type without an equivalent in ctypes.
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
                return self.ctype(element) * length
            case FunctionType():
                if kind not in self._callbacks:
                    arguments = [self.ctype(argument) for argument in kind.arguments]
                    self._callbacks[kind] = ctypes.CFUNCTYPE(self.ctype(kind.result), *arguments)
                return self._callbacks[kind]
            case Pointer(target=Scalar(name="char", const=True)):
                return ctypes.c_char_p
            case Pointer(target=Scalar(name="void")):
                return ctypes.c_void_p
            case Pointer(target=FunctionType() as function):
                return self.ctype(function)
            case Pointer(target=target):
                return ctypes.POINTER(self.ctype(target))
        raise HeaderUnsupported(
            "type has no ctypes equivalent", c_spelling(kind), "add the type to sdcpp/binding/layouts.py"
        )


def abi_entries(header: Header) -> str:
    """Return the text of abi_entries.h, the part of the ABI table's source that depends on the header.

    It repeats the prototype of each function as it was parsed. The compiler rejects a prototype that contradicts the
    header, so the ABI table compiles only if all prototypes were parsed correctly.
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
    separator = " N\n    "
    parts = [
        f"static void print_{name}(void) {{\n    {separator.join(lines)}\n}}"
        for name, lines in (("structs", structs), ("enums", enums), ("enumerators", enumerators))
    ]
    declarations = ['extern "C" {', *prototypes, "}"]
    return (
        "\n\n".join(["/* Generated by sdcpp/binding/layouts.py. */", "\n".join(declarations), *parts]) + "\n"
    )


def compare(types: Types, table: Mapping[str, Any]) -> None:
    """Compare the ctypes classes and the enumerators of a header with the compiler's ABI table.

    Raises LayoutMismatch with the first field, size or enumerator that differs, and both values.
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
            raise LayoutMismatch("struct is not in the compiler's table", struct.name, _REMEDY)
        _compare_struct(types.structs[struct.name], struct.name, table["structs"][struct.name])
    for name in table["structs"]:
        if name not in types.structs:
            raise LayoutMismatch(
                "struct of the compiler's table was not parsed from the header", name, _REMEDY
            )
    for name, size in table["enums"].items():
        if size != ctypes.sizeof(ctypes.c_int):
            int_size = ctypes.sizeof(ctypes.c_int)
            raise LayoutMismatch(f"read as {int_size} bytes, compiled as {size}", f"sizeof({name})", _REMEDY)
    enumerators = types.header.enumerators()
    for name in [*enumerators, *table["enumerators"]]:
        parsed, compiled = enumerators.get(name), table["enumerators"].get(name)
        if parsed != compiled:
            what = f"read as {_or_nothing(parsed)}, compiled as {_or_nothing(compiled)}"
            raise LayoutMismatch(what, name, _REMEDY)


def _compare_struct(structure: Any, name: str, row: Mapping[str, Any]) -> None:
    """Compare a ctypes class with its entry in the table: first the members in order, then the size of the struct."""
    members = [field[0] for field in structure._fields_]
    for parsed, compiled in zip_longest(members, row["fields"]):
        if parsed != compiled:
            what = f"read as {_or_nothing(parsed)} where the compiler has {_or_nothing(compiled)}"
            raise LayoutMismatch(what, f"{name}.{parsed or compiled}", _REMEDY)
        descriptor = getattr(structure, parsed)
        offset, size = row["fields"][parsed]
        if (descriptor.offset, descriptor.size) != (offset, size):
            raise LayoutMismatch(
                f"read as offset {descriptor.offset}, size {descriptor.size}; "
                f"compiled as offset {offset}, size {size}",
                f"{name}.{parsed}",
                _REMEDY,
            )
    if ctypes.sizeof(structure) != row["size"]:
        raise LayoutMismatch(
            f"read as {ctypes.sizeof(structure)} bytes, compiled as {row['size']}", f"sizeof({name})", _REMEDY
        )


def _or_nothing(value: object) -> str:
    return "nothing" if value is None else str(value)
