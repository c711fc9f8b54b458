from __future__ import annotations

import dataclasses
import json
import os
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sdcpp import cache
from sdcpp.binding import api, build_folder, library
from sdcpp.binding.build_folder import Build
from sdcpp.building import build, cmake
from sdcpp.errors import BuildFailed, LayoutMismatch, LibraryUnusable, ToolMissing
from sdcpp.machine import backends
from sdcpp.patching.patch_file import Patch, read
from sdcpp.source import revision, workspace
from sdcpp.source.workspace import Tree
from tests.unit import fakelib

PATCH = """\
diff --git a/fake.c b/fake.c
--- a/fake.c
+++ b/fake.c
@@ -77,3 +77,3 @@
 const char* sd_get_system_info() {
-    return "System Info: fake";
+    return "System Info: patched";
 }
"""


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache in which the fake tree is compiled once for the tests that only look at the result."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fakelib.tree(tmp_path_factory.mktemp("upstream") / "tree")


@pytest.fixture
def tree(shared_cache: Path, upstream: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    monkeypatch.setenv(cache.VARIABLE, str(shared_cache))
    return workspace.workspace(revision.from_folder(upstream))


@pytest.fixture
def patch(tmp_path: Path, upstream: Path) -> Patch:
    line = (upstream / "fake.c").read_text(encoding="utf-8").splitlines().index(
        "const char* sd_get_system_info() {"
    ) + 1
    path = tmp_path / "say-patched.patch"
    path.write_text(PATCH.replace("-77,3 +77,3", f"-{line},3 +{line},3"), encoding="utf-8")
    return read(path)


def no_cmake(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("CMake was run")

    monkeypatch.setattr(cmake.Project, "configure", fail)
    monkeypatch.setattr(cmake.Project, "build", fail)


def test_a_build_can_be_loaded_and_called(tree: Tree, model: Path, tmp_path: Path) -> None:
    made = build.build(tree)
    assert made == build_folder.read(made.folder)
    assert made.folder.name == f"local-cpu-pristine-{made.identity[:12]}"
    bound = api.bind(library.load(made))
    with bound.open(api.ModelFiles(model=model), mode="auto", threads=1, lora_dir=tmp_path) as context:
        assert context.backend == "cpu"
        assert context.generate(api.Generation(prompt="", width=8, height=8, steps=1, seed=1)).data


def test_the_record_tells_what_it_was_made_from(tree: Tree, patch: Patch) -> None:
    made = build.build(tree, [patch])
    record = json.loads((made.folder / "build.json").read_text(encoding="utf-8"))
    assert record == made.record
    assert record["revision"] == "local"
    assert record["base"] == tree.base
    assert record["inner_commit"] != tree.base
    assert record["patches"] == [{"name": patch.name, "sha256": patch.sha256, "state": "applies"}]
    assert record["compilers"]["C"]
    assert record["generation"] == "C"
    assert record["seconds"] > 0
    assert (made.folder / "build.log").is_file()
    assert made.backend == "cpu"


@pytest.mark.usefixtures("cache_folder")
def test_a_fork_is_built_by_its_record(tmp_path: Path) -> None:
    source = fakelib.tree(tmp_path / "fork", target="theirs")
    (source / "kernels").mkdir()
    (source / "kernels" / "ggml.c").write_text("", encoding="utf-8")
    cli = source / "tools" / "cli"
    cli.mkdir(parents=True)
    (cli / "main.c").write_text("int main(void) { return 0; }\n", encoding="utf-8")
    (cli / "CMakeLists.txt").write_text("set(TARGET their-cli)\n", encoding="utf-8")
    with (source / "CMakeLists.txt").open("a", encoding="utf-8") as recipe:
        recipe.write("if(THEIR_CLI)\n  add_executable(their-cli tools/cli/main.c)\nendif()\n")
    fork = dataclasses.replace(
        revision.from_folder(source),
        fork_of="d" * 40,
        target="theirs",
        ggml="kernels",
        program="tools/cli/their-program",
        renamed=(("SD_BUILD_EXAMPLES", "THEIR_CLI"),),
    )
    tree = workspace.workspace(fork)
    made = build.build(tree)
    assert library.load(made).call_text("sd_get_system_info") == "System Info: fake"
    assert made.record["fork"] == fork.title
    assert (made.record["program"], made.record["commit"]) == ("their-program", None)
    assert build.program(tree).stem == "their-cli"
    with pytest.raises(BuildFailed, match="stable-diffusion"):
        build.build(workspace.workspace(dataclasses.replace(fork, target="stable-diffusion", tag="other")))


def test_without_a_change_there_is_no_work(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build.build(tree)
    no_cmake(monkeypatch)
    start = time.monotonic()
    assert build.build(tree) == first
    assert time.monotonic() - start < 2


def test_a_patch_makes_another_build_and_compiles_only_what_it_touches(tree: Tree, patch: Patch) -> None:
    pristine, patched = build.build(tree), build.build(tree, [patch])
    assert patched.folder.name.startswith("local-cpu-patched-")
    assert library.load(pristine).call_text("sd_get_system_info") == "System Info: fake"
    assert library.load(patched).call_text("sd_get_system_info") == "System Info: patched"
    log = (patched.folder / "build.log").read_text(encoding="utf-8")
    assert "fake.c" in log
    assert "abi_table.cpp" not in log


@pytest.mark.skipif(os.name == "nt", reason="MSVC compiles the vocabularies as upstream has them")
@pytest.mark.usefixtures("cache_folder")
def test_a_vocabulary_is_compiled_from_its_copy_and_the_rest_with_few_optimisations(tmp_path: Path) -> None:
    def add(tree: Path) -> None:
        numbers = "0x7b, 0x7d, " * (1 << 17)
        (tree / "words.hpp").write_text(f"unsigned char words[] = {{\n{numbers}\n}};\n", encoding="utf-8")
        source = """\
            #include "words.hpp"
            #include "stable-diffusion.h"
            #include <string>
            static std::string text = std::to_string(sizeof(words)) + (char)words[1] + __FILE__ + ":";
            extern "C" const char* words_text(void) { return (text += std::to_string(__LINE__)).c_str(); }
        """
        (tree / "words.cpp").write_text(textwrap.dedent(source), encoding="utf-8")
        declared = "SD_API int declared_but_not_defined(void);"
        replacing("stable-diffusion.h", declared, f"SD_API const char* words_text(void);\n{declared}")(tree)
        with (tree / "CMakeLists.txt").open("a", encoding="utf-8") as recipe:
            recipe.write("enable_language(CXX)\ntarget_sources(stable-diffusion PRIVATE words.cpp)\n")

    tree = local(tmp_path, add)
    made = build.build(tree)
    log = (made.folder / build.LOG).read_text(encoding="utf-8")
    assert "vocabularies/words.cpp" in log
    assert library.load(made).call_text("words_text") == "262144}../../../words.cpp:5"
    [commands] = tree.path.glob(".git/sdcpp-objects/*/compile_commands.json")
    optimised = {
        Path(entry["file"]).suffix: " -O1 " in entry["command"]
        for entry in json.loads(commands.read_text(encoding="utf-8"))
        if "stable-diffusion.dir" in entry["output"]
    }
    assert optimised == {".cpp": True, ".c": False}


def test_the_identity_depends_on_all_that_shapes_a_build(tree: Tree, patch: Patch) -> None:
    def identity(
        patches: list[Patch],
        name: str = "cpu",
        options: dict[str, str] | None = None,
        cc: str = "cc 1",
    ) -> str:
        return build.identify(tree, patches, name, options or {}, {"CC": cc})

    assert identity([]) == identity([])
    assert len({identity([]), identity([patch]), identity([], "cuda"), identity([], options={"A": "1"})}) == 4
    assert identity([]) != identity([], cc="cc 2")


def local(folder: Path, edit: Callable[[Path], None]) -> Tree:
    edit(fakelib.tree(folder / "tree"))
    return workspace.workspace(revision.from_folder(folder / "tree"))


def replacing(name: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(tree: Path) -> None:
        text = (tree / name).read_text(encoding="utf-8")
        assert old in text
        (tree / name).write_text(text.replace(old, new), encoding="utf-8")

    return edit


@pytest.mark.usefixtures("cache_folder")
def test_a_compile_error_names_its_line_and_leaves_no_build(tmp_path: Path) -> None:
    broken = local(tmp_path, replacing("fake.c", "free(ctx);", "free(ctxx);"))
    with pytest.raises(BuildFailed, match=r"fake\.c:\d+: .*ctxx") as caught:
        build.build(broken)
    assert Path(caught.value.remedy.rsplit(": ", 1)[1]).is_file()
    assert not list((cache.root() / cache.BUILDS).glob("local-*[0-9a-f]"))


@pytest.mark.usefixtures("cache_folder")
def test_an_error_of_cmake_is_quoted(tmp_path: Path) -> None:
    broken = local(
        tmp_path, replacing("CMakeLists.txt", "add_library", 'message(FATAL_ERROR "not today")\nadd_library')
    )
    with pytest.raises(BuildFailed, match="not today"):
        build.build(broken)


@pytest.mark.usefixtures("cache_folder")
def test_a_header_that_the_compiler_reads_otherwise_is_a_mismatch(tmp_path: Path) -> None:
    hidden = "#ifdef __GNUC__\n    int hidden;\n#endif\n    bool vae_decode_only;"
    with pytest.raises(LayoutMismatch, match=r"compiled as offset .*: sd_ctx_params_t\.vae_decode_only"):
        build.build(local(tmp_path, replacing("stable-diffusion.h", "    bool vae_decode_only;", hidden)))
    assert not list((cache.root() / cache.BUILDS).glob("local-*[0-9a-f]"))


@pytest.mark.usefixtures("cache_folder")
def test_a_prototype_that_the_compiler_reads_otherwise_is_a_mismatch(tmp_path: Path) -> None:
    declared = "SD_API int declared_but_not_defined(void);"
    other = f"#ifdef __GNUC__\nlong declared_but_not_defined(void);\n#else\n{declared}\n#endif"
    with pytest.raises(LayoutMismatch, match="declared_but_not_defined"):
        build.build(local(tmp_path, replacing("stable-diffusion.h", declared, other)))


@pytest.mark.usefixtures("cache_folder")
def test_a_compiler_cache_is_offered_and_not_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cmake, "launcher", lambda: None)
    made = build.build(local(tmp_path, lambda _: None))
    assert capsys.readouterr().err.count("without a compiler cache, ") == 1
    assert made.record["launcher"] is None
    assert library.load(made).call_text("sd_get_system_info")


@pytest.mark.usefixtures("cache_folder")
def test_missing_tools_are_reported_before_any_work(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    no_cmake(monkeypatch)
    monkeypatch.setattr(backends, "missing", lambda _: ["glslc: apt install glslc"])
    with pytest.raises(ToolMissing, match="apt install glslc"):
        build.build(tree, [], "vulkan")


def test_an_incomplete_build_is_unusable(fake_build: Callable[..., Build], tmp_path: Path) -> None:
    with pytest.raises(LibraryUnusable, match="no build record"):
        build_folder.read(tmp_path)
    record = (fake_build("C").folder / "build.json").read_text(encoding="utf-8")
    (tmp_path / "build.json").write_text(record, encoding="utf-8")
    with pytest.raises(LibraryUnusable, match="incomplete"):
        build_folder.read(tmp_path)
    (tmp_path / "build.json").write_text("{}", encoding="utf-8")
    with pytest.raises(LibraryUnusable, match="no build record"):
        build_folder.read(tmp_path)


def test_a_build_apart_has_sources_and_objects_of_its_own(tree: Tree, patch: Patch, tmp_path: Path) -> None:
    folder = cache.root() / "apart" / tmp_path.name
    made, project = build.build_apart(tree, [patch], folder)
    assert project.folder.is_relative_to(folder)
    source = folder / "source" / "fake.c"
    assert "System Info: patched" in source.read_text(encoding="utf-8")
    assert made.library.is_file()
    assert made.identity == build.build(tree, [patch]).identity
    # The next state is built in the same folder, and a build that is there already is not made again.
    plain, _ = build.build_apart(tree, [], folder)
    assert plain.identity != made.identity
    assert "System Info: fake" in source.read_text(encoding="utf-8")
    written = (plain.folder / build_folder.RECORD).stat().st_mtime_ns
    assert build.build_apart(tree, [], folder)[0].identity == plain.identity
    assert (plain.folder / build_folder.RECORD).stat().st_mtime_ns == written
