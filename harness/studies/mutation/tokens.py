"""Split C++ source into tokens, and find the function or table that a token belongs to.

Comments and preprocessor lines make no tokens, so nothing that is made from tokens changes them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
    (?P<skip>\s+|//[^\n]*|/\*.*?\*/)
  | (?P<directive>^[ \t]*\#(?:[^\n\\]|\\\n|\\.)*)
  | (?P<string>(?:u8|[uUL])?R"(?P<mark>[^()\s]*)\(.*?\)(?P=mark)"|(?:u8|[uUL])?"(?:[^"\\\n]|\\.)*")
  | (?P<char>(?:u8|[uUL])?'(?:[^'\\\n]|\\.)+')
  | (?P<number>\.?\d(?:[eEpP][+-]|[\w.'])*)
  | (?P<name>[A-Za-z_]\w*)
  | (?P<operator><<=|>>=|\.\.\.|->\*|::|->|\+\+|--|<<|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|.)
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_PAIRS = {"(": ")", "[": "]", "{": "}"}
#: Names before a parenthesis that begin a statement, not the parameters of a function.
_STATEMENTS = frozenset({"if", "for", "while", "switch", "catch", "return", "sizeof", "decltype", "noexcept"})
#: Words between the parameters of a function and its body.
_AFTER_PARAMETERS = frozenset({"const", "override", "noexcept", "final", "mutable", "volatile"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token: its kind (name, number, string, char, operator), its text, and its place in the source.

    ``start`` and ``end`` are offsets into the text, ``line`` is the number of its line, from 1.
    """

    kind: str
    text: str
    start: int
    end: int
    line: int


def tokens(source: str) -> list[Token]:
    """Return the tokens of a source text, in order."""
    found: list[Token] = []
    line, counted = 1, 0
    for match in _TOKEN.finditer(source):
        kind = match.lastgroup or ""
        if kind in ("skip", "directive"):
            continue
        line += source.count("\n", counted, match.start())
        counted = match.start()
        found.append(Token(kind=kind, text=match.group(), start=match.start(), end=match.end(), line=line))
    return found


def partners(found: Sequence[Token]) -> dict[int, int]:
    """Return the index of the closing bracket for the index of each opening one, and the other way round."""
    pairs: dict[int, int] = {}
    opened: list[int] = []
    for index, token in enumerate(found):
        if token.kind == "operator" and token.text in _PAIRS:
            opened.append(index)
        elif token.kind == "operator" and token.text in _PAIRS.values():
            while opened:
                start = opened.pop()
                if _PAIRS[found[start].text] == token.text:
                    pairs[start], pairs[index] = index, start
                    break
    return pairs


def owners(found: Sequence[Token], pairs: dict[int, int]) -> list[str]:
    """Return for each token the name of the outermost function or table whose body it is in, or ""."""
    names = [""] * len(found)
    index = 0
    while index < len(found):
        if found[index].text == "{" and index in pairs and (name := _owner(found, pairs, index)):
            names[index : pairs[index] + 1] = [name] * (pairs[index] + 1 - index)
            index = pairs[index]
        index += 1
    return names


def _owner(found: Sequence[Token], pairs: dict[int, int], brace: int) -> str:
    """Return the name of the function or table whose body begins at a brace, or "" for a class or a namespace."""
    index = brace - 1
    if index > 0 and found[index].text == "=":
        return found[index - 1].text if found[index - 1].kind == "name" else ""
    while index >= 0 and found[index].text in _AFTER_PARAMETERS:
        index -= 1
    while index > 0 and found[index].text in (")", "}") and index in pairs:
        before = pairs[index] - 1
        if before < 0 or found[before].kind != "name" or found[before].text in _STATEMENTS:
            return ""
        # An initialiser of a member: the name of the constructor is further ahead.
        if before > 0 and found[before - 1].text in (",", ":"):
            index = before - 2
            continue
        return found[before].text
    return ""
