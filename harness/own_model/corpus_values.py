"""Check the values of corpus.toml. Each function raises ValueError, which says where a value is wrong and why."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.cases.case import MODES
from harness.cases.settings import FLAGS

#: The settings of a picture, and the types of their values. Each may also be a list of values.
SETTINGS: Mapping[str, tuple[type, ...]] = {
    "prompt": (str,),
    "negative_prompt": (str,),
    "size": (str,),
    "steps": (int,),
    "seed": (int,),
    "cfg_scale": (int, float),
    "clip_skip": (int,),
}
#: Their values unless the file has others.
USUAL: Mapping[str, Any] = {
    "prompt": "a lighthouse at dusk",
    "negative_prompt": "",
    "size": "256x256",
    "steps": 2,
    "seed": 42,
    "cfg_scale": 1.0,
    "clip_skip": 0,
}
#: Other keys that a case, a model and [defaults] have in common.
SHARED = ("modes", "timeout", "flags")

#: Names are parts of names of cases, in which "/", "@" and wildcards have a meaning.
_NAME = re.compile(r"\w[\w.+-]*")
_SIZE = re.compile(r"([1-9]\d{1,4})x([1-9]\d{1,4})")
#: Model sites show the first ten digits.
_SHA256 = re.compile(r"[0-9a-f]{10,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A file that the corpus names: its path, the name of a file in one of the folders, or its SHA-256, or both.

    ``sha256`` are the first ten digits or more. Either may be "".
    """

    path: str = ""
    sha256: str = ""

    def __str__(self) -> str:
        """Return the name for messages."""
        digest = f"SHA-256 {self.sha256[:16]}" if self.sha256 else ""
        return f"{self.path} ({digest})" if self.path and digest else self.path or digest


def require_keys(table: Any, known: Sequence[str], where: str) -> None:
    """Raise ValueError for a value that is no table and, with the nearest key, for an unknown key of one."""
    if not isinstance(table, dict):
        raise ValueError(f"{where} is not a table")
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"the keys are {', '.join(known)}"
            raise ValueError(f"{where} has an unknown key {key!r}; {hint}")


def name(table: Mapping[str, Any], kind: str) -> str:
    """Return the name of a model or a case."""
    found = table.get("name")
    if not isinstance(found, str) or not _NAME.fullmatch(found):
        raise ValueError(
            f"the name {found!r} of a {kind} is not a word of letters, digits, '.', '+', '-' and '_'"
        )
    return found


def wanted(value: Any, where: str) -> Wanted:
    """Return the file that a text or a table {path, sha256} names."""
    if isinstance(value, str) and value:
        return Wanted(path=value)
    if isinstance(value, dict) and value and set(value) <= {"path", "sha256"}:
        found = Wanted(**{key: str(text) for key, text in value.items()})
        digest = found.sha256.lower()
        if "sha256" not in value or _SHA256.fullmatch(digest):
            return Wanted(path=found.path, sha256=digest)
        raise ValueError(f"{where}: {found.sha256!r} is no SHA-256 of 10 to 64 hexadecimal digits")
    raise ValueError(f'{where} is neither a path nor {{ path = "...", sha256 = "..." }}')


def settings(table: Any, where: str, known: Sequence[str] = (*SETTINGS, *SHARED)) -> dict[str, Any]:
    """Return the settings in a table with the ``known`` keys, each as a list of values where it may have several."""
    require_keys(table, known, where)
    found: dict[str, Any] = {}
    for key, types in SETTINGS.items():
        if key in table:
            values = table[key] if isinstance(table[key], list) else [table[key]]
            if not values or any(not isinstance(v, types) or isinstance(v, bool) for v in values):
                raise ValueError(
                    f"{where}: {key} = {table[key]!r} is no {types[-1].__name__} or list of them"
                )
            found[key] = list(dict.fromkeys(values))
    if bad := next((size for size in found.get("size", ()) if not _SIZE.fullmatch(size)), ""):
        raise ValueError(f"{where}: the size {bad!r} is not WIDTHxHEIGHT, such as 512x768")
    if any(steps < 1 for steps in found.get("steps", ())):
        raise ValueError(f"{where}: steps = {table['steps']} is less than 1")
    for key, choices in (("modes", MODES), ("flags", FLAGS)):
        if key in table:
            found[key] = names(table[key], choices, f"{where}: {key}")
    if "timeout" in table:
        if not isinstance(table["timeout"], int | float) or table["timeout"] <= 0:
            raise ValueError(f"{where}: timeout = {table['timeout']!r} is no number of seconds")
        found["timeout"] = float(table["timeout"])
    return found


def names(value: Any, known: Sequence[str], where: str) -> tuple[str, ...]:
    """Return the known names in a text or a list of texts."""
    values = value if isinstance(value, list) else [value]
    for each in values:
        if each not in known:
            raise ValueError(f"{where}: {each!r} is not one of {', '.join(known)}")
    return tuple(dict.fromkeys(values))


def number(table: Mapping[str, Any], key: str, where: str, usual: float | None) -> float | None:
    """Return the number of a key."""
    value = table.get(key, usual)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value if value is None else float(value)
    raise ValueError(f"{where}: {key} = {value!r} is no number")


def picture(table: Mapping[str, Any], where: str) -> dict[str, str]:
    """Return the keys that name the wanted picture."""
    found = {key: table.get(key, "") for key in ("picture", "picture_sha256")}
    if not all(isinstance(value, str) for value in found.values()):
        raise ValueError(f"{where}: picture and picture_sha256 are texts")
    if found["picture_sha256"] and not re.fullmatch("[0-9a-f]{64}", found["picture_sha256"]):
        raise ValueError(f"{where}: picture_sha256 is not a SHA-256 of 64 hexadecimal digits")
    if found["picture_sha256"] and (found["picture"] or "tolerance" in table):
        raise ValueError(f"{where}: picture_sha256 asks for equal pixels, without picture and tolerance")
    return found
