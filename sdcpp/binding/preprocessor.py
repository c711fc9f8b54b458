"""A preprocessor for upstream's public header. It needs no C compiler.

It evaluates conditions and expands object-like macros. It does not include files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pycparser import c_ast, c_parser

from sdcpp.errors import HeaderUnsupported

#: Macros of every C11 compiler. No macro names a platform or a compiler, so that upstream's header takes its portable
#: branches.
STANDARD = {"__STDC__": "1", "__STDC_VERSION__": "201112L"}

_REMEDY = "add support for it to sdcpp/binding/preprocessor.py, or use another revision"
#: A comment. Strings and character constants match, too, so that no comment is found inside them.
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)
_DIRECTIVE = re.compile(r"\s*#\s*(\w*)\s*(.*)", re.DOTALL)
_DEFINED = re.compile(r"\bdefined\s*(?:\(\s*(\w+)\s*\)|(\w+))")
_MACRO = re.compile(r"(\w+)(\()?\s*(.*)", re.DOTALL)
#: A name. Strings and character constants match, too, so that no name is found inside them.
_TOKEN = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|\b[A-Za-z_]\w*\b")

_BINARY: dict[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    # C truncates towards zero, Python rounds down.
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
    """Return the value of an integer constant expression, given as a pycparser node.

    ``names`` maps the enumerators declared so far to their values. Any other name has the value ``unknown``, or is an
    error if that is None. In the condition of an #if, C gives unknown names the value 0.
    Raises ValueError, with the reason, for an expression that cannot be evaluated.
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
    raise ValueError(f"{type(node).__name__} is not a constant expression that can be evaluated")


class Preprocessor:
    """The state of preprocessing one header: its macros and its open conditions."""

    def __init__(self, name: str, defines: Mapping[str, str]) -> None:
        self.name = name
        self.macros: dict[str, str] = {**STANDARD, **defines}
        self.functions: set[str] = set()
        #: One entry for each open #if: whether this branch is active, whether any branch so far was, and whether the
        #: text around the #if is active.
        self.stack: list[tuple[bool, bool, bool]] = []

    def error_at(self, line: int, what: str) -> HeaderUnsupported:
        """Return the error for a line of the header."""
        return HeaderUnsupported(what, f"{self.name}:{line}", _REMEDY)

    def is_active(self) -> bool:
        """Return whether the conditions include the current line."""
        return not self.stack or (self.stack[-1][0] and self.stack[-1][2])

    def expand(self, text: str, line: int, hidden: frozenset[str] = frozenset()) -> str:
        """Return the text with its object-like macros expanded, except those in ``hidden``."""

        def replacement(match: re.Match[str]) -> str:
            token = match.group()
            if token in self.functions and match.string[match.end() :].lstrip().startswith("("):
                raise self.error_at(line, f"function-like macro {token} is not supported")
            if token not in self.macros or token in hidden:
                return token
            return self.expand(self.macros[token], line, hidden | {token})

        return _TOKEN.sub(replacement, text)

    def evaluate(self, text: str, line: int) -> bool:
        """Return whether the condition of an #if or #elif is true."""
        known = self.macros.keys() | self.functions
        text = _DEFINED.sub(lambda m: str(int((m.group(1) or m.group(2)) in known)), text)
        try:
            tree = c_parser.CParser().parse(f"int x = ({self.expand(text, line)});")
            return bool(constant(tree.ext[0].init, {}, unknown=0))
        except (ValueError, c_parser.ParseError) as error:
            raise self.error_at(line, f"condition cannot be evaluated ({error})") from error

    def conditional(self, directive: str, rest: str, line: int) -> None:
        """Process a directive that opens, continues or closes a condition; ``rest`` is the text after its name."""
        if directive in ("if", "ifdef", "ifndef"):
            outer = self.is_active()
            if directive == "if":
                value = outer and self.evaluate(rest, line)
            else:
                name = rest.split(maxsplit=1)[0] if rest.split() else ""
                value = (name in self.macros or name in self.functions) == (directive == "ifdef")
            self.stack.append((value, value, outer))
            return
        if not self.stack:
            raise self.error_at(line, f"#{directive} without #if")
        _, taken, outer = self.stack.pop()
        if directive != "endif":
            value = outer and not taken and (directive == "else" or self.evaluate(rest, line))
            self.stack.append((value, taken or value, outer))

    def other_directive(self, directive: str, rest: str, line: int) -> None:
        """Process a directive that is no condition, in active text; ``rest`` is the text after its name."""
        if directive == "define":
            match = _MACRO.match(rest)
            if not match:
                raise self.error_at(line, "#define without a name")
            if match.group(2):
                self.functions.add(match.group(1))
            else:
                self.macros[match.group(1)] = match.group(3).strip()
        elif directive == "undef":
            self.macros.pop(rest.strip(), None)
            self.functions.discard(rest.strip())
        elif directive == "error":
            raise self.error_at(line, f"#error {rest.strip()}")
        elif directive not in ("", "include", "pragma", "warning", "line"):
            raise self.error_at(line, f"unknown directive #{directive}")


def preprocess(text: str, name: str, defines: Mapping[str, str] | None = None) -> str:
    """Return a header's text with its macros expanded, without comments and directives, and with the same lines.

    ``name`` is the name of the file, for error messages. ``defines`` are further macros. Included files are not read,
    because ``sdcpp.binding.header`` knows the types of the standard headers.
    Raises HeaderUnsupported, with the line number, for what is not supported.
    """
    state = Preprocessor(name, defines or {})

    def without_comment(match: re.Match[str]) -> str:
        matched = match.group()
        return matched if matched[0] in "\"'" else " " + "\n" * matched.count("\n")

    lines = _COMMENT.sub(without_comment, text.replace("\r\n", "\n")).split("\n")
    result: list[str] = []
    while len(result) < len(lines):
        start = len(result)
        line, count = lines[start], 1
        while line.endswith("\\") and start + count < len(lines):
            line, count = line[:-1] + " " + lines[start + count], count + 1
        result += [""] * count
        match = _DIRECTIVE.fullmatch(line)
        if match and match.group(1) in ("if", "ifdef", "ifndef", "elif", "else", "endif"):
            state.conditional(match.group(1), match.group(2), start + 1)
        elif state.is_active():
            if match:
                state.other_directive(match.group(1), match.group(2), start + 1)
            else:
                result[start] = state.expand(line, start + 1)
    if state.stack:
        raise state.error_at(len(lines), "#if without #endif")
    return "\n".join(result)
