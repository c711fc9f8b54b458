"""Download a source distribution with pip, and explain the reason if pip fails."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from sdcpp import cache, console, os_errors, process
from sdcpp.errors import CacheUnusable, Error, HashMismatch, NetworkUnavailable, SourceInvalid, ToolMissing
from sdcpp.source.revision import Sdist

_OPTIONS = ("--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--require-hashes")
_QUIET = ("--disable-pip-version-check", "--no-input", "--progress-bar=off")
#: The line about an error of the file system. pip prints errors of the network in another form.
_FILE_ERROR = re.compile(r".*\b(?:OSError|PermissionError): \[Errno (\d+)\] .+")
#: A pattern for pip's output, what happened, and what to do now. pip 23 to 26 print these texts. The first pattern that
#: matches counts: if one index cannot be reached, that matters more than that another one lacks the package.
_REASONS = (
    (
        r"confirming the ssl certificate|SSLError|CERTIFICATE_VERIFY_FAILED",
        "the TLS certificate of the package index is not accepted",
        "set PIP_CERT to a file with the certificates of the index or of the proxy",
    ),
    (
        r"ProxyError|proxy connection error|Proxy Authentication Required",
        "the proxy cannot be reached or refuses access",
        "check the address, the user name and the password in HTTPS_PROXY or PIP_PROXY",
    ),
    (
        r"\b40[13] Client Error|Credentials not correct",
        "the package index refuses access",
        "check the user name and the password in PIP_INDEX_URL or .netrc",
    ),
    (
        r"\b5\d\d Server Error|too many 5\d\d error responses",
        "the package index has an internal error",
        "try again later, or set PIP_INDEX_URL to another index",
    ),
    (
        r"connection error|connection broken|Max retries exceeded|didn't respond|timed out|incomplete-download",
        "no package index can be reached",
        "check the network, or set PIP_INDEX_URL or HTTPS_PROXY",
    ),
    (
        r"not a trusted or secure host",
        "pip ignores a package index without TLS",
        "set PIP_INDEX_URL to its https address, or PIP_TRUSTED_HOST to its name",
    ),
    (
        r"\(from versions: (?!none)",
        "the package index does not have this version",
        "set PIP_INDEX_URL to an index that has it",
    ),
    (
        r"\(from versions: none\)",
        "the package index does not have this package",
        "set PIP_INDEX_URL to an index that has it",
    ),
)


def download(sdist: Sdist, scratch: Path, by_hand: str) -> Path:
    """Download an archive with pip into the temporary folder ``scratch``, and return its path.

    ``by_hand`` is the advice for downloading the archive without pip. Even for a download, pip runs the archive's build
    backend to get the metadata, but it checks the hash first.

    Raises the error that ``download_error`` returns, and SourceInvalid if pip did not download exactly one archive.
    """
    requirements, downloads, log = scratch / "requirements.txt", scratch / "got", scratch / "pip.log"
    requirements.write_text(
        f"{sdist.package}=={sdist.version} --hash=sha256:{sdist.sha256}\n", encoding="utf-8"
    )
    paths = ("-r", os.fspath(requirements), "-d", os.fspath(downloads), "--log", os.fspath(log))
    console.note(f"downloading {sdist.package} {sdist.version}")
    done = process.run([sys.executable, "-m", "pip", "download", *_OPTIONS, *_QUIET, *paths], show=True)
    if done.status:
        # Only the log has the reason why an index could not be reached.
        text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        reasons = re.findall(r"Could not fetch URL .*", text)
        output = "\n".join([done.output, *reasons])
        raise download_error(output, f"{sdist.package} {sdist.version}", by_hand)
    archives = list(downloads.glob("*.tar.gz"))
    if len(archives) != 1:
        names = ", ".join(sorted(path.name for path in downloads.iterdir()))
        raise SourceInvalid("pip did not download exactly one .tar.gz", names or "nothing", by_hand)
    return archives[0]


def download_error(output: str, subject: str, by_hand: str) -> Error:
    """Return the error for pip's output: HashMismatch, ToolMissing, CacheUnusable or NetworkUnavailable.

    ``subject`` is the name and the version of the sdist, ``by_hand`` the advice for downloading it without pip.
    """
    last = "\n    ".join(output.strip().splitlines()[-8:])
    if "DO NOT MATCH THE HASHES" in output:
        hashes = "\n    ".join(re.findall(r"(?:Expected|Got) .*", output))
        return HashMismatch(
            "downloaded sdist does not have the pinned hash", subject, f"do not use it:\n    {hashes}"
        )
    if "No module named pip" in output:
        return ToolMissing("pip is not installed", sys.executable, f"run `{sys.executable} -m ensurepip`")
    for match in _FILE_ERROR.finditer(output):
        error = OSError(int(match[1]), os.strerror(int(match[1])))
        if os_errors.has_advice(error):
            return CacheUnusable(
                f"pip cannot store the sdist ({os_errors.reason(error)})",
                subject,
                f"{os_errors.advice(error, '')}: {cache.VARIABLE}=FOLDER sets the folder of the cache, TMPDIR=FOLDER "
                f"sets the folder of temporary files. pip says:\n    {match[0]}",
            )
    if re.search(r"BackendUnavailable|Cannot import '|metadata-generation-failed", output):
        return ToolMissing(
            "the build backend of the sdist cannot be run",
            subject,
            f"run `{sys.executable} -m pip install scikit-build-core`, or {by_hand}. pip says:\n    {last}",
        )
    what, advice = next(
        ((what, advice) for pattern, what, advice in _REASONS if re.search(pattern, output)),
        ("sdist could not be downloaded", "check the settings of pip"),
    )
    return NetworkUnavailable(what, subject, f"{advice}, or {by_hand}. pip says:\n    {last}")
