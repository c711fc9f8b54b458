"""Check a patch file of patches/ against the rules that neither git nor upstream's reviewers check."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator

from sdcpp.patching.patch_file import Patch, hunks
from sdcpp.source.revision import GENERATIONS

#: The folder's name says the purpose in words. A leading number would repeat the order in ``series``.
_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)+")
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
#: Words of this project, which mean nothing to upstream's maintainers.
_OWN_WORDS = re.compile(
    r"\b(?:sdcpp|nox|pytest|sd1-tiny|flux-small|effect error|generation [A-D]|20\d\d-\d\d(?!-\d)|upstream)\b"
)
#: A path of one machine. A drive letter must be a capital, because otherwise every URL would match.
_MACHINE_PATH = re.compile(r"(?<![\w.:/])/(?:home|Users|root|tmp|work|opt|mnt|var)/\S+|\b[A-Z]:[\\/]\w+")
#: Text that may follow the last hunk: the signature of git format-patch.
_SIGNATURE = re.compile(r"\A(?:\\ No newline at end of file\n)?(?:-- \n\S+\n)?\n*")


def violations(patch: Patch, names: Container[str]) -> Iterator[str]:
    """Yield a complaint for each rule that a patch breaks; ``names`` are the names of all revisions."""
    if not _NAME.fullmatch(patch.name):
        yield "name the folder for its purpose: two or more words, lower case, hyphens, no leading number"
    first = patch.revisions[0].lower().replace(" ", "-") if patch.revisions else "all"
    if patch.path.name != f"{first}.patch":
        yield f"name the file {first}.patch, for the first item of its Revisions: line"
    raw = patch.path.read_bytes()
    if not _HEAD.match(raw.replace(b"\r\n", b"\n")):
        yield "is not what git format-patch writes (From, From:, Date:, Subject: [PATCH]); git am needs that"
    if b"\r\n" in raw.partition(b"\ndiff ")[0]:
        yield "has Windows line endings in its message"
    yield from _message_violations(patch, names)
    yield from _diff_violations(patch)


def _message_violations(patch: Patch, names: Container[str]) -> Iterator[str]:
    if not _SUBJECT.fullmatch(patch.subject):
        yield f"subject is not a Conventional Commit (fix: what it does): {patch.subject}"
    elif len(patch.subject) > 72:
        yield f"subject is longer than 72 characters: {patch.subject}"
    if len(patch.body.split()) < 10:
        yield "message must say why the change is needed, in ten words or more"
    if patch.upstream_status is None:
        yield "has no Upstream-Status: line"
    elif not _STATUS.fullmatch(patch.upstream_status):
        yield (
            "Upstream-Status: must be Pending, Submitted [URL], Backport [commit] or Inappropriate [reason], "
            f"not {patch.upstream_status}"
        )
    if not re.search(r"^Revisions: ", patch.notes, re.MULTILINE):
        yield "has no Revisions: line after its ---; `Revisions: all` means every revision"
    if not patch.fixes and not patch.untested:
        yield "has neither a line Fixes: BASE/CASE@MODE VERDICT after its ---, nor Untested: with the reason"
    known = {f"generation {generation}" for generation in GENERATIONS}
    yield from (
        f"Revisions: names neither a revision nor a generation: {item}"
        for item in patch.revisions
        if item not in known and item not in names
    )
    yield from (
        f"message has a word of this project; move it to the notes after ---: {word}"
        for word in dict.fromkeys(_OWN_WORDS.findall(patch.body))
    )
    yield from (
        f"message has a path of one machine: {path}"
        for path in _MACHINE_PATH.findall(f"{patch.body}\n{patch.notes}")
    )


def _diff_violations(patch: Patch) -> Iterator[str]:
    text = patch.diff.decode("utf-8", "replace")
    all_hunks = list(hunks(text))
    for name in patch.files:
        if name.startswith("/") or ".." in name.split("/"):
            yield f"changes a file outside the source tree: {name}"
    if not all_hunks:
        yield "has no hunk"
        return
    for hunk in all_hunks:
        for line in hunk.text.split("\n"):
            if not line.startswith("+"):
                continue
            if line.rstrip("\r") != line.rstrip():
                yield f"adds a line that ends with white space: {hunk.file}: {line}"
            yield from (f"adds a path of one machine: {path}" for path in _MACHINE_PATH.findall(line))
    if not text.endswith("\n"):
        yield "does not end with a line break"
    rest = text[text.rindex(all_hunks[-1].text) + len(all_hunks[-1].text) :].removeprefix("\n")
    junk = _SIGNATURE.sub("", rest, count=1).strip()
    if junk:
        yield f"has other text after its last hunk: {junk.splitlines()[0]}"
