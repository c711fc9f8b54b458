"""What the build record of a side says, as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.records.record import Side
from harness.text import one_line

_FIRST = ("commit", "tag", "patches", "states", "compilers", "options", "ggml_commit")


def text(value: Any) -> str:
    """Return any value of a build record in one line; of a record with a name, the name."""
    if isinstance(value, Mapping):
        if "name" in value:
            version = str(value.get("version") or value.get("sha256", "")[:12])
            return f"{value['name']} {version}".strip()
        return ", ".join(f"{name}={text(part)}" for name, part in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(text(part) for part in value)
    if value is None:
        return ""
    return one_line(str(value))


def commit(side: Side) -> str:
    """Return upstream's commit, ten digits of it, or "" if the record has none."""
    return commit_in_full(side)[:10]


def commit_in_full(side: Side) -> str:
    """Return upstream's commit with all its digits, or "" if the record has none."""
    return str(side.build.get("commit") or "")


def patched_by(side: Side) -> str:
    """Return the patches of a side in words; where a patched side has none, why."""
    if found := patches(side):
        return ", ".join(found)
    states = [f"{name}: {state}" for name, state in (side.build.get("states") or {}).items()]
    return f"none ({', '.join(states)})" if side.patched and states else "none"


def patches(side: Side) -> list[str]:
    """Return the names of the patches that a side was built with."""
    found = side.build.get("patches") or []
    return [
        str(patch["name"] if isinstance(patch, Mapping) and "name" in patch else patch) for patch in found
    ]


def compiler(side: Side) -> str:
    """Return the compilers and their versions, each once."""
    found = side.build.get("compilers") or side.build.get("compiler") or {}
    versions = found.values() if isinstance(found, Mapping) and "name" not in found else [found]
    known = (version for version in map(text, versions) if version.replace("unknown", "").strip())
    return ", ".join(dict.fromkeys(known))


def entries(side: Side) -> list[tuple[str, str]]:
    """Return all that the record holds as (name, text), what identifies the build first."""
    found = {"revision": side.revision, "backend": side.backend, "device": side.device, "driver": side.driver}
    found["identity"] = side.identity
    found |= {name: text(side.build[name]) for name in _FIRST if name in side.build}
    found |= {name: text(value) for name, value in side.build.items() if name not in found}
    return [(name.replace("_", " "), value) for name, value in found.items() if value]
