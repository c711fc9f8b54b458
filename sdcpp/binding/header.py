"""Parse upstream's public header with pycparser into the records of ``sdcpp.binding.declarations``.

This needs no C compiler. ``sdcpp.binding.layouts`` compares the result with what the compiler makes of the header.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pycparser import c_ast, c_parser

from sdcpp.binding.declarations import (
    Array,
    Enum,
    Field,
    Function,
    FunctionType,
    Header,
    Named,
    Pointer,
    Scalar,
    Struct,
    Type,
)
from sdcpp.binding.preprocessor import constant, preprocess
from sdcpp.errors import HeaderUnsupported

#: The types that standard headers define. ``sdcpp.binding.layouts`` has the ctypes type of each.
STANDARD_TYPES = (
    *(f"{sign}int{bits}_t" for bits in (8, 16, 32, 64) for sign in ("", "u")),
    *("size_t", "ptrdiff_t", "intptr_t", "uintptr_t", "wchar_t", "bool"),
)
_PREAMBLE = " ".join(f"typedef int {name};" for name in STANDARD_TYPES)
_REMEDY = "add support for it to sdcpp/binding/header.py, or use another revision"


def read(path: Path) -> Header:
    """Return the declarations of a header file; raises HeaderUnsupported."""
    return parse(path.read_text(encoding="utf-8", errors="replace"), path.name)


def parse(text: str, name: str = "stable-diffusion.h", defines: Mapping[str, str] | None = None) -> Header:
    """Return the declarations in a header's text.

    ``name`` is the name of the file, for error messages. ``defines`` are macros that are defined before the first line.
    Raises HeaderUnsupported, with the line number, for a declaration that is not supported.
    """
    plain = _add_typedefs(preprocess(text, name, defines))
    try:
        tree = _tree(plain, name)
    except c_parser.ParseError as error:
        raise HeaderUnsupported("header cannot be parsed", _with_line(error, plain, name), _REMEDY) from error
    reader = _Reader(name)
    for node in tree.ext[len(STANDARD_TYPES) :]:
        reader.add_declaration(node)
    return reader.result()


def _add_typedefs(plain: str) -> str:
    """Return the text with a typedef for each struct or enum that it names by its tag alone.

    Only C++ allows this. Upstream's header has it in sdists 0.1.0 to 0.1.6 and 0.3.7. The typedefs are at the beginning
    of line 1, so that all line numbers stay the same.
    """
    one_line = re.sub(r"\s+", " ", plain)
    missing = [
        f"typedef {kind} {tag} {tag};"
        for tag, kind in {tag: kind for kind, tag in re.findall(r"\b(enum|struct) (\w+)", one_line)}.items()
        if re.search(rf"(?<!\benum )(?<!\bstruct )\b{tag}\b[ *]+\w", one_line)
        and not re.search(rf"\btypedef\b[^;{{]*\b{tag} ?;|\}} ?{tag} ?;", one_line)
    ]
    return "".join([*missing, plain])


def _tree(plain: str, name: str) -> Any:
    # #line keeps the line numbers of the header, although the preamble comes before it.
    return c_parser.CParser().parse(f"{_PREAMBLE}\n#line 1\n{plain}", name)


def _with_line(error: Exception, plain: str, name: str) -> str:
    """Return the parser's message with a line number, which its message about an unknown type lacks."""
    message = str(error)
    if not message.startswith(f"{name}: "):
        return message
    lines = plain.split("\n")
    low, high = 1, len(lines)
    while low < high:  # find the shortest beginning of the text that gives the same message
        middle = (low + high) // 2
        try:
            _tree("\n".join(lines[:middle]), name)
            low = middle + 1
        except c_parser.ParseError as other:
            low, high = (low, middle) if str(other) == message else (middle + 1, high)
    return f"{name}:{low}: {message.removeprefix(f'{name}: ')} in '{lines[low - 1].strip()}'"


class _Reader:
    """Collects the declarations of a syntax tree."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.structs: dict[str, Struct] = {}
        self.enums: dict[str, Enum] = {}
        self.functions: dict[str, Function] = {}
        self.aliases: dict[str, Type] = {}
        self.enumerators: dict[str, int] = {}

    def result(self) -> Header:
        """Return the declarations collected so far."""
        return Header(structs=self.structs, enums=self.enums, functions=self.functions, aliases=self.aliases)

    def error_at(self, node: Any, what: str) -> HeaderUnsupported:
        """Return the error for a node."""
        line = getattr(getattr(node, "coord", None), "line", "?")
        return HeaderUnsupported(what, f"{self.name}:{line}", _REMEDY)

    def add_declaration(self, node: Any) -> None:
        """Add one declaration of the file."""
        match node:
            case c_ast.Typedef():
                self.aliases[node.name] = self.type_of(node.type, typedef=node.name)
            case c_ast.Decl(type=c_ast.FuncDecl()):
                self.add_function(node)
            case c_ast.Decl(name=None):
                self.type_of(node.type)
            case c_ast.FuncDef() | c_ast.Decl(storage=["static", *_]) | c_ast.Decl(storage=["extern", *_]):
                # The library does not export a function that the header defines, and nothing here reads variables.
                pass
            case c_ast.Pragma():
                raise self.error_at(node, "#pragma is not supported, because it may change a layout")
            case _:
                raise self.error_at(node, f"declaration of kind {type(node).__name__} is not supported")

    def add_function(self, node: Any) -> None:
        """Add a prototype."""
        kind = self.type_of(node.type)
        assert isinstance(kind, FunctionType)  # noqa: S101 - type_of returns it for a FuncDecl
        names = [p.name for p in (node.type.args.params if node.type.args else [])]
        self.functions[node.name] = Function(
            name=node.name,
            result=kind.result,
            arguments=tuple(
                Field(name=name or f"argument{i}", type=argument)
                for i, (name, argument) in enumerate(zip(names, kind.arguments, strict=False))
            ),
        )

    def type_of(self, node: Any, typedef: str | None = None, *, const: bool = False) -> Type:  # noqa: PLR0911
        """Return the type of a node; ``typedef`` is the name for a struct or an enum without a tag."""
        match node:
            case c_ast.TypeDecl() | c_ast.Typename():
                return self.type_of(node.type, typedef, const="const" in (node.quals or []))
            case c_ast.PtrDecl():
                return Pointer(target=self.type_of(node.type), const="const" in (node.quals or []))
            case c_ast.ArrayDecl():
                return self.array_type(node)
            case c_ast.FuncDecl():
                return FunctionType(result=self.type_of(node.type), arguments=self.parameter_types(node.args))
            case c_ast.IdentifierType():
                return self.scalar_or_alias(node, const=const)
            case c_ast.Struct():
                return self.struct_type(node, typedef, const=const)
            case c_ast.Enum():
                return self.enum_type(node, typedef, const=const)
        raise self.error_at(node, f"type of kind {type(node).__name__} is not supported")

    def array_type(self, node: Any) -> Array:
        """Return an array type; raises HeaderUnsupported for an array without a length."""
        if node.dim is None:
            raise self.error_at(node, "array without a length is not supported")
        return Array(element=self.type_of(node.type), length=self.constant_value(node.dim))

    def parameter_types(self, node: Any) -> tuple[Type, ...]:
        """Return the types of a function's parameters; ``()`` and ``(void)`` both mean that it has none."""
        result: list[Type] = []
        for parameter in node.params if node else []:
            if isinstance(parameter, c_ast.EllipsisParam):
                raise self.error_at(parameter, "a function with variable arguments is not supported")
            if isinstance(parameter.type, c_ast.ArrayDecl):
                result.append(Pointer(target=self.type_of(parameter.type.type)))
                continue
            kind = self.type_of(parameter.type)
            result.append(Pointer(target=kind) if isinstance(kind, FunctionType) else kind)
        return () if result == [Scalar(name="void")] else tuple(result)

    def scalar_or_alias(self, node: Any, *, const: bool) -> Type:
        """Return a scalar type, or the type that a typedef names."""
        if len(node.names) == 1 and node.names[0] in self.aliases:
            alias = self.aliases[node.names[0]]
            return (
                replace(alias, const=True) if const and isinstance(alias, Scalar | Named | Pointer) else alias
            )
        keywords = list(node.names)
        name = " ".join(keywords)
        sign = "unsigned " if "unsigned" in keywords else ""
        if name == "_Bool":
            name = "bool"
        elif "char" in keywords:
            name = ("signed " if "signed" in keywords else sign) + "char"
        elif {"unsigned", "signed", "short", "long", "int"} & set(keywords) and "double" not in keywords:
            longs = " ".join(["long"] * keywords.count("long"))
            name = sign + ("short" if "short" in keywords else longs or "int")
        return Scalar(name=name, const=const)

    def struct_type(self, node: Any, typedef: str | None, *, const: bool) -> Named:
        """Return the type of a struct, and add the struct if it is new or if this node defines its members."""
        name = node.name or typedef
        if name is None:
            raise self.error_at(node, "struct without a name inside another declaration is not supported")
        spelling = f"struct {node.name}" if node.name else name
        if node.decls is not None:
            fields: list[Field] = []
            for member in node.decls:
                if getattr(member, "bitsize", None) is not None:
                    raise self.error_at(member, f"bit field {name}.{member.name} is not supported")
                if not isinstance(member, c_ast.Decl) or member.name is None:
                    raise self.error_at(member, f"unnamed member of {name} is not supported")
                fields.append(Field(name=member.name, type=self.type_of(member.type)))
            # Move the struct to the end: the structs that its members contain were defined before this definition.
            self.structs.pop(name, None)
            self.structs[name] = Struct(name=name, spelling=spelling, fields=tuple(fields))
        self.structs.setdefault(name, Struct(name=name, spelling=spelling, fields=None))
        return Named(kind="struct", name=name, spelling=spelling, const=const)

    def enum_type(self, node: Any, typedef: str | None, *, const: bool) -> Named:
        """Return the type of an enum, and add the enum if this node defines its enumerators."""
        line = getattr(node.coord, "line", 0)
        name = node.name or typedef or f"enum at line {line}"
        spelling = f"enum {node.name}" if node.name else typedef
        if node.values is not None:
            values: dict[str, int] = {}
            following = 0
            for enumerator in node.values.enumerators:
                value = following if enumerator.value is None else self.constant_value(enumerator.value)
                values[enumerator.name] = self.enumerators[enumerator.name] = value
                following = value + 1
            self.enums[name] = Enum(name=name, spelling=spelling, values=values)
        return Named(kind="enum", name=name, spelling=spelling or "int", const=const)

    def constant_value(self, node: Any) -> int:
        """Return the value of a constant expression; raises HeaderUnsupported."""
        try:
            return constant(node, self.enumerators)
        except ValueError as error:
            raise self.error_at(node, str(error)) from error
