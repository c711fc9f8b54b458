"""Revisions of upstream's source: the name, the origin and the commit of each. revisions.toml lists them."""

from __future__ import annotations

import datetime
import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sdcpp import git, project
from sdcpp.errors import RevisionsInvalid, SourceInvalid, UnknownRevision

#: The generations of the LoRA API; see the top of revisions.toml.
GENERATIONS = ("A", "B", "C")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SDIST_FIELDS = ("package", "version", "sha256", "folder")
_FIELDS = frozenset(
    (
        *_SDIST_FIELDS,
        *("git", "commit", "date", "tag", "ggml_commit", "lora_api", "evidence", "renamed"),
        *("fork_of", "target", "ggml", "program", "lacks"),
    )
)
#: What ``lacks`` may name: the reader of a container of adapters, upstream's function ``convert``, code that reads
#: the sizes of all model families from the weights, so that small models open, videos by the API of 2026-07, and
#: members of the parameters of a context.
FEATURES = ("ckpt", "convert", "sizes-from-weights", "video", "enable_mmap", "free_params_immediately")
#: The kinds of evidence for the commit of a revision; see the top of revisions.toml.
EVIDENCE = ("exact", "metadata", "inferred")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sdist:
    """A source distribution in a package registry. ``folder`` is the path of upstream's tree in the archive."""

    package: str
    version: str
    sha256: str
    folder: str

    @property
    def filename(self) -> str:
        """The file name of the archive, as PEP 625 defines it."""
        return f"{re.sub(r'[-_.]+', '_', self.package).lower()}-{self.version}.tar.gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Git:
    """A commit of a git repository, with its submodules."""

    url: str
    commit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirrored:
    """A commit of upstream's own repository, with its submodules. The cache keeps copies of these repositories."""

    url: str
    commit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder of the user, with its uncommitted changes. It is only read."""

    path: Path


Origin = Sdist | Git | Mirrored | Folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A state of upstream's source. Unknown values are None.

    - ``evidence`` is one of EVIDENCE.
    - ``renamed`` has pairs of a CMake option and its name in this revision.
    - ``fork_of`` is the commit of upstream that a fork started from; None means that this is upstream's own source.
    - ``target`` is the CMake target of the library, and ``ggml`` the folder of ggml in the source tree.
    - ``program`` is the folder and the file name of the command-line program, None where upstream has it.
    - ``lacks`` has pairs of one of FEATURES that this revision does not have, and the reason.
    """

    name: str
    origin: Origin
    commit: str | None
    date: str | None
    tag: str | None
    ggml_commit: str | None
    lora_api: str | None
    evidence: str | None = None
    renamed: tuple[tuple[str, str], ...] = ()
    fork_of: str | None = None
    target: str = "stable-diffusion"
    ggml: str = "ggml"
    program: str | None = None
    lacks: tuple[tuple[str, str], ...] = ()

    @property
    def title(self) -> str:
        """What the source is, in a few words: upstream's tag or commit, or the fork and the commit it started from."""
        if self.fork_of is None:
            return f"upstream {self.tag or self.commit or 'working tree'}"
        origin = self.origin
        name = f"{origin.package} {origin.version}" if isinstance(origin, Sdist) else f"git {self.commit}"
        return f"{name}, a fork of upstream as of {self.fork_of[:8]}"

    @property
    def short_commit(self) -> str:
        """The first seven digits of upstream's commit, with "fork of" before those that a fork started from."""
        return f"fork of {self.fork_of[:7]}" if self.fork_of else (self.commit or "")[:7]

    @property
    def program_name(self) -> str:
        """The file name of a fork's command-line program, or ""."""
        return PurePosixPath(self.program or "").name

    def options(self, entries: Mapping[str, str]) -> dict[str, str]:
        """Return those of the CMake cache entries that have another name in this revision, with that name."""
        names = dict(self.renamed)
        return {names[name]: value for name, value in entries.items() if name in names}


def load(path: Path = project.REVISIONS) -> dict[str, Revision]:
    """Return the revisions of a file by name, in its order; raises RevisionsInvalid with all complaints about it."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RevisionsInvalid(f"revisions cannot be read ({error})", path, "correct the file") from error
    complaints = [
        f"{name}: {complaint}" for name, entry in document.items() for complaint in _check(name, entry)
    ]
    if complaints:
        raise RevisionsInvalid(
            "entries cannot be used", path, "correct them:\n    " + "\n    ".join(complaints)
        )
    return {name: _revision(name, entry) for name, entry in document.items()}


def find(name: str, path: Path = project.REVISIONS) -> Revision:
    """Return the revision with this name, or the sdist with this version; raises UnknownRevision."""
    known = load(path)
    if name in known:
        return known[name]
    own = [known[other] for other in known if known[other].fork_of is None]
    versions = {r.origin.version: r for r in own if isinstance(r.origin, Sdist)}
    if name in versions:
        return versions[name]
    near = difflib.get_close_matches(name, known)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise UnknownRevision("no such revision", name, f"{hint}revisions.toml has {', '.join(known)}")


def from_folder(path: Path) -> Revision:
    """Return a revision with the name ``local`` for a folder of the user; it has a commit if the folder is a checkout.

    Raises SourceInvalid if there is no such folder.
    """
    try:
        folder = path.expanduser().resolve()
        is_folder = folder.is_dir()
    except (OSError, RuntimeError) as error:  # RuntimeError: a link to itself, or the ~ of an unknown user
        raise SourceInvalid(f"folder cannot be read ({error})", path, "check the path") from error
    if not is_folder:
        raise SourceInvalid("no such folder", folder, "give the folder with upstream's CMakeLists.txt")
    return _unnamed("local", Folder(path=folder), git.head(folder))


def from_git(url: str, commit: str) -> Revision:
    """Return a revision for a commit of a repository. Its name has the first ten digits of the commit.

    Raises SourceInvalid if ``commit`` is not a full commit id; a branch, for example, would change.
    """
    if not _COMMIT.fullmatch(commit):
        raise SourceInvalid(
            "not a full commit id", commit, "give all 40 hexadecimal digits: git rev-parse NAME in a checkout"
        )
    return _unnamed(f"git-{commit[:10]}", Git(url=url, commit=commit), commit)


def generation(header: str) -> str:
    """Return the generation of the LoRA API, given the text of upstream's public header.

    Generation C added the struct ``sd_lora_t`` (sdist 0.4.2), and B added ``lora_apply_mode`` (sdist 0.3.8).
    """
    if re.search(r"\bsd_lora_t\b", header):
        return "C"
    return "B" if re.search(r"\blora_apply_mode\b", header) else "A"


def _unnamed(name: str, origin: Origin, commit: str | None) -> Revision:
    return Revision(
        name=name, origin=origin, commit=commit, date=None, tag=None, ggml_commit=None, lora_api=None
    )


def _check(name: str, entry: object) -> list[str]:
    """Return the complaints about an entry of revisions.toml."""
    if not isinstance(entry, dict):
        return ["is not a table"]
    complaints = [f"unknown field {field}" for field in sorted(entry.keys() - _FIELDS)]
    if not _NAME.fullmatch(name):
        complaints.append("its name may have only letters, digits, '.', '_' and '-'")
    complaints += [
        f"{field} must be a string that is not empty"
        for field in sorted(_FIELDS - {"date", "renamed", "lacks"} & entry.keys())
        if not (isinstance(entry[field], str) and entry[field])
    ]
    if complaints:
        return complaints
    if "git" in entry:
        complaints += [
            f"{field} belongs to an sdist, not to git" for field in _SDIST_FIELDS if field in entry
        ]
        if "commit" not in entry:
            complaints.append("git without commit: give the commit, all 40 digits")
    else:
        complaints += [f"{field} is missing" for field in _SDIST_FIELDS if field not in entry]
        complaints += _check_folder(entry.get("folder", "."), "folder", "sdist")
        if not _SHA256.fullmatch(entry.get("sha256", "0" * 64)):
            complaints.append("sha256 must be 64 lower-case hexadecimal digits")
    for field in ("ggml", "program"):
        complaints += _check_folder(entry.get(field, "."), field, "source tree")
    for field in ("commit", "ggml_commit", "fork_of"):
        if not _COMMIT.fullmatch(entry.get(field, "0" * 40)):
            complaints.append(f"{field} must be all 40 lower-case hexadecimal digits")
    if not isinstance(entry.get("date", datetime.date.min), datetime.date):
        complaints.append("date must be a date without quotes, such as 2026-05-06")
    return complaints + _check_choices(entry)


def _check_choices(entry: Mapping[str, Any]) -> list[str]:
    complaints = [
        f"{field} must be one of {', '.join(values)}"
        for field, values in (("lora_api", GENERATIONS), ("evidence", EVIDENCE))
        if entry.get(field, values[0]) not in values
    ]
    renamed = entry.get("renamed", {})
    if not isinstance(renamed, dict) or not all(isinstance(new, str) and new for new in renamed.values()):
        complaints.append('renamed must be a table of names, such as { SD_CUDA = "SD_CUBLAS" }')
    lacks = entry.get("lacks", {})
    if not isinstance(lacks, dict) or not all(isinstance(why, str) and why for why in lacks.values()):
        complaints.append(
            'lacks must be a table of reasons, such as { ckpt = "the fork has no ckpt reader" }'
        )
    elif unknown := sorted(lacks.keys() - set(FEATURES)):
        complaints.append(f"lacks may name {', '.join(FEATURES)}, not {', '.join(unknown)}")
    return complaints


def _check_folder(folder: str, field: str, where: str) -> list[str]:
    parts = PurePosixPath(folder)
    return [f"{field} must stay inside the {where}"] if parts.is_absolute() or ".." in parts.parts else []


def _revision(name: str, entry: Mapping[str, Any]) -> Revision:
    texts = {field: str(value) for field, value in entry.items()}
    origin: Origin
    if "git" in texts:
        origin = Git(url=texts["git"], commit=texts["commit"])
    else:
        origin = Sdist(**{field: texts[field] for field in _SDIST_FIELDS})
    return Revision(
        name=name,
        origin=origin,
        commit=texts.get("commit"),
        date=texts.get("date"),
        tag=texts.get("tag"),
        ggml_commit=texts.get("ggml_commit"),
        lora_api=texts.get("lora_api"),
        evidence=texts.get("evidence"),
        renamed=tuple(entry.get("renamed", {}).items()),
        fork_of=texts.get("fork_of"),
        program=texts.get("program"),
        lacks=tuple(entry.get("lacks", {}).items()),
        **{field: texts[field] for field in ("target", "ggml") if field in texts},
    )
