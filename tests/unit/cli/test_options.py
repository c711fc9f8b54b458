from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from harness.cli import options
from sdcpp.errors import SourceInvalid, UnknownRevision


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog="sdcpp")


def test_revisions_are_the_named_ones_or_the_default_or_the_checkout(
    parser: argparse.ArgumentParser, tmp_path: Path
) -> None:
    options.add_revisions(parser)
    options.add_checkout(parser)

    def names(*words: str) -> list[str]:
        return [one.name for one in options.revisions(parser.parse_args(words))]

    assert names() == list(options.REVISIONS)
    assert names("--revision", "0.2.9", "--revision", "2026-05") == ["0.2.9", "2026-05"]
    assert names("--revision", "0.2.9", "--revision", "0.2.9") == ["0.2.9"]
    assert names("--checkout", str(tmp_path)) == ["local"]
    assert [one.name for one in options.revisions(parser.parse_args([]), default=["0.2.9"])] == ["0.2.9"]
    with pytest.raises(UnknownRevision, match="2026-5"):
        names("--revision", "2026-5")
    with pytest.raises(SourceInvalid, match="no such folder"):
        names("--checkout", str(tmp_path / "nowhere"))


def test_one_revision_is_upstreams_newest_unless_another_is_named(parser: argparse.ArgumentParser) -> None:
    options.add_revision(parser)
    assert parser.parse_args([]).revision == options.UPSTREAM
    assert parser.parse_args(["--revision", "0.2.9"]).revision == "0.2.9"
    assert f"default: {options.UPSTREAM}" in parser.format_help()


def test_a_side_is_one_of_three(parser: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]) -> None:
    options.add_side(parser)
    assert options.SIDES[parser.parse_args([]).side] == ("pristine", "patched")
    assert options.SIDES[parser.parse_args(["--side", "patched"]).side] == ("patched",)
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["--side", "neither"])
    assert ended.value.code == 2
    assert "choose from 'pristine', 'patched', 'both'" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", "-3", "1.5", "many", ""])
def test_a_count_below_one_is_refused(
    text: str, parser: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]
) -> None:
    options.add_workers(parser)
    options.add_repeat(parser, "rounds")
    assert parser.parse_args(["--jobs", "1", "--repeat", "12"]) == argparse.Namespace(jobs=1, repeat=12)
    for option in ("--jobs", "--repeat"):
        with pytest.raises(SystemExit) as ended:
            parser.parse_args([f"{option}={text}"])
        assert ended.value.code == 2
        assert f"argument {option}: {text!r} is not a whole number of 1 or more" in capsys.readouterr().err


def test_cmake_entries_are_names_and_values(
    parser: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]
) -> None:
    options.add_cmake_entries(parser, "an entry")
    assert parser.parse_args([]).options == []
    found = parser.parse_args(["-D", "GGML_CUDA=ON", "-DFLAGS:STRING=-O2 -DX=1", "-D", "EMPTY="])
    assert found.options == [("GGML_CUDA", "ON"), ("FLAGS", "-O2 -DX=1"), ("EMPTY", "")]
    for wrong in ("GGML_CUDA", "=ON", ""):
        with pytest.raises(SystemExit) as ended:
            parser.parse_args(["-D", wrong])
        assert ended.value.code == 2
        assert "is not a CMake cache entry: write NAME=VALUE or NAME:TYPE=VALUE" in capsys.readouterr().err


def test_output_backend_and_workers_say_their_defaults(
    parser: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]
) -> None:
    options.add_output(parser, "reports/here", "; and more")
    options.add_backend(parser)
    options.add_workers(parser, "one")
    found = parser.parse_args([])
    assert (found.output, found.backend, found.jobs) == (Path("reports/here"), "cpu", None)
    text = " ".join(parser.format_help().split())
    for words in ("default: reports/here; and more", "default: cpu", "worker processes (default: one)"):
        assert words in text
    with pytest.raises(SystemExit):
        parser.parse_args(["--backend", "abacus"])
    assert "abacus" in capsys.readouterr().err
