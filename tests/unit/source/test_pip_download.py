from __future__ import annotations

import http.server
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdcpp.errors import CacheUnusable, Error, HashMismatch, NetworkUnavailable, SourceInvalid, ToolMissing
from sdcpp.source import pip_download
from sdcpp.source.revision import Sdist

SDIST = Sdist(package="small-upstream", version="1.0", sha256="0" * 64, folder="vendor")
NONE = "ERROR: Could not find a version that satisfies the requirement x==1 (from versions: none)"
POOL = "HTTPSConnectionPool(host='index.example', port=443): Max retries exceeded with url: /simple/x/"
NO_FETCH = "Could not fetch URL https://index.example/simple/x/:"
#: Texts that pip 23.2 and 26.3 print or write to their logs.
SAMPLES = {
    "disk full": (
        "OSError: [Errno 28] No space left on device: '/a/x.tar.gz' -> '/b/x.tar.gz'",
        CacheUnusable,
        "cannot store the sdist (No space left on device)",
        "free some space",
    ),
    "disk full while installing": (
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n",
        CacheUnusable,
        "No space left on device",
        "SDCPP_CACHE=FOLDER",
    ),
    "quota": (
        "OSError: [Errno 122] Disk quota exceeded",
        CacheUnusable,
        "Disk quota exceeded",
        "TMPDIR=FOLDER",
    ),
    "no permission": (
        "PermissionError: [Errno 13] Permission denied: '/root/got'\n",
        CacheUnusable,
        "Permission denied",
        "choose a folder that you may write to",
    ),
    "read-only": (
        "OSError: [Errno 30] Read-only file system: '/b/got'",
        CacheUnusable,
        "Read-only file system",
        "choose a folder that you may write to",
    ),
    "hash": (
        "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If\n"
        "        Expected sha256 0000\n             Got        44f8\n",
        HashMismatch,
        "does not have the pinned hash",
        "Got        44f8",
    ),
    "no pip": ("/usr/bin/python3: No module named pip", ToolMissing, "pip is not installed", "ensurepip"),
    "no backend": (
        "pip._vendor.pyproject_hooks._impl.BackendUnavailable: Cannot import 'scikit_build_core.build'",
        ToolMissing,
        "build backend",
        "pip install scikit-build-core",
    ),
    "old, TLS": (
        f"{NONE}\n{NO_FETCH} There was a problem confirming the ssl certificate: {POOL} (Caused by SSLError("
        "SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate'))) - skipping",
        NetworkUnavailable,
        "TLS certificate",
        "PIP_CERT",
    ),
    "new, TLS": (
        f"{NONE}\n{NO_FETCH} There was a problem confirming the ssl certificate: [SSL: WRONG_VERSION_NUMBER]",
        NetworkUnavailable,
        "TLS certificate",
        "PIP_CERT",
    ),
    "old, proxy": (
        f"{NONE}\n{NO_FETCH} connection error: {POOL} (Caused by ProxyError('Cannot connect to proxy.', "
        "NewConnectionError('<object>: Failed to establish a new connection: [Errno 111] Connection refused')))",
        NetworkUnavailable,
        "proxy",
        "HTTPS_PROXY",
    ),
    "new, proxy": (
        f"{NONE}\n{NO_FETCH} proxy connection error: ('Unable to connect to proxy', "
        "OSError('Tunnel connection failed: 407 Proxy Authentication Required')) - skipping",
        NetworkUnavailable,
        "proxy",
        "password",
    ),
    "no name": (
        "WARNING: Retrying (Retry(total=4, connect=None)) after connection broken by 'NewConnectionError("
        f"'<object>: Failed to establish a new connection: [Errno -2] Name or service not known')'\n{NONE}",
        NetworkUnavailable,
        "no package index can be reached",
        "check the network",
    ),
    "firewall": (
        f"{NONE}\n{NO_FETCH} connection error: [Errno 1] Operation not permitted - skipping",
        NetworkUnavailable,
        "no package index can be reached",
        "check the network",
    ),
    "slow": (
        f"{NONE}\n{NO_FETCH} index.example didn't respond within 15.0 seconds - skipping",
        NetworkUnavailable,
        "no package index can be reached",
        "check the network",
    ),
    "cut": (
        "error: incomplete-download\n\n× Download failed after 6 attempts because not enough bytes were received",
        NetworkUnavailable,
        "no package index can be reached",
        "check the network",
    ),
    "other versions": (
        "ERROR: Could not find a version that satisfies the requirement x==2 (from versions: 1.0, 1.1)",
        NetworkUnavailable,
        "does not have this version",
        "PIP_INDEX_URL",
    ),
    "no such package": (NONE, NetworkUnavailable, "does not have this package", "PIP_INDEX_URL"),
    "no https": (
        f"WARNING: The repository located at x is not a trusted or secure host and is being ignored.\n{NONE}",
        NetworkUnavailable,
        "without TLS",
        "PIP_TRUSTED_HOST",
    ),
    "a new complaint": ("error: something else", NetworkUnavailable, "could not be downloaded", "pip says:"),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_the_reason_and_the_advice(name: str) -> None:
    output, kind, what, advice = SAMPLES[name]
    error = pip_download.download_error(output, "x 1", "place x.tar.gz into the cache")
    assert type(error) is kind
    assert what in error.what
    assert error.subject in {"x 1", sys.executable}
    assert advice in error.remedy
    # Another index helps neither against a full disk nor against a certificate.
    if kind is CacheUnusable or "TLS cert" in what:
        assert "PIP_INDEX_URL" not in error.remedy
    if kind is NetworkUnavailable:
        assert "or place x.tar.gz into the cache" in error.remedy
    if kind is not HashMismatch and kind is not ToolMissing:
        assert output.strip().splitlines()[-1] in error.remedy


class Index(http.server.BaseHTTPRequestHandler):
    """Answers each request with the status that its path begins with."""

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(int(self.path.split("/")[1]))
        self.end_headers()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **settings: str) -> Error:
    """Run the real pip with these settings only, and return the error."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    known = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1", "PIP_RETRIES": "0", "NO_PROXY": ""}
    for name, value in {**known, **settings}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Error) as caught:
        pip_download.download(SDIST, tmp_path, "place it by hand")
    assert caught.value.subject == "small-upstream 1.0"
    return caught.value


@pytest.mark.parametrize(
    ("status", "what", "advice"),
    [
        (401, "refuses access", "password in PIP_INDEX_URL"),
        (403, "refuses access", "password in PIP_INDEX_URL"),
        (404, "does not have this package", "PIP_INDEX_URL"),
        (503, "internal error", "try again later"),
    ],
)
def test_an_index_that_answers_with_an_error(  # noqa: PLR0917
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: int, status: int, what: str, advice: str
) -> None:
    error = fails(tmp_path, monkeypatch, PIP_INDEX_URL=f"http://127.0.0.1:{port}/{status}")
    assert isinstance(error, NetworkUnavailable)
    assert what in error.what
    assert advice in error.remedy
    assert "or place it by hand" in error.remedy


def test_an_index_without_tls_behind_https(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    error = fails(tmp_path, monkeypatch, PIP_INDEX_URL=f"https://127.0.0.1:{port}/200")
    assert "TLS certificate" in error.what
    assert "PIP_CERT" in error.remedy


def test_a_proxy_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = fails(
        tmp_path, monkeypatch, PIP_INDEX_URL="https://index.invalid/simple", PIP_PROXY="http://127.0.0.1:9"
    )
    assert "proxy cannot be reached" in error.what
    assert "HTTPS_PROXY" in error.remedy


def test_a_network_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = fails(tmp_path, monkeypatch, PIP_INDEX_URL="http://127.0.0.1:9/simple")
    assert "no package index can be reached" in error.what


def test_more_than_one_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "got").mkdir()
    for name in ("a.tar.gz", "b.tar.gz"):
        (tmp_path / "got" / name).touch()

    class Done:
        status = 0

    monkeypatch.setattr("sdcpp.process.run", lambda *_, **__: Done)
    with pytest.raises(SourceInvalid, match=r"exactly one .tar.gz: a.tar.gz, b.tar.gz"):
        pip_download.download(SDIST, tmp_path, "place it by hand")
