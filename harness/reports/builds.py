"""The build record of a side as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.records.record import Side
from harness.text import one_line

#: The entries of a build record that are shown first.
_FIRST = ("fork", "commit", "tag", "patches", "states", "compilers", "options", "ggml_commit")


def value_text(value: Any) -> str:
    """Return any value of a build record as one line. A mapping with a name becomes its name and version."""
    if isinstance(value, Mapping):
        if "name" in value:
            version = str(value.get("version") or value.get("sha256", "")[:12])
            return f"{value['name']} {version}".strip()
        return ", ".join(f"{name}={value_text(part)}" for name, part in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(value_text(part) for part in value)
    if value is None:
        return ""
    return one_line(str(value))


def short_commit(side: Side) -> str:
    """Return the first ten digits of upstream's commit, what a fork is, or "" if the record has neither."""
    return str(side.build.get("fork") or commit(side)[:10])


def commit(side: Side) -> str:
    """Return upstream's commit, what a fork is, or "" if the record has neither."""
    return str(side.build.get("fork") or side.build.get("commit") or "")


def patches_text(side: Side) -> str:
    """Return the names of a side's patches, or "none". For a patched side without patches, add the reasons."""
    if names := patches(side):
        return ", ".join(names)
    states = [f"{name}: {state}" for name, state in (side.build.get("states") or {}).items()]
    return f"none ({', '.join(states)})" if side.patched and states else "none"


def patches(side: Side) -> list[str]:
    """Return the names of the patches that a side was built with."""
    found = side.build.get("patches") or []
    return [
        str(patch["name"] if isinstance(patch, Mapping) and "name" in patch else patch) for patch in found
    ]


def compiler(side: Side) -> str:
    """Return the names and versions of the compilers, each once."""
    found = side.build.get("compilers") or side.build.get("compiler") or {}
    versions = found.values() if isinstance(found, Mapping) and "name" not in found else [found]
    known = (text for text in map(value_text, versions) if text.replace("unknown", "").strip())
    return ", ".join(dict.fromkeys(known))


def entries(side: Side) -> list[tuple[str, str]]:
    """Return everything that the record contains as (name, text), the most important entries first."""
    found = {"revision": side.revision, "backend": side.backend, "device": side.device, "driver": side.driver}
    found["identity"] = side.identity
    found |= {name: value_text(side.build[name]) for name in _FIRST if name in side.build}
    found |= {name: value_text(value) for name, value in side.build.items() if name not in found}
    return [(name.replace("_", " "), value) for name, value in found.items() if value]
