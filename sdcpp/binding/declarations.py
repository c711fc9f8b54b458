"""What a C header declares, as plain values, and how such a value is written in C again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """A type without parts, by its C name: ``int``, ``uint8_t``, ``bool``, ``void``."""

    name: str
    const: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A struct or an enum of the header, by its name (the tag, or the typedef's name where there is none)."""

    kind: Literal["struct", "enum"]
    name: str
    spelling: str
    const: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """A pointer; ``const`` speaks of the pointer itself, the target carries its own."""

    target: Type
    const: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Array:
    """An array of known length."""

    element: Type
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionType:
    """What a callback points to."""

    result: Type
    arguments: tuple[Type, ...]


Type: TypeAlias = Scalar | Named | Pointer | Array | FunctionType


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One member of a struct."""

    name: str
    type: Type


@dataclass(frozen=True, slots=True, kw_only=True)
class Struct:
    """A struct with its members in order; ``fields`` is None where the header keeps it opaque."""

    name: str
    spelling: str
    fields: tuple[Field, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Enum:
    """An enum with the values that C's counting gives; ``spelling`` is None where C cannot name it."""

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
    """All that one header declares. ``aliases`` are its typedefs."""

    structs: Mapping[str, Struct] = field(default_factory=dict)
    enums: Mapping[str, Enum] = field(default_factory=dict)
    functions: Mapping[str, Function] = field(default_factory=dict)
    aliases: Mapping[str, Type] = field(default_factory=dict)

    def struct(self, name: str) -> Struct | None:
        """Return the struct of this tag or typedef name, or None."""
        alias = self.aliases.get(name)
        if isinstance(alias, Named) and alias.kind == "struct":
            return self.structs.get(alias.name)
        return self.structs.get(name)

    def has_field(self, struct: str, name: str) -> bool:
        """Return whether the struct exists and has a member of this name."""
        found = self.struct(struct)
        return found is not None and any(member.name == name for member in found.fields or ())

    def enumerators(self) -> dict[str, int]:
        """Return every enumerator of every enum with its value."""
        return {key: value for enum in self.enums.values() for key, value in enum.values.items()}


def c_spelling(kind: Type, declarator: str = "") -> str:
    """Return ``declarator`` declared as this type, in C: ``const char* name``, ``void (*cb)(int)``."""
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
