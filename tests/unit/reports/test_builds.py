from __future__ import annotations

from dataclasses import replace

from harness.reports import builds
from tests.unit.example_records import side


def test_a_build_record_becomes_text() -> None:
    build = side("2025-12", patched=True)
    assert builds.patches_text(build) == "look-for-gguf-adapters, quantised-immediately"
    assert builds.compiler(build) == "GNU 12.2.0"
    entries = dict(builds.entries(build))
    assert entries["patches"].startswith("look-for-gguf-adapters abababababab")
    assert entries["options"] == "SD_BUILD_SHARED_LIBS=ON, GGML_NATIVE=OFF"
    none = replace(build, build={"patches": [], "states": {"a-patch": "not needed"}, "compiler": "clang 19"})
    assert builds.patches_text(none) == "none (a-patch: not needed)"
    assert builds.compiler(none) == "clang 19"
