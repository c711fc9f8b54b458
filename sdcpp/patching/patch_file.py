"""One patch file: its message, what it says of itself, and its hunks."""

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

#: Where git am sees the patch begin (git's mailinfo.c, patchbreak).
_BREAK = re.compile(rb"^(?:---[ \t]*\n|--- [^ ]|diff -|Index: )", re.MULTILINE)
_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_TRAILER = re.compile(r"([A-Za-z][A-Za-z-]*): (\S.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """A patch; ``revisions`` empty means that it is for every one.

    ``body`` is the message without subject and trailers. ``mail`` is what ``git am`` is given, ``diff`` what
    ``git apply`` is given.
    """

    name: str
    path: Path
    sha256: str
    subject: str
    body: str
    upstream_status: str | None
    revisions: tuple[str, ...]
    files: tuple[str, ...]
    mail: bytes = field(repr=False)
    diff: bytes = field(repr=False)

    @property
    def content_key(self) -> tuple[object, ...]:
        """All that matters of it: the message, and the hunks but for the numbers of their lines."""
        change = [
            (hunk.old, hunk.new, hunk.text.partition("\n")[2])
            for hunk in hunks(self.diff.decode("utf-8", "surrogateescape"))
        ]
        return self.subject, self.body, self.upstream_status, self.revisions, self.files, tuple(change)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunk:
    """One hunk: the file before and after (None: not there), the line where it starts, and its text."""

    old: str | None
    new: str | None
    line: int
    text: str

    @property
    def file(self) -> str:
        """The name that git uses in a message about this hunk."""
        return self.old or self.new or ""


def read(path: Path) -> Patch:
    """Return a patch from a file: what git format-patch wrote, or a plain ``git diff``; see ``parse``.

    Raises SeriesInvalid when the file cannot be read or holds no change.
    """
    try:
        require_file(path)
        content = path.read_bytes()
    except OSError as error:
        raise SeriesInvalid(f"patch cannot be read ({reason(error)})", path, "check the path") from error
    return parse(content, path)


def parse(content: bytes, path: Path) -> Patch:
    """Return a patch from what is, or will be, the content of a file.

    A trailer ``Revisions:`` lists, with commas, names of revisions.toml or ``generation A`` and its like;
    without it, or with ``all``, the patch is for every revision. ``Upstream-Status:`` says what became of it.

    Raises SeriesInvalid when it holds no change.
    """
    sha256 = hashlib.sha256(content).hexdigest()
    if content.count(b"\r\n") == content.count(b"\n"):  # all of it: an editor or a mail program did that
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
        mail = _mail(subject).encode() + content
    start = _BREAK.search(text)
    if start is None:
        raise SeriesInvalid("patch changes nothing", path, "give a file made by git format-patch or git diff")
    diff = text[start.start() :]
    body, trailers = _message(text[: start.start()].decode("utf-8", "replace"))
    revisions = tuple(" ".join(item.split()) for item in trailers.get("Revisions", "all").split(","))
    return Patch(
        name=path.stem,
        path=path,
        sha256=sha256,
        subject=subject,
        body=body,
        upstream_status=trailers.get("Upstream-Status"),
        revisions=() if revisions == ("all",) else revisions,
        files=tuple(dict.fromkeys(_files(diff.decode("utf-8", "replace")))),
        mail=mail,
        diff=diff,
    )


# The package unidiff refuses valid diffs of files with " b/" in their names, and does not keep the heads of hunks.
def hunks(diff: str) -> Iterator[Hunk]:
    """Yield the hunks of a diff, as far as it is well formed."""
    old = new = None
    lines = iter(diff.split("\n"))
    for line in lines:
        if line.startswith("--- "):
            old = _name(line)
        elif line.startswith("+++ "):
            new = _name(line)
        elif found := _HUNK.match(line):
            left, right = int(found[2] or 1), int(found[3] or 1)
            text = [line]
            while (left > 0 or right > 0) and (body := next(lines, None)) is not None:
                text.append(body)
                left -= body[:1] in ("", " ", "-")
                right -= body[:1] in ("", " ", "+")
            yield Hunk(old=old, new=new, line=int(found[1]), text="\n".join(text))


def _name(line: str) -> str | None:
    """Return the file of a ``---`` or ``+++`` line without git's a/ or b/."""
    name = line[4:].partition("\t")[0].strip().strip('"')
    return None if name == "/dev/null" else name.partition("/")[2] or name


def _files(diff: str) -> Iterator[str]:
    for hunk in hunks(diff):
        yield from (name for name in (hunk.old, hunk.new) if name)
    for line in diff.split("\n"):  # changes without a hunk
        if found := re.match(r"(?:rename|copy) (?:from|to) (.+)|diff --git a/(.+) b/\2$", line):
            yield found[1] or found[2]


def _mail(subject: str) -> str:
    """Return the head of a mail for a plain diff, of a fixed author and date."""
    author = f"{IDENTITY['GIT_AUTHOR_NAME']} <{IDENTITY['GIT_AUTHOR_EMAIL']}>"
    return (
        f"From {'0' * 40} Mon Sep 17 00:00:00 2001\nFrom: {author}\n"
        f"Date: Sat, 1 Jan 2000 00:00:00 +0000\nSubject: [PATCH] {subject}\n\n---\n"
    )


def _message(text: str) -> tuple[str, dict[str, str]]:
    """Split a commit message without its subject into its body and its trailers."""
    paragraphs = re.split(r"\n\s*\n", text.strip())
    unfolded = re.sub(r"\n[ \t]+", " ", paragraphs[-1])
    found = [_TRAILER.fullmatch(line.strip()) for line in unfolded.split("\n")]
    if not all(found):
        return text.strip(), {}
    return "\n\n".join(paragraphs[:-1]), {match[1]: match[2] for match in found if match}
