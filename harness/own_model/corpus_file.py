"""Read corpus.toml: a list of models and adapters of one's own, and what is expected of them (docs/corpus.md)."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import product
from pathlib import Path
from typing import Any

from harness.judging import expectation
from harness.judging.expectation import Expectation
from harness.own_model import corpus_values
from harness.own_model.corpus_values import SETTINGS, SHARED, USUAL, Wanted
from harness.records.verdict import Verdict
from harness.text import listed
from sdcpp.binding.api.interface import ModelFiles
from sdcpp.errors import FileInvalid

#: The roles of a model's files.
ROLES = tuple(each.name for each in fields(ModelFiles))
_TOP = ("folders", "defaults", "model", "case", "expectation")
_MODEL = ("name", "files", *SETTINGS, *SHARED)
_CASE = (
    *("name", "model", "adapter", "multiplier", "original", "expect", "reason"),
    *("picture", "picture_sha256", "tolerance", *SETTINGS, *SHARED),
)
#: All keys of the tables.
KEYS = frozenset((*_MODEL, *_CASE))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """A model: its files by role, and the settings that its cases have unless they have their own."""

    name: str
    files: Mapping[str, Wanted]
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A case of the corpus with one model and one value of each setting.

    ``entry`` is the name of the entry that it comes from. ``settings`` has the keys of SETTINGS, "modes", "timeout" and
    "flags". ``picture`` is the path of the wanted picture, and ``picture_sha256`` the SHA-256 of its pixels; both may
    be "".
    """

    name: str
    entry: str
    model: ModelEntry
    adapter: Wanted
    settings: Mapping[str, Any]
    multiplier: float = 1.0
    original: Wanted | None = None
    picture: str = ""
    picture_sha256: str = ""
    tolerance: float | None = None

    @property
    def size(self) -> tuple[int, int]:
        """The width and the height in pixels."""
        width, _, height = str(self.settings["size"]).partition("x")
        return int(width), int(height)


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusFile:
    """A corpus: the folders in which files are searched, its cases, and what is expected of them."""

    path: Path
    folders: Sequence[Path]
    entries: Sequence[Entry]
    expected: Sequence[Expectation] = field(default_factory=tuple)


def read(path: Path) -> CorpusFile:
    """Return the corpus in a file. Whether the files that it names exist is not checked.

    Raises FileInvalid, which names the entry and the key.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FileInvalid(f"no corpus ({error})", path, "docs/corpus.md has an example") from error
    try:
        corpus_values.require_keys(content, _TOP, "the file")
        for key in ("model", "case"):
            if not _is_tables(content.get(key)):
                raise ValueError(f"it needs tables [[{key}]]")
        defaults = corpus_values.settings(content.get("defaults", {}), "[defaults]")
        models: dict[str, ModelEntry] = {}
        for table in content["model"]:
            model = _model(table, defaults)
            if model.name in models:
                raise ValueError(f"two models are called {model.name}")
            models[model.name] = model
        entries = [entry for table in content["case"] for entry in _cases(table, models)]
        _require_unique(entries)
        folders = [_folder(path, text) for text in content.get("folders", [])]
        short = [found for table in content["case"] if (found := _expectation(table, entries))]
    except (ValueError, TypeError) as error:
        raise FileInvalid(
            f"invalid corpus: {error}", path, "docs/corpus.md explains the keys, with an example"
        ) from error
    return CorpusFile(path=path, folders=folders, entries=entries, expected=(*expectation.load(path), *short))


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _folder(corpus: Path, text: Any) -> Path:
    if not isinstance(text, str):
        raise ValueError("folders is not a list of texts")
    return corpus.parent / Path(text).expanduser()


def _model(table: Mapping[str, Any], defaults: Mapping[str, Any]) -> ModelEntry:
    name = corpus_values.name(table, "model")
    where = f"the model {name}"
    own = corpus_values.settings(table, where, _MODEL)
    files = table.get("files")
    if not isinstance(files, dict) or not files:
        raise ValueError(f'{where} has no files = {{ model = "..." }}')
    corpus_values.require_keys(files, ROLES, f"{where}: files")
    return ModelEntry(
        name=name,
        files={role: corpus_values.wanted(value, f"{where}: {role}") for role, value in files.items()},
        settings={**defaults, **own},
    )


def _cases(table: Mapping[str, Any], models: Mapping[str, ModelEntry]) -> Iterator[Entry]:
    """Yield the cases of an entry: one for each model and each combination of values."""
    name = corpus_values.name(table, "case")
    where = f"the case {name}"
    own = corpus_values.settings(table, where, _CASE)
    if "adapter" not in table:
        raise ValueError(f"{where} has no adapter")
    named = table.get("model", list(models) if len(models) == 1 else None)
    if named is None:
        raise ValueError(f"{where} names no model of {listed(list(models), 5)}")
    common: dict[str, Any] = {
        "adapter": corpus_values.wanted(table["adapter"], f"{where}: adapter"),
        "original": corpus_values.wanted(table["original"], f"{where}: original")
        if "original" in table
        else None,
        "multiplier": corpus_values.number(table, "multiplier", where, 1.0),
        "tolerance": corpus_values.number(table, "tolerance", where, None),
        **corpus_values.picture(table, where),
    }
    for model in corpus_values.names(named, list(models), f"{where}: model"):
        settings = {**{key: [value] for key, value in USUAL.items()}, **models[model].settings, **own}
        lists = {key: settings[key] for key in SETTINGS}
        for values in product(*lists.values()):
            chosen = dict(zip(lists, values, strict=True))
            label = "".join(
                f"-{_varied(key, chosen[key], lists[key])}" for key in lists if len(lists[key]) > 1
            )
            yield Entry(
                name=f"{name}{label}",
                entry=name,
                model=models[model],
                settings={**settings, **chosen},
                **common,
            )


def _varied(key: str, value: Any, values: Sequence[Any]) -> str:
    """Return the part of a case's name for a setting that has several values. Texts are counted."""
    if key == "size":
        return str(value)
    return f"{key}{values.index(value) + 1 if isinstance(value, str) else value}"


def _expectation(table: Mapping[str, Any], entries: Sequence[Entry]) -> Expectation | None:
    """Return what ``expect`` of a case says, or None for a case that should pass."""
    if "expect" not in table:
        return None
    names = table["expect"] if isinstance(table["expect"], list) else [table["expect"]]
    known = [verdict.value for verdict in Verdict if verdict is not Verdict.UNSTABLE]
    where = f"the case {table['name']}: expect"
    verdicts = tuple(Verdict(each) for each in corpus_values.names(names, known, where))
    return Expectation(
        revisions=("*",),
        verdicts=verdicts,
        reason=str(table.get("reason", "the corpus says so")),
        cases=tuple(entry.name for entry in entries if entry.entry == table["name"]),
    )


def _require_unique(entries: Sequence[Entry]) -> None:
    """Raise ValueError if two cases of one model have the same name."""
    seen: set[tuple[str, str]] = set()
    for entry in entries:
        key = entry.model.name, entry.name
        if key in seen:
            raise ValueError(f"two cases with the model {key[0]} are called {key[1]}")
        seen.add(key)
