"""The declarations of a C header as plain records, and their spelling in C."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """A type without members, by its C name: ``int``, ``uint8_t``, ``bool``, ``void``."""

    name: str
    const: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A struct or an enum of the header.

    ``name`` is its tag, or the name of its typedef if it has no tag. ``spelling`` is how C code refers to it, such as
    ``struct tag``.
    """

    kind: Literal["struct", "enum"]
    name: str
    spelling: str
    const: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """A pointer. ``const`` is about the pointer itself; ``target`` has its own ``const``."""

    target: Type
    const: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Array:
    """An array of fixed length."""

    element: Type
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionType:
    """The type of a function that a pointer, such as a callback, points to."""

    result: Type
    arguments: tuple[Type, ...]


Type: TypeAlias = Scalar | Named | Pointer | Array | FunctionType


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A member of a struct, or a parameter of a function."""

    name: str
    type: Type


@dataclass(frozen=True, slots=True, kw_only=True)
class Struct:
    """A struct with its members in order. ``fields`` is None if the header declares the struct without its members."""

    name: str
    spelling: str
    fields: tuple[Field, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Enum:
    """An enum with the value of each enumerator. ``spelling`` is None if it has neither a tag nor a typedef."""

    name: str
    spelling: str | None
    values: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function prototype."""

    name: str
    result: Type
    arguments: tuple[Field, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """All declarations of one header. ``aliases`` maps the name of each typedef to its type."""

    structs: Mapping[str, Struct] = field(default_factory=dict)
    enums: Mapping[str, Enum] = field(default_factory=dict)
    functions: Mapping[str, Function] = field(default_factory=dict)
    aliases: Mapping[str, Type] = field(default_factory=dict)

    def struct(self, name: str) -> Struct | None:
        """Return the struct with this tag or typedef name, or None."""
        alias = self.aliases.get(name)
        if isinstance(alias, Named) and alias.kind == "struct":
            return self.structs.get(alias.name)
        return self.structs.get(name)

    def has_field(self, struct: str, name: str) -> bool:
        """Return whether the struct exists and has a member of this name."""
        declared = self.struct(struct)
        return declared is not None and any(member.name == name for member in declared.fields or ())

    def enumerators(self) -> dict[str, int]:
        """Return the value of every enumerator of every enum."""
        return {key: value for enum in self.enums.values() for key, value in enum.values.items()}


def c_spelling(kind: Type, declarator: str = "") -> str:
    """Return the C declaration of ``declarator`` with this type: ``const char *name``, ``void (*cb)(int)``."""
    if isinstance(kind, Scalar | Named):
        base = kind.spelling if isinstance(kind, Named) else kind.name
        text = f"const {base}" if kind.const else base
        return f"{text} {declarator}".rstrip()
    if isinstance(kind, Pointer):
        inner = f"*{' const ' if kind.const else ''}{declarator}"
        if isinstance(kind.target, Array | FunctionType):
            inner = f"({inner})"
        return c_spelling(kind.target, inner)
    if isinstance(kind, Array):
        return c_spelling(kind.element, f"{declarator}[{kind.length}]")
    arguments = ", ".join(c_spelling(argument) for argument in kind.arguments) or "void"
    return c_spelling(kind.result, f"{declarator}({arguments})")
