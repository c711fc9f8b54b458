"""The little of C's preprocessor that upstream's public header needs, without a C compiler."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pycparser import c_ast, c_parser

from sdcpp.errors import HeaderUnsupported

#: Defined in every C11 compiler. No platform and no vendor: upstream's header then takes its plain branches.
STANDARD = {"__STDC__": "1", "__STDC_VERSION__": "201112L"}

_REMEDY = "add this to sdcpp/binding/preprocessor.py, or use another revision"
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)
_DIRECTIVE = re.compile(r"\s*#\s*(\w*)\s*(.*)", re.DOTALL)
_DEFINED = re.compile(r"\bdefined\s*(?:\(\s*(\w+)\s*\)|(\w+))")
_MACRO = re.compile(r"(\w+)(\()?\s*(.*)", re.DOTALL)
_WORD = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|\b[A-Za-z_]\w*\b")

_BINARY: dict[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    # C truncates towards zero, Python floors.
    "/": lambda a, b: abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1),
    "%": lambda a, b: abs(a) % abs(b) * (1 if a >= 0 else -1),
    "<<": lambda a, b: a << b,
    ">>": lambda a, b: a >> b,
    "&": lambda a, b: a & b,
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
    "==": lambda a, b: int(a == b),
    "!=": lambda a, b: int(a != b),
    "<": lambda a, b: int(a < b),
    "<=": lambda a, b: int(a <= b),
    ">": lambda a, b: int(a > b),
    ">=": lambda a, b: int(a >= b),
}
_UNARY: dict[str, Callable[[int], int]] = {
    "-": lambda a: -a,
    "+": lambda a: a,
    "~": lambda a: ~a,
    "!": lambda a: int(not a),
}


def constant(node: Any, names: Mapping[str, int], *, unknown: int | None = None) -> int:  # noqa: PLR0911
    """Return the value of an integer constant expression, a pycparser node.

    ``names`` are the enumerators known so far; a name that is not among them counts as ``unknown``, as
    the preprocessor has it, unless that is None. Raises ValueError with what it cannot evaluate.
    """
    match node:
        case c_ast.Constant(type="char"):
            return ord(node.value[1:-1].encode().decode("unicode_escape"))
        case c_ast.Constant() if node.type not in ("string", "float", "double"):
            digits = node.value.rstrip("uUlL")
            return int(digits, 8 if re.fullmatch(r"0\d+", digits) else 0)
        case c_ast.ID() if node.name in names or unknown is not None:
            return names.get(node.name, unknown or 0)
        case c_ast.UnaryOp() if node.op in _UNARY:
            return _UNARY[node.op](constant(node.expr, names, unknown=unknown))
        case c_ast.BinaryOp(op="&&"):
            left = constant(node.left, names, unknown=unknown)
            return int(bool(left and constant(node.right, names, unknown=unknown)))
        case c_ast.BinaryOp(op="||"):
            left = constant(node.left, names, unknown=unknown)
            return int(bool(left or constant(node.right, names, unknown=unknown)))
        case c_ast.BinaryOp() if node.op in _BINARY:
            right = constant(node.right, names, unknown=unknown)
            if node.op in "/%" and right == 0:
                raise ValueError("division by zero")
            return _BINARY[node.op](constant(node.left, names, unknown=unknown), right)
        case c_ast.TernaryOp():
            chosen = node.iftrue if constant(node.cond, names, unknown=unknown) else node.iffalse
            return constant(chosen, names, unknown=unknown)
        case c_ast.Cast():
            return constant(node.expr, names, unknown=unknown)
    raise ValueError(f"{type(node).__name__} is not a constant that can be evaluated here")


class Preprocessor:
    """Follows the conditions of one header and expands its object-like macros, keeping line numbers."""

    def __init__(self, name: str, defines: Mapping[str, str]) -> None:
        self.name = name
        self.macros: dict[str, str] = {**STANDARD, **defines}
        self.functions: set[str] = set()
        #: One entry per open #if: (this branch is active, some branch was, the surrounding text is active).
        self.stack: list[tuple[bool, bool, bool]] = []

    def fail(self, line: int, what: str) -> HeaderUnsupported:
        """Return the error for this line."""
        return HeaderUnsupported(what, f"{self.name}:{line}", _REMEDY)

    def active(self) -> bool:
        """Return whether the current line belongs to the text."""
        return not self.stack or (self.stack[-1][0] and self.stack[-1][2])

    def expand(self, text: str, line: int, hidden: frozenset[str] = frozenset()) -> str:
        """Return the text with object-like macros replaced."""

        def one(match: re.Match[str]) -> str:
            word = match.group()
            if word in self.functions and match.string[match.end() :].lstrip().startswith("("):
                raise self.fail(line, f"function-like macro {word} is used")
            if word not in self.macros or word in hidden:
                return word
            return self.expand(self.macros[word], line, hidden | {word})

        return _WORD.sub(one, text)

    def condition(self, text: str, line: int) -> bool:
        """Return what an #if expression comes to."""
        known = self.macros.keys() | self.functions
        text = _DEFINED.sub(lambda m: str(int((m.group(1) or m.group(2)) in known)), text)
        try:
            tree = c_parser.CParser().parse(f"int x = ({self.expand(text, line)});")
            return bool(constant(tree.ext[0].init, {}, unknown=0))
        except (ValueError, c_parser.ParseError) as error:
            raise self.fail(line, f"condition cannot be evaluated ({error})") from error

    def branch(self, word: str, rest: str, line: int) -> None:
        """Follow #if and its relatives."""
        if word in ("if", "ifdef", "ifndef"):
            outer = self.active()
            if word == "if":
                value = outer and self.condition(rest, line)
            else:
                name = rest.split(maxsplit=1)[0] if rest.split() else ""
                value = (name in self.macros or name in self.functions) == (word == "ifdef")
            self.stack.append((value, value, outer))
            return
        if not self.stack:
            raise self.fail(line, f"#{word} without #if")
        _, taken, outer = self.stack.pop()
        if word != "endif":
            value = outer and not taken and (word == "else" or self.condition(rest, line))
            self.stack.append((value, taken or value, outer))

    def directive(self, word: str, rest: str, line: int) -> None:
        """Obey one directive of the active text."""
        if word == "define":
            match = _MACRO.match(rest)
            if not match:
                raise self.fail(line, "#define without a name")
            if match.group(2):
                self.functions.add(match.group(1))
            else:
                self.macros[match.group(1)] = match.group(3).strip()
        elif word == "undef":
            self.macros.pop(rest.strip(), None)
            self.functions.discard(rest.strip())
        elif word == "error":
            raise self.fail(line, f"#error {rest.strip()}")
        elif word not in ("", "include", "pragma", "warning", "line"):
            raise self.fail(line, f"unknown directive #{word}")


def preprocess(text: str, name: str, defines: Mapping[str, str] | None = None) -> str:
    """Return the header's text without comments, directives and macros, line for line.

    Included files are left out: the types of the standard headers are known to the parser.
    Raises HeaderUnsupported, with the line, for what it does not understand.
    """
    state = Preprocessor(name, defines or {})

    def blank(match: re.Match[str]) -> str:
        found = match.group()
        return found if found[0] in "\"'" else " " + "\n" * found.count("\n")

    lines = _COMMENT.sub(blank, text.replace("\r\n", "\n")).split("\n")
    result: list[str] = []
    while len(result) < len(lines):
        start = len(result)
        line, count = lines[start], 1
        while line.endswith("\\") and start + count < len(lines):
            line, count = line[:-1] + " " + lines[start + count], count + 1
        result += [""] * count
        match = _DIRECTIVE.fullmatch(line)
        if match and match.group(1) in ("if", "ifdef", "ifndef", "elif", "else", "endif"):
            state.branch(match.group(1), match.group(2), start + 1)
        elif state.active():
            if match:
                state.directive(match.group(1), match.group(2), start + 1)
            else:
                result[start] = state.expand(line, start + 1)
    if state.stack:
        raise state.fail(len(lines), "#if without #endif")
    return "\n".join(result)
