"""What one patch file of patches/ must be: the rules that git and upstream's reviewers do not check."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator

from sdcpp.patching.patch_file import Patch, hunks
from sdcpp.source.revision import GENERATIONS

#: Named by purpose, in words: a number would say where it stands, which is what ``series`` is for.
_FILE = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)+\.patch")
#: https://www.conventionalcommits.org/en/v1.0.0/, with the types that upstream uses.
_SUBJECT = re.compile(
    r"(?:build|chore|ci|docs|feat|fix|perf|refactor|revert|style|test|sync)(?:\([\w .-]+\))?!?: \S.*"
)
_STATUS = re.compile(
    r"Pending|Submitted \[https?://\S+\]|Backport \[[0-9a-f]{7,40}(?:, [^]]+)?\]|Inappropriate \[[^]]{3,}\]"
)
_HEAD = re.compile(
    rb"From [0-9a-f]{40} Mon Sep 17 00:00:00 2001\n"
    rb"From: [^\n]+ <[^\n@]+@[^\n]+>\nDate: [^\n]+\nSubject: \[PATCH\] "
)
#: A folder of somebody's machine. The drive letter needs a capital, or every URL would be one.
_PLACE = re.compile(r"(?<![\w.:/])/(?:home|Users|root|tmp|work|opt|mnt|var)/\S+|\b[A-Z]:[\\/]\w+")
#: What may stand after the last hunk: nothing, or the signature of format-patch.
_SIGNATURE = re.compile(r"\A(?:\\ No newline at end of file\n)?(?:-- \n\S+\n)?\n*")


def violations(patch: Patch, names: Container[str]) -> Iterator[str]:
    """Yield what is wrong with a patch; ``names`` are the revisions that there are."""
    if not _FILE.fullmatch(patch.path.name):
        yield "name the file for its purpose: two or more words, lower case, hyphens, no leading number"
    raw = patch.path.read_bytes()
    if not _HEAD.match(raw.replace(b"\r\n", b"\n")):
        yield "is not what git format-patch writes (From, From:, Date:, Subject: [PATCH]); git am needs that"
    if b"\r\n" in raw.partition(b"\ndiff ")[0]:
        yield "has Windows line ends in its message"
    yield from _message(patch, names)
    yield from _change(patch)


def _message(patch: Patch, names: Container[str]) -> Iterator[str]:
    if not _SUBJECT.fullmatch(patch.subject):
        yield f"subject is no Conventional Commit (fix: what it does): {patch.subject}"
    elif len(patch.subject) > 72:
        yield f"subject is longer than 72 characters: {patch.subject}"
    if len(patch.body.split()) < 10:
        yield "its message must say why the change is needed"
    if patch.upstream_status is None:
        yield "has no Upstream-Status: line"
    elif not _STATUS.fullmatch(patch.upstream_status):
        yield (
            "Upstream-Status: must be Pending, Submitted [URL], Backport [commit] or Inappropriate [reason], "
            f"not {patch.upstream_status}"
        )
    if not re.search(rb"^Revisions: ", patch.mail, re.MULTILINE):
        yield "has no Revisions: line; `Revisions: all` says that it is for every one"
    known = {f"generation {generation}" for generation in GENERATIONS}
    yield from (
        f"Revisions: names neither a revision nor a generation: {item}"
        for item in patch.revisions
        if item not in known and item not in names
    )
    yield from (f"message names a place of one machine: {place}" for place in _PLACE.findall(patch.body))


def _change(patch: Patch) -> Iterator[str]:
    text = patch.diff.decode("utf-8", "replace")
    found = list(hunks(text))
    for name in patch.files:
        if name.startswith("/") or ".." in name.split("/"):
            yield f"changes a file outside the source tree: {name}"
    if not found:
        yield "has no hunk"
        return
    for hunk in found:
        for line in hunk.text.split("\n"):
            if not line.startswith("+"):
                continue
            if line.rstrip("\r") != line.rstrip():
                yield f"adds a line that ends in white space: {hunk.file}: {line}"
            yield from (f"adds a place of one machine: {place}" for place in _PLACE.findall(line))
    if not text.endswith("\n"):
        yield "does not end with a line end"
    rest = text[text.rindex(found[-1].text) + len(found[-1].text) :].removeprefix("\n")
    junk = _SIGNATURE.sub("", rest, count=1).strip()
    if junk:
        yield f"has something after its last hunk: {junk.splitlines()[0]}"
