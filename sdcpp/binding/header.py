"""Reading upstream's public header with pycparser: declarations in, plain records out.

No C compiler is asked here; sdcpp.binding.layouts compares what this reading gives with what the compiler says.
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

#: The names that the standard headers would have brought. What they are is known to sdcpp.binding.layouts.
STANDARD_TYPES = (
    *(f"{sign}int{bits}_t" for bits in (8, 16, 32, 64) for sign in ("", "u")),
    *("size_t", "ptrdiff_t", "intptr_t", "uintptr_t", "wchar_t", "bool"),
)
_PREAMBLE = " ".join(f"typedef int {name};" for name in STANDARD_TYPES)
_REMEDY = "add this declaration to sdcpp/binding/header.py, or use another revision"


def read(path: Path) -> Header:
    """Return what the header file declares; raises HeaderUnsupported."""
    return parse(path.read_text(encoding="utf-8", errors="replace"), path.name)


def parse(text: str, name: str = "stable-diffusion.h", defines: Mapping[str, str] | None = None) -> Header:
    """Return what a header's text declares.

    ``defines`` are macros to set beforehand. Raises HeaderUnsupported, with the line, for what it
    cannot read.
    """
    plain = _typedefs(preprocess(text, name, defines))
    try:
        tree = _tree(plain, name)
    except c_parser.ParseError as error:
        raise HeaderUnsupported("header cannot be parsed", _placed(error, plain, name), _REMEDY) from error
    reader = _Reader(name)
    for node in tree.ext[len(STANDARD_TYPES) :]:
        reader.declaration(node)
    return reader.result()


def _typedefs(plain: str) -> str:
    """Return the text with a typedef for every struct or enum that it names by its tag alone, as C++ may.

    Upstream's header does in sdists 0.1.0 to 0.1.6 and 0.3.7. The typedefs stand in line 1, before all else.
    """
    words = re.sub(r"\s+", " ", plain)
    missing = [
        f"typedef {kind} {tag} {tag};"
        for tag, kind in {tag: kind for kind, tag in re.findall(r"\b(enum|struct) (\w+)", words)}.items()
        if re.search(rf"(?<!\benum )(?<!\bstruct )\b{tag}\b[ *]+\w", words)
        and not re.search(rf"\btypedef\b[^;{{]*\b{tag} ?;|\}} ?{tag} ?;", words)
    ]
    return "".join([*missing, plain])


def _tree(plain: str, name: str) -> Any:
    # The preamble stands before line 1, so that line numbers stay those of the header.
    return c_parser.CParser().parse(f"{_PREAMBLE}\n#line 1\n{plain}", name)


def _placed(error: Exception, plain: str, name: str) -> str:
    """Return the parser's message with a line number: that of an unknown type comes without one."""
    message = str(error)
    if not message.startswith(f"{name}: "):
        return message
    lines = plain.split("\n")
    low, high = 1, len(lines)
    while low < high:  # the shortest beginning of the text that has the same complaint
        middle = (low + high) // 2
        try:
            _tree("\n".join(lines[:middle]), name)
            low = middle + 1
        except c_parser.ParseError as other:
            low, high = (low, middle) if str(other) == message else (middle + 1, high)
    return f"{name}:{low}: {message.removeprefix(f'{name}: ')} in '{lines[low - 1].strip()}'"


class _Reader:
    """Collects the declarations of one syntax tree."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.structs: dict[str, Struct] = {}
        self.enums: dict[str, Enum] = {}
        self.functions: dict[str, Function] = {}
        self.aliases: dict[str, Type] = {}
        self.enumerators: dict[str, int] = {}

    def result(self) -> Header:
        """Return what was collected."""
        return Header(structs=self.structs, enums=self.enums, functions=self.functions, aliases=self.aliases)

    def fail(self, node: Any, what: str) -> HeaderUnsupported:
        """Return the error for this node."""
        line = getattr(getattr(node, "coord", None), "line", "?")
        return HeaderUnsupported(what, f"{self.name}:{line}", _REMEDY)

    def declaration(self, node: Any) -> None:
        """Take in one declaration of the file."""
        match node:
            case c_ast.Typedef():
                self.aliases[node.name] = self.type(node.type, typedef=node.name)
            case c_ast.Decl(type=c_ast.FuncDecl()):
                self.function(node)
            case c_ast.Decl(name=None):
                self.type(node.type)
            case c_ast.FuncDef() | c_ast.Decl(storage=["static", *_]) | c_ast.Decl(storage=["extern", *_]):
                # A body in a header is no symbol of the library, and variables are not called.
                pass
            case c_ast.Pragma():
                raise self.fail(node, "#pragma changes what a declaration means")
            case _:
                raise self.fail(node, f"{type(node).__name__} is an unknown kind of declaration")

    def function(self, node: Any) -> None:
        """Take in a prototype."""
        kind = self.type(node.type)
        assert isinstance(kind, FunctionType)  # noqa: S101 - a FuncDecl gives nothing else
        names = [p.name for p in (node.type.args.params if node.type.args else [])]
        self.functions[node.name] = Function(
            name=node.name,
            result=kind.result,
            arguments=tuple(
                Field(name=name or f"argument{i}", type=argument)
                for i, (name, argument) in enumerate(zip(names, kind.arguments, strict=False))
            ),
        )

    def type(self, node: Any, typedef: str | None = None, *, const: bool = False) -> Type:  # noqa: PLR0911
        """Return the type of a pycparser node; ``typedef`` is the name an unnamed struct or enum gets."""
        match node:
            case c_ast.TypeDecl() | c_ast.Typename():
                return self.type(node.type, typedef, const="const" in (node.quals or []))
            case c_ast.PtrDecl():
                return Pointer(target=self.type(node.type), const="const" in (node.quals or []))
            case c_ast.ArrayDecl():
                return self.array(node)
            case c_ast.FuncDecl():
                return FunctionType(result=self.type(node.type), arguments=self.parameters(node.args))
            case c_ast.IdentifierType():
                return self.identifier(node, const=const)
            case c_ast.Struct():
                return self.struct(node, typedef, const=const)
            case c_ast.Enum():
                return self.enum(node, typedef, const=const)
        raise self.fail(node, f"{type(node).__name__} is an unknown kind of type")

    def array(self, node: Any) -> Array:
        """Return an array type; its length must be known."""
        if node.dim is None:
            raise self.fail(node, "array without a length")
        return Array(element=self.type(node.type), length=self.value(node.dim))

    def parameters(self, node: Any) -> tuple[Type, ...]:
        """Return the parameter types of a function; ``()`` and ``(void)`` both mean none."""
        result: list[Type] = []
        for parameter in node.params if node else []:
            if isinstance(parameter, c_ast.EllipsisParam):
                raise self.fail(parameter, "variable arguments")
            if isinstance(parameter.type, c_ast.ArrayDecl):
                result.append(Pointer(target=self.type(parameter.type.type)))
                continue
            kind = self.type(parameter.type)
            result.append(Pointer(target=kind) if isinstance(kind, FunctionType) else kind)
        return () if result == [Scalar(name="void")] else tuple(result)

    def identifier(self, node: Any, *, const: bool) -> Type:
        """Return a scalar, or what a typedef stands for."""
        if len(node.names) == 1 and node.names[0] in self.aliases:
            alias = self.aliases[node.names[0]]
            return (
                replace(alias, const=True) if const and isinstance(alias, Scalar | Named | Pointer) else alias
            )
        words = list(node.names)
        name = " ".join(words)
        sign = "unsigned " if "unsigned" in words else ""
        if name == "_Bool":
            name = "bool"
        elif "char" in words:
            name = ("signed " if "signed" in words else sign) + "char"
        elif {"unsigned", "signed", "short", "long", "int"} & set(words) and "double" not in words:
            name = sign + ("short" if "short" in words else " ".join(["long"] * words.count("long")) or "int")
        return Scalar(name=name, const=const)

    def struct(self, node: Any, typedef: str | None, *, const: bool) -> Named:
        """Take in a struct definition or mention and return its name."""
        name = node.name or typedef
        if name is None:
            raise self.fail(node, "struct without a name inside another declaration")
        spelling = f"struct {node.name}" if node.name else name
        if node.decls is not None:
            fields: list[Field] = []
            for member in node.decls:
                if getattr(member, "bitsize", None) is not None:
                    raise self.fail(member, f"bit field {name}.{member.name}")
                if not isinstance(member, c_ast.Decl) or member.name is None:
                    raise self.fail(member, f"unnamed member of {name}")
                fields.append(Field(name=member.name, type=self.type(member.type)))
            # Moved to the end: a struct that was opaque so far is laid out where its members are known.
            self.structs.pop(name, None)
            self.structs[name] = Struct(name=name, spelling=spelling, fields=tuple(fields))
        self.structs.setdefault(name, Struct(name=name, spelling=spelling, fields=None))
        return Named(kind="struct", name=name, spelling=spelling, const=const)

    def enum(self, node: Any, typedef: str | None, *, const: bool) -> Named:
        """Take in an enum definition or mention and return its name."""
        line = getattr(node.coord, "line", 0)
        name = node.name or typedef or f"enum at line {line}"
        spelling = f"enum {node.name}" if node.name else typedef
        if node.values is not None:
            values: dict[str, int] = {}
            following = 0
            for enumerator in node.values.enumerators:
                value = following if enumerator.value is None else self.value(enumerator.value)
                values[enumerator.name] = self.enumerators[enumerator.name] = value
                following = value + 1
            self.enums[name] = Enum(name=name, spelling=spelling, values=values)
        return Named(kind="enum", name=name, spelling=spelling or "int", const=const)

    def value(self, node: Any) -> int:
        """Return the value of a constant expression."""
        try:
            return constant(node, self.enumerators)
        except ValueError as error:
            raise self.fail(node, str(error)) from error
