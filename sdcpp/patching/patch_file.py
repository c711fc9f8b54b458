"""Read a patch file: its message, its notes and its hunks.

A file of patches/ is what ``git format-patch`` writes, with notes after the line ``---``. git ignores the text between
this line and the diff. The message before the line is for upstream. The notes are for this project: header lines such
as ``Revisions:``, an empty line, and text.
"""

from __future__ import annotations

import email
import email.policy
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sdcpp.errors import SeriesInvalid
from sdcpp.git import IDENTITY
from sdcpp.input_file import require_file
from sdcpp.os_errors import reason

#: The line at which the diff begins for git am (patchbreak in git's mailinfo.c).
_BREAK = re.compile(rb"^(?:---[ \t]*\n|--- [^ ]|diff -|Index: )", re.MULTILINE)
#: The first line of the diff itself.
_DIFF = re.compile(rb"^(?:diff -|Index: |--- [^ \n])", re.MULTILINE)
_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_TRAILER = re.compile(r"([A-Za-z][A-Za-z-]*): (\S.*)")
_FIXES = re.compile(r"([\w-]+)/(\S+@\w+) ([A-Z_]+)")
#: The header lines of the notes.
NOTES = ("Revisions", "Upstream-Status", "Fixes", "Untested")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """A case that a patch fixes: the base model, ``CASE@MODE``, and the verdict without the patch."""

    base: str
    case: str
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """A patch, or one form of a patch of the series.

    ``name`` is the name of the patch; all forms of a patch have the same. ``sha256`` is that of ``diff``. ``body`` is
    the message without the subject and the trailers. ``revisions`` are the names of the revisions and generations that
    it is for; if there are none, it is for all. ``fixes`` are cases that fail without it, or if there are none,
    ``untested`` may say why. ``notes`` is the text after ``---``. ``files`` are the files that it changes. ``mail`` is
    the input for ``git am``, ``diff`` the input for ``git apply``.
    """

    name: str
    path: Path
    sha256: str
    subject: str
    body: str
    notes: str
    upstream_status: str | None
    revisions: tuple[str, ...]
    fixes: tuple[Fix, ...]
    untested: str
    files: tuple[str, ...]
    mail: bytes = field(repr=False)
    diff: bytes = field(repr=False)

    @property
    def content_key(self) -> tuple[object, ...]:
        """A key that is equal for patches with the same message and the same hunks.

        Notes and line numbers do not count.
        """
        change = [
            (hunk.old, hunk.new, hunk.text.partition("\n")[2])
            for hunk in hunks(self.diff.decode("utf-8", "surrogateescape"))
        ]
        return self.subject, self.body, self.files, tuple(change)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunk:
    """One hunk of a diff.

    ``old`` and ``new`` are the names of the file before and after the change; None means that there is no such file.
    ``line`` is the number of the first line in the old file.
    """

    old: str | None
    new: str | None
    line: int
    text: str

    @property
    def file(self) -> str:
        """The name of the file in git's messages about this hunk."""
        return self.old or self.new or ""


def read(path: Path, name: str = "") -> Patch:
    """Return the patch in a file that ``git format-patch`` or ``git diff`` wrote; see ``parse``.

    ``name`` is the name of the patch, by default that of the file without the suffix.
    Raises SeriesInvalid if the file cannot be read or changes nothing.
    """
    try:
        require_file(path)
        content = path.read_bytes()
    except OSError as error:
        raise SeriesInvalid(f"patch cannot be read ({reason(error)})", path, "check the path") from error
    return parse(content, path, name)


def parse(content: bytes, path: Path, name: str = "") -> Patch:
    """Return the patch with this content; ``path`` is its file, which need not exist.

    The header lines of the notes may also be trailers of the message. ``Revisions:`` lists names of revisions and
    generations, such as ``generation A``, separated by commas. Without it, or with ``all``, the patch is for every
    revision. ``Upstream-Status:`` says whether the patch was submitted upstream. Each ``Fixes: BASE/CASE@MODE VERDICT``
    names a case that has this verdict without the patch and passes with it. ``Untested:`` says why no case shows it.

    Raises SeriesInvalid if the patch changes nothing, or if a ``Fixes:`` line has another form.
    """
    if content.count(b"\r\n") == content.count(b"\n"):  # every line: an editor or a mail program changed them
        content = content.replace(b"\r\n", b"\n")
    message = email.message_from_bytes(content, policy=email.policy.compat32)
    if message["Subject"] and message["From"]:
        payload = message.get_payload(decode=True)
        text = payload if isinstance(payload, bytes) else content
        headers = email.message_from_bytes(content, policy=email.policy.default)
        subject = re.sub(r"^(?:\[[^]]*\]\s*)+", "", " ".join(str(headers["Subject"]).split()))
        mail = content
    else:
        text, subject = content, path.name
        mail = _mail_header(subject).encode() + content
    start = _BREAK.search(text)
    first = start and _DIFF.search(text, start.start())
    if start is None or first is None:
        raise SeriesInvalid("patch changes nothing", path, "give a file made by git format-patch or git diff")
    diff = text[first.start() :]
    body, trailers = _split_message(text[: start.start()].decode("utf-8", "replace"))
    notes = text[start.end() : max(start.end(), first.start())].decode("utf-8", "replace").strip()
    lines = [*trailers, *_trailers(notes.partition("\n\n")[0])]
    header = {key: value for key, value in lines if key in NOTES}
    revisions = tuple(" ".join(item.split()) for item in header.get("Revisions", "all").split(","))
    return Patch(
        name=name or path.stem,
        path=path,
        sha256=hashlib.sha256(diff).hexdigest(),
        subject=subject,
        body=body,
        notes=notes,
        upstream_status=header.get("Upstream-Status"),
        revisions=() if revisions == ("all",) else revisions,
        fixes=tuple(_fix(value, path) for key, value in lines if key == "Fixes"),
        untested=header.get("Untested", ""),
        files=tuple(dict.fromkeys(_changed_files(diff.decode("utf-8", "replace")))),
        mail=mail,
        diff=diff,
    )


def _fix(text: str, path: Path) -> Fix:
    match = _FIXES.fullmatch(text)
    if match is None:
        raise SeriesInvalid(
            f"the line `Fixes: {text}` names no case", path, "write Fixes: BASE/CASE@MODE VERDICT"
        )
    return Fix(base=match[1], case=match[2], verdict=match[3])


# The package unidiff rejects valid diffs of files with " b/" in their names, and does not keep the @@ lines of hunks.
def hunks(diff: str) -> Iterator[Hunk]:
    """Yield the hunks of a diff. What does not look like a hunk is skipped."""
    old = new = None
    lines = iter(diff.split("\n"))
    for line in lines:
        if line.startswith("--- "):
            old = _file_name(line)
        elif line.startswith("+++ "):
            new = _file_name(line)
        elif match := _HUNK.match(line):
            old_left, new_left = int(match[2] or 1), int(match[3] or 1)
            text = [line]
            while (old_left > 0 or new_left > 0) and (body := next(lines, None)) is not None:
                text.append(body)
                old_left -= body[:1] in ("", " ", "-")
                new_left -= body[:1] in ("", " ", "+")
            yield Hunk(old=old, new=new, line=int(match[1]), text="\n".join(text))


def _file_name(line: str) -> str | None:
    """Return the file that a ``---`` or ``+++`` line names, without git's a/ or b/, or None for /dev/null."""
    name = line[4:].partition("\t")[0].strip().strip('"')
    return None if name == "/dev/null" else name.partition("/")[2] or name


def _changed_files(diff: str) -> Iterator[str]:
    """Yield the old and new names of the files that a diff changes, with repetitions."""
    for hunk in hunks(diff):
        yield from (name for name in (hunk.old, hunk.new) if name)
    for line in diff.split("\n"):  # files without a hunk: renamed, copied or binary
        if match := re.match(r"(?:rename|copy) (?:from|to) (.+)|diff --git a/(.+) b/\2$", line):
            yield match[1] or match[2]


def _mail_header(subject: str) -> str:
    """Return the mail header for a diff that has none; author and date are always the same."""
    author = f"{IDENTITY['GIT_AUTHOR_NAME']} <{IDENTITY['GIT_AUTHOR_EMAIL']}>"
    return (
        f"From {'0' * 40} Mon Sep 17 00:00:00 2001\nFrom: {author}\n"
        f"Date: Sat, 1 Jan 2000 00:00:00 +0000\nSubject: [PATCH] {subject}\n\n---\n"
    )


def _split_message(text: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the body and the trailers of a commit message without its subject."""
    paragraphs = re.split(r"\n\s*\n", text.strip())
    trailers = _trailers(paragraphs[-1])
    return "\n\n".join(paragraphs[:-1]) if trailers else text.strip(), trailers


def _trailers(paragraph: str) -> list[tuple[str, str]]:
    """Return the lines ``KEY: VALUE`` of a paragraph, or none if a line has another form."""
    unfolded = re.sub(r"\n[ \t]+", " ", paragraph)
    matches = [_TRAILER.fullmatch(line.strip()) for line in unfolded.split("\n")]
    return [(match[1], match[2]) for match in matches if match] if all(matches) else []
