"""The cases that ought to notice a mutant which the first cases did not: one list for each group of mutants.

Reading the line of a mutant tells which cases can show the mistake. ``targeted.toml`` has what was read, so that a
mutant is put to a few cases and not to all.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from sdcpp.errors import FileInvalid

PATH = Path(__file__).with_name("targeted.toml")


def read(matrix: str, path: Path = PATH) -> dict[str, tuple[str, ...]]:
    """Return the patterns of the ids of cases of a matrix for each mutant, by the id of the mutant.

    Raises FileInvalid.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        found: dict[str, tuple[str, ...]] = {}
        for entry in content["targeted"]:
            if entry.get("matrix", "full") == matrix:
                for mutant in entry["ids"]:
                    found[mutant] = (*found.get(mutant, ()), *entry["cases"])
        return found
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise FileInvalid(
            f"not a list of cases for mutants ({error})", path, "give each entry a list of ids and of cases"
        ) from error


def matching(patterns: Iterable[str], cases: Iterable[str]) -> tuple[str, ...]:
    """Return the ids of cases that match a pattern, in the order of the patterns."""
    cases = list(cases)
    return tuple(dict.fromkeys(case for pattern in patterns for case in cases if fnmatchcase(case, pattern)))


def unknown(targets: Mapping[str, Iterable[str]], cases: Iterable[str]) -> list[str]:
    """Return the patterns that match none of the cases."""
    cases = list(cases)
    patterns = dict.fromkeys(pattern for each in targets.values() for pattern in each)
    return [pattern for pattern in patterns if not matching([pattern], cases)]
