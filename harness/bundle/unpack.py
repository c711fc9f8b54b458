"""Unpack and run an archive of ``sdcpp bundle``: this file is its ``__main__.py`` and needs the standard library only.

    python3 sdcpp-cuda.pyz [ARGUMENTS OF SDCPP INSTEAD OF THE PACKED ONES]

Everything is checked against the packed hashes, unpacked into a folder beside the archive and kept there, so that a
second call continues the first. This file starts programs itself, because it runs before the project is unpacked.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path


def main() -> int:
    """Unpack, install, run; return the exit status of sdcpp."""
    archive = Path(sys.argv[0]).resolve()
    folder = archive.with_suffix("")
    with zipfile.ZipFile(archive) as packed:
        order = json.loads(packed.read("order.json"))
        here = f"{sys.version_info.major}.{sys.version_info.minor}"
        if here != order["python"]:
            sys.exit(
                f"this bundle is for Python {order['python']}, this is {here}: ask for one packed with "
                f"`sdcpp bundle --python {here}`"
            )
        for name, wanted in order["sha256"].items():
            target = (folder / name).resolve()
            if not target.is_relative_to(folder):
                sys.exit(f"{archive} holds a path that leaves its folder: {name}")
            content = packed.read(name)
            if hashlib.sha256(content).hexdigest() != wanted:
                sys.exit(f"{name} in {archive} is not what was packed: copy the archive again")
            if not target.exists() or target.read_bytes() != content:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
    site = folder / "site"
    wheels = sorted(str(path) for path in (folder / "wheels").glob("*.whl"))
    if wheels and not site.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-cache-dir"]
        partial = folder / "site.partial"  # pip may be interrupted
        shutil.rmtree(partial, ignore_errors=True)
        done = subprocess.run(
            [*pip, "--disable-pip-version-check", "--target", str(partial), *wheels], check=False
        )
        if done.returncode:
            sys.exit(f"pip could not install the wheels of {archive}, see above")
        partial.rename(site)
    chosen = Path(os.environ.get("SDCPP_CACHE") or folder).expanduser()
    for download in (folder / "downloads").glob("*"):
        copy = chosen / "downloads" / download.name
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(download, copy)
    reports = folder / "reports"
    arguments = sys.argv[1:] or [*order["arguments"], "--output", str(reports)]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder / "project"), str(site), os.environ.get("PYTHONPATH", "")]),
        "SDCPP_CACHE": str(chosen),
    }
    command = [sys.executable, "-m", "harness", *arguments]
    status = subprocess.run(command, cwd=archive.parent, env=environment, check=False).returncode
    if (reports / "records.jsonl").exists():
        records = archive.with_suffix(".records.jsonl")
        shutil.copy2(reports / "records.jsonl", records)
        print(f"send back {records}")
    return status


def run() -> int | str:
    """Run ``main``; return the exit status, or a message if the archive cannot be read or the folder not written."""
    try:
        return main()
    except KeyboardInterrupt:
        return 130
    except (OSError, zipfile.BadZipFile) as error:
        return f"{sys.argv[0]} cannot be unpacked or run: {error}; copy it again, or move it to a disk with space"


if __name__ == "__main__":
    sys.exit(run())
