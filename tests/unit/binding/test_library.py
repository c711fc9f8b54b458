from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sdcpp.binding import library
from sdcpp.binding.build_folder import Build
from sdcpp.binding.library import Library, LogLine
from sdcpp.errors import HeaderUnsupported, LayoutMismatch, LibraryUnusable

Fakes = Callable[..., Build]


@pytest.fixture
def loaded_library(fake_build: Fakes) -> Library:
    """Return the fake library of generation C, loaded."""
    return library.load(fake_build("C"))


def opened(lib: Library, model: Path) -> object:
    params = lib.struct("sd_ctx_params_t")()
    lib.call("sd_ctx_params_init", ctypes.byref(params))
    params.model_path = str(model).encode()
    return lib.call("new_sd_ctx", ctypes.byref(params))


def test_functions_get_their_types_from_the_header(loaded_library: Library) -> None:
    assert loaded_library.call_text("sd_get_system_info") == "System Info: fake"
    assert loaded_library.function("new_sd_ctx").restype is ctypes.POINTER(loaded_library.struct("sd_ctx_t"))


def test_a_returned_string_is_read_and_freed(loaded_library: Library) -> None:
    params = loaded_library.struct("sd_ctx_params_t")()
    loaded_library.call("sd_ctx_params_init", ctypes.byref(params))
    params.n_threads = 3
    assert "n_threads: 3\n" in loaded_library.call_text("sd_ctx_params_to_str", ctypes.byref(params))


def test_enumerators_come_from_the_header(loaded_library: Library) -> None:
    assert loaded_library.enum("EULER_SAMPLE_METHOD") == 5
    assert loaded_library.enum("EULER", "EULER_SAMPLE_METHOD") == 5
    with pytest.raises(HeaderUnsupported, match="EULER or OILER"):
        loaded_library.enum("EULER", "OILER")


def test_a_function_that_is_not_exported_is_an_error_for_who_calls_it(loaded_library: Library) -> None:
    with pytest.raises(LibraryUnusable, match="declared_but_not_defined is declared but not exported"):
        loaded_library.call("declared_but_not_defined")
    with pytest.raises(LibraryUnusable, match="txt2img is not declared"):
        loaded_library.require(["generate_image", "txt2img"])


def test_a_field_inserted_into_the_header_is_found_before_any_call(fake_build: Fakes, tmp_path: Path) -> None:
    good = fake_build("C")
    changed = tmp_path / "stable-diffusion.h"
    changed.write_text(
        good.header.read_text().replace("    int n_threads;", "    int inserted;\n    int n_threads;"),
        encoding="utf-8",
    )
    with pytest.raises(LayoutMismatch) as caught:
        library.load(replace(good, header=changed))
    assert caught.value.subject == "sd_ctx_params_t.inserted"


def test_a_missing_or_broken_table_is_a_mismatch(fake_build: Fakes, tmp_path: Path) -> None:
    good = fake_build("C")
    with pytest.raises(LayoutMismatch, match="table cannot be read"):
        library.load(replace(good, folder=tmp_path))
    (tmp_path / "abi.json").write_text("{", encoding="utf-8")
    with pytest.raises(LayoutMismatch, match="table cannot be read"):
        library.load(replace(good, folder=tmp_path))


def test_a_file_that_is_no_library_is_unusable(fake_build: Fakes, tmp_path: Path) -> None:
    broken = tmp_path / "libbroken.so"
    broken.write_bytes(b"no library")
    with pytest.raises(LibraryUnusable, match="cannot be loaded"):
        library.load(replace(fake_build("C"), library=broken))


def test_log_lines_have_level_and_text(loaded_library: Library, model: Path) -> None:
    with loaded_library.record_log() as lines:
        context = opened(loaded_library, model)
        assert opened(loaded_library, model.with_name("nowhere.gguf")) is not None
    loaded_library.call("free_sd_ctx", context)
    assert {line.level for line in lines} == {"debug", "info", "error"}
    assert any(line.text.endswith("- Using CPU backend") for line in lines)
    seen = len(lines)
    loaded_library.call("free_sd_ctx", opened(loaded_library, model))
    assert len(lines) == seen


def test_what_a_listener_raises_stays_out_of_c(loaded_library: Library, model: Path) -> None:
    heard: list[LogLine] = []

    def bad(_line: LogLine) -> None:
        raise KeyboardInterrupt

    loaded_library.log_listeners += [bad, heard.append]
    context = opened(loaded_library, model)
    loaded_library.log_listeners.clear()
    assert context
    assert not heard
    assert all(isinstance(fault, KeyboardInterrupt) for fault in loaded_library.callback_errors)
    with pytest.raises(KeyboardInterrupt):
        loaded_library.raise_callback_error()
    loaded_library.raise_callback_error()
    loaded_library.call("free_sd_ctx", context)


def test_loading_brings_no_numpy_along(fake_build: Fakes) -> None:
    program = (
        "import sys; from pathlib import Path; from sdcpp.binding import api, build_folder, library\n"
        "api.bind(library.load(build_folder.read(Path(sys.argv[1]))))\n"
        "sys.exit('numpy' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", program, fake_build("C").folder], check=False).returncode == 0
    )


def test_the_table_was_made_by_the_compiler(fake_build: Fakes) -> None:
    table = json.loads(fake_build("B").table_path.read_text(encoding="utf-8"))
    assert table["structs"]["sd_image_t"]["fields"]["data"] == [16, 8]
