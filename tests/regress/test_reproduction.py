"""The commands of a bug report are ones that upstream's own program has."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from harness.cases import upstream_command
from harness.cases.case import MODES, Case, select
from harness.cases.dimensions import sequences
from harness.cases.fixture import NO_BLOCKS, BlockQuantiser, Fixture
from harness.cases.malformed_file_case import MalformedFileCase
from harness.cases.matrix import FULL, QUICK, Matrix
from harness.cases.uses import settings
from sdcpp.source import revision, workspace


def case(generation: str, name: str, matrix: Matrix = QUICK) -> Case | MalformedFileCase:
    return select(matrix.cases(generation, MODES, BlockQuantiser()), [name])[0]


@pytest.mark.parametrize("name", ["2025-12", "2026-05"])
def test_upstreams_program_has_every_option_that_is_given(name: str) -> None:
    tree = workspace.workspace(revision.find(name))
    inner = tree.repository
    shown = {
        file: inner.check_git("show", f"{tree.base}:{file}")
        for file in inner.check_git("ls-tree", "-r", "--name-only", tree.base, "examples").splitlines()
        if Path(file).suffix in {".cpp", ".txt"}
    }
    words = upstream_command.commands(case(tree.lora_api, "gguf-F16@immediately"), tree.lora_api)
    fixture = Fixture(base=FULL.bases[tree.lora_api][0], block_quantiser=NO_BLOCKS)
    others = [upstream_command.command(use, tree.lora_api) for use in settings(fixture, "immediately")]
    given = [word for command in (*words.values(), *others) for word in shlex.split(command)]
    options = {word for word in given if word.startswith("--")}
    assert {"--negative-prompt", "--batch-count", "--init-img", "--strength", "--clip-on-cpu"} <= options
    assert {"--model", "--taesd", "--lora-model-dir", "--lora-apply-mode", "--prompt", "--seed"} <= options
    for option in options:
        assert any(f'"{option}"' in text for text in shown.values()), option
    target = re.search(r"set\(TARGET ([\w-]+)\)", shown["examples/cli/CMakeLists.txt"])
    assert target is not None
    assert words["got"].startswith(f"./{target[1]} ")


def test_all_that_the_commands_name_is_in_the_folder(tmp_path: Path) -> None:
    found = case("C", "gguf-Q8_0@immediately")
    written = upstream_command.write(found, tmp_path)
    assert all(path.is_file() for path in written)
    commands = upstream_command.commands(found, "C")
    assert set(commands) == {"without", "wanted", "got"}
    for command in commands.values():
        files = {word for word in shlex.split(command) if word.endswith(".safetensors")}
        assert files <= {path.name for path in written}
    tag = re.search(r"<lora:([^:]+):1>", commands["got"])
    assert tag is not None
    assert (tmp_path / f"{tag[1]}.gguf").is_file()
    assert "merged-" in commands["wanted"]
    assert "<lora:" not in commands["wanted"]


def test_several_pictures_in_one_context_are_beyond_upstreams_program() -> None:
    matrix = Matrix(dimensions=(sequences,), bases=QUICK.bases)
    assert upstream_command.command(case("C", "A-then-none", matrix), "C") == ""
    assert upstream_command.command(case("C", "A-and-B", matrix), "C").count("<lora:") == 2


def test_no_command_is_made_up_for_a_program_that_was_not_looked_at() -> None:
    found = case("B", "gguf-F16@immediately")
    assert upstream_command.command(found, "A") == ""
    assert upstream_command.commands(found, "A") == {}
