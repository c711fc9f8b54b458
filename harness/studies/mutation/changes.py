"""Find all small mistakes that can be made on the tokens of a C++ source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.studies.mutation.tokens import Token, partners

#: Binary operators, and what each is replaced by. Those between blanks are meant: the others are pointers, references
#: and template brackets, in the format of upstream's source.
_OPERATORS = {
    "+": "-",
    "-": "+",
    "*": "/",
    "/": "*",
    "%": "*",
    "==": "!=",
    "!=": "==",
    "<": "<=",
    ">": ">=",
    "<=": "<",
    ">=": ">",
    "&&": "||",
    "||": "&&",
    "+=": "-=",
    "-=": "+=",
    "*=": "/=",
    "/=": "*=",
}
_WORDS = {"true": "false", "false": "true"}
_CONDITIONS = frozenset({"if", "while"})
#: Names before the parentheses that a statement without braces may follow.
_CONTROLS = frozenset({"if", "while", "for"})
#: Names that begin something else than an expression.
_NO_EXPRESSION = frozenset(
    {
        *("return", "if", "for", "while", "do", "else", "switch", "case", "default", "goto", "throw", "try"),
        *("using", "typedef", "struct", "class", "enum", "template", "public", "private", "protected"),
        *("const", "static", "auto", "constexpr"),
    }
)
#: Arguments that have a type of their own: swapped with another, they do not compile.
_ALONE = frozenset({"ctx", "backend", "compute_ctx", "nullptr"})
_OPEN = frozenset("([{")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A mistake: the text from ``start`` to ``end`` (offsets) becomes ``text``. ``token`` is the index of its token.

    ``operator`` is the kind of mistake: the name of a function of this module.
    """

    operator: str
    token: int
    start: int
    end: int
    text: str


def changes(source: str, found: Sequence[Token]) -> Iterator[Change]:
    """Yield every mistake that this module knows, of one kind after the other.

    Arguments of upstream's log macros and assertions stay as they are.
    """
    pairs = partners(found)
    quiet = _log_calls(found, pairs)
    for kind in OPERATORS:
        for change in kind(source, found, pairs):
            if change.token not in quiet:
                yield change


def _log_calls(found: Sequence[Token], pairs: dict[int, int]) -> set[int]:
    """Return the indices of the tokens of calls that log or assert."""
    inside: set[int] = set()
    for index, token in enumerate(found[:-1]):
        if token.kind == "name" and token.text.startswith(("LOG_", "GGML_ASSERT")) and index + 1 in pairs:
            inside.update(range(index, pairs[index + 1] + 1))
    return inside


def operator(source: str, found: Sequence[Token], _pairs: dict[int, int]) -> Iterator[Change]:
    """Yield a change of each binary operator that stands between blanks, unless it joins strings."""
    for index, token in enumerate(found):
        spaced = (
            source[token.start - 1 : token.start].isspace() and source[token.end : token.end + 1].isspace()
        )
        joins = token.text in ("+", "+=") and "string" in {each.kind for each in found[index - 1 : index + 2]}
        if token.kind == "operator" and token.text in _OPERATORS and spaced and not joins:
            yield _replace("operator", index, token, _OPERATORS[token.text])


def constant(_source: str, found: Sequence[Token], _pairs: dict[int, int]) -> Iterator[Change]:
    """Yield a change of each number and truth value: 0 becomes 1, a number n of more becomes n + 1."""
    for index, token in enumerate(found):
        if token.text in _WORDS:
            yield _replace("constant", index, token, _WORDS[token.text])
        elif token.kind == "number" and token.text.isdecimal():
            yield _replace("constant", index, token, str(int(token.text) + 1))
        elif token.kind == "number" and token.text.rstrip("fF").replace(".", "", 1).isdecimal():
            value = float(token.text.rstrip("fF"))
            yield _replace("constant", index, token, f"{value * 2 if value else 1.0}f")


def condition(source: str, found: Sequence[Token], pairs: dict[int, int]) -> Iterator[Change]:
    """Yield a change that negates the condition of each if and while."""
    for index, (token, after) in enumerate(pairwise(found)):
        if token.text in _CONDITIONS and after.text == "(" and index + 1 in pairs:
            start, end = after.end, found[pairs[index + 1]].start
            inside = found[index + 2 : pairs[index + 1]]
            if inside and not any(each.text in (";", "=") for each in inside):
                yield Change(
                    operator="condition", token=index, start=start, end=end, text=f"!({source[start:end]})"
                )


def statement(_source: str, found: Sequence[Token], pairs: dict[int, int]) -> Iterator[Change]:
    """Yield a change that deletes each statement that is an expression, a break or a continue."""
    first, index = 0, 0
    while index < len(found):
        text = found[index].text
        if text in ("(", "[") and index in pairs and not _has_body(found, index, pairs[index]):
            controls = index > 0 and found[index - 1].text in _CONTROLS
            index = pairs[index]
            first = index + 1 if controls else first
        elif text == ";":
            if first < index and _is_expression(found, first):
                yield Change(
                    operator="statement",
                    token=first,
                    start=found[first].start,
                    end=found[index].end,
                    text=";",
                )
            first = index + 1
        elif text in ("{", "}", "(", ")", ":", "else"):
            first = index + 1
        index += 1


def _has_body(found: Sequence[Token], start: int, end: int) -> bool:
    """Return whether there is the body of a lambda between two brackets."""
    return any(token.text == "{" for token in found[start:end]) and any(
        token.text == ";" for token in found[start:end]
    )


def _is_expression(found: Sequence[Token], first: int) -> bool:
    """Return whether a statement that begins at a token is neither a declaration nor a control statement."""
    if found[first].text in ("break", "continue"):
        return True
    if found[first].text in ("++", "--", "*"):
        return True
    if found[first].kind != "name" or found[first].text in _NO_EXPRESSION:
        return False
    index = first + 1
    while found[index].text == "::":
        index += 2
    if found[index].text == "<":
        return False
    while found[index].text in ("*", "&", "&&"):
        index += 1
    return found[index].kind != "name"


def arguments(source: str, found: Sequence[Token], pairs: dict[int, int]) -> Iterator[Change]:
    """Yield a change that swaps each two neighbouring arguments of a call that have the same form."""
    for index, (token, after) in enumerate(pairwise(found)):
        if (
            token.kind != "name"
            or after.text != "("
            or index + 1 not in pairs
            or token.text in _NO_EXPRESSION
        ):
            continue
        for left, right in pairwise(_elements(found, index + 1, pairs)):
            words = [[found[each].text for each in element] for element in (left, right)]
            kinds = [[_form(found[each]) for each in element] for element in (left, right)]
            alone = not _ALONE.isdisjoint(words[0] + words[1])
            if words[0] != words[1] and kinds[0] == kinds[1] and "name" in kinds[0] and not alone:
                start, end = found[left[0]].start, found[right[-1]].end
                texts = [source[found[e[0]].start : found[e[-1]].end] for e in (left, right)]
                between = source[found[left[-1]].end : found[right[0]].start]
                yield Change(
                    operator="arguments",
                    token=left[0],
                    start=start,
                    end=end,
                    text=f"{texts[1]}{between}{texts[0]}",
                )


def _form(token: Token) -> str:
    return token.kind if token.kind in ("name", "number", "string") else token.text


def entry(_source: str, found: Sequence[Token], pairs: dict[int, int]) -> Iterator[Change]:
    """Yield a change that drops each entry of a table of strings, or of pairs of strings."""
    for index, token in enumerate(found):
        if token.text != "{" or index not in pairs or not _begins_table(found, index):
            continue
        elements = _elements(found, index, pairs)
        nested = index > 0 and found[index - 1].text in ("{", ",")
        if len(elements) < 2 or nested or not all(_is_entry(found, element) for element in elements):
            continue
        for element in elements:
            end = found[element[-1]].end
            if found[element[-1] + 1].text == ",":
                end = found[element[-1] + 1].end
            yield Change(operator="entry", token=element[0], start=found[element[0]].start, end=end, text="")


def _begins_table(found: Sequence[Token], brace: int) -> bool:
    return brace > 0 and (found[brace - 1].text in ("=", ":", "(", ">") or found[brace - 1].kind == "name")


def _is_entry(found: Sequence[Token], element: Sequence[int]) -> bool:
    first = found[element[0]]
    return (first.kind == "string" and len(element) == 1) or (
        first.text == "{" and any(found[each].kind == "string" for each in element)
    )


def _elements(found: Sequence[Token], start: int, pairs: dict[int, int]) -> list[list[int]]:
    """Return the indices of the tokens of each element between two brackets; commas divide the elements."""
    elements: list[list[int]] = [[]]
    index = start + 1
    while index < pairs[start]:
        if found[index].text == ",":
            elements.append([])
            index += 1
            continue
        end = pairs.get(index, index) if found[index].text in _OPEN else index
        elements[-1] += range(index, end + 1)
        index = end + 1
    return [element for element in elements if element]


def _replace(name: str, index: int, token: Token, text: str) -> Change:
    return Change(operator=name, token=index, start=token.start, end=token.end, text=text)


#: The kinds of mistakes, each a function from source, tokens and partners of brackets to changes.
OPERATORS: tuple[Callable[[str, Sequence[Token], dict[int, int]], Iterator[Change]], ...] = (
    operator,
    constant,
    condition,
    statement,
    arguments,
    entry,
)
