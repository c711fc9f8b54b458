"""What all commands of ``sdcpp lora`` have in common: options, several inputs, files that are no LoRA, hostile text."""

from __future__ import annotations

import argparse
import gzip
import io
import itertools
import json
import pickle
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.cli import main as cli
from harness.cli.lora import several, try_adapter, verbs
from harness.cli.main import main
from harness.formats.read import read_tensors
from harness.formats.tensor import MetadataValue
from harness.formats.write import Spec, as_bytes, write_container
from harness.own_model.examination import examine
from harness.records.verdict import Verdict
from sdcpp import waiting_line
from sdcpp.errors import FileInvalid, OutputRefused
from tests.unit.converter.lora_files import Arrays, pair, save
from tests.unit.own_model.own_files import flux, lora
from tests.unit.own_model.test_results import trial

#: Commands that write a file, and those that take several files or write one for each.
WRITING = {"convert", "resize", "combine", "extract", "merge", "compare", "info", "try"}
FOR_EACH = {"convert", "resize", "extract", "info"}

#: The words of each command that reads a LoRA ``{a}`` and a good one ``{good}``, with a base model ``{base}``.
READING = {
    "try": "{a} -m {model}",
    "convert": "{a} {out}.safetensors",
    "inspect": "{a}",
    "info": "{a}",
    "compare": "{a} {good}",
    "compare B": "{good} {a}",
    "resize": "{a} {out}.safetensors --rank 2",
    "combine": "{a} {good} {out}.safetensors",
    "combine second": "{good} {a} {out}.safetensors",
    "extract base": "{a} {base} {out}.safetensors --rank 2",
    "extract": "{base} {a} {out}.safetensors --rank 2",
    "table": "{a} --type Q8_0",
    "merge": "{base} {a} {out}.safetensors",
    "merge base": "{a} {good} {out}.safetensors",
    "inspect base": "{good} --base-model {a}",
    "convert base": "{good} {out}.safetensors --base-model {a}",
    "combine base": "{good} {out}.safetensors --base-model {a}",
    "try model": "{good} -m {a}",
    "try original": "{good} -m {model} --original {a}",
}


def run(command: str, a: Path, folder: Path, *more: object) -> int:
    """Run a command of READING on the file ``a`` and return its exit status."""
    good = folder / "good.safetensors"
    base = folder / "base.safetensors"
    model = folder / "model.safetensors"
    if not good.exists():
        save(good, pair())
        save(base, {"block.proj.weight": np.zeros((64, 96), np.float32)})
        flux(model)
    paths = {"a": a, "good": good, "base": base, "model": model, "out": folder / "out"}
    words = [word.format_map(paths) for word in READING[command].split()]
    return main(["lora", command.partition(" ")[0], *words, *map(str, more)])


def options_of(name: str) -> set[str]:
    """Return the options of a command of ``sdcpp lora``."""
    [parser] = [each for each in cli.parser().loaded() if each.prog == f"sdcpp lora {name}"]
    return {text for action in parser.arguments for text in action.option_strings}


@pytest.mark.parametrize("name", verbs.COMMANDS)
def test_every_command_has_the_common_options(name: str) -> None:
    found = options_of(name)
    assert {"--json", "-v", "--verbose", "-q", "--quiet"} <= found
    assert ("--no-clobber" in found) == (name in WRITING)
    assert ("--output-dir" in found) == (name in FOR_EACH)


@pytest.mark.parametrize("name", verbs.COMMANDS)
def test_a_mistyped_option_is_suggested(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(
            ["lora", name, "a", "b", "c", "--jsno"]
            + (["--rank", "1"] if name in ("resize", "extract") else [])
        )
    assert ended.value.code == 2
    assert "did you mean --json?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "more"),
    [
        *((command, []) for command in ("try", "convert", "inspect", "info", "compare", "resize", "combine")),
        *((command, []) for command in ("extract", "table", "merge", "try original")),
        ("convert", ["--max-loss", "5%"]),
        ("convert", ["--names", "diffusers"]),
        ("convert", ["--for", "2026-05"]),
    ],
)
def test_long_work_shows_progress_and_the_time_that_is_left(
    command: str,
    more: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(waiting_line, "PATIENCE", 0.0)
    monkeypatch.setattr(waiting_line, "LOG", 0.0)
    a = save(tmp_path / "a.safetensors", pair())
    if command == "extract":
        save(a, {"block.proj.weight": np.ones((64, 96), np.float32)})
    if "--for" in more or "--names" in more:
        lora(a, rank=32)
    run(command, a, tmp_path, *more)
    found = re.findall(r"^(.+): (\d+)%, about .+ left$", capsys.readouterr().err, re.MULTILINE)
    assert found
    for _, lines in itertools.groupby(found, lambda line: line[0]):
        shares = [int(share) for _, share in lines]
        assert shares == sorted(shares)
        assert shares[-1] <= 100


@pytest.mark.parametrize("command", ["try", "convert", "inspect", "info", "compare", "resize", "table"])
def test_quiet_work_shows_no_progress(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(waiting_line, "PATIENCE", 0.0)
    monkeypatch.setattr(waiting_line, "LOG", 0.0)
    a = save(tmp_path / "a.safetensors", pair())
    run(command, a, tmp_path, "--quiet")
    assert "% " not in capsys.readouterr().err
    run(command, a, tmp_path)
    assert " left" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "near"),
    [
        ("convert {a} {out}.gguf --type q8_o", "Q8_0"),
        ("convert {a} {out}.gguf --for 2026-7", "2026-07"),
        ("convert {a} {out}.gguf --names koya", "kohya"),
        ("convert {a} {out}.saftensors", ".safetensors"),
        ("resize {a} --rank 2 --output-dir {out} --container gufg", "gguf"),
        ("table {a} --base-model flux-smal", "flux-small"),
        ("info {a} --unset ss_tga --output {out}.safetensors", "ss_tag"),
        ("try {a} --lora-apply-mode imediately", "immediately"),
        ("try {a} --backend cdua", "cuda"),
        ("try {a} -m {model} --revision 2026-7", "2026-07"),
        ("inspect {folder}/sytle.safetensors", "style.safetensors"),
    ],
)
def test_a_mistyped_word_is_suggested(
    words: str, near: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, model = save(tmp_path / "style.safetensors", pair()), flux(tmp_path / "m.safetensors")
    filled = words.format(a=a, model=model, out=tmp_path / "out", folder=tmp_path)
    try:
        status = main(["lora", *filled.split()])
    except SystemExit as ended:
        status = int(ended.code or 0)
    assert status not in (0, 1, 99)
    assert f"did you mean {near}" in capsys.readouterr().err
    assert not list(tmp_path.glob("out*.*"))


PAGE = "<html><title>Sign in</title></html>"


@pytest.mark.parametrize(
    "words",
    [
        "convert {files} --output-dir {out}",
        "convert {files} --output-dir {out} --container gguf --type Q8_0",
        "resize {files} --output-dir {out} --rank 4",
        "extract {base} {files} --output-dir {out} --rank 4",
        "info {files}",
        "info {files} --set a=b --output-dir {out}",
        "inspect {files}",
        "compare {good} {files}",
        "table {files} --type Q8_0",
        "try {files} -m {model}",
    ],
)
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_one_bad_input_keeps_no_other_from_being_worked_on(
    words: str, form: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, page, last = (tmp_path / f"{name}.safetensors" for name in ("first", "page", "last"))
    base = save(tmp_path / "base.safetensors", {"block.proj.weight": np.zeros((64, 96), np.float32)})
    for seed, path in enumerate((first, last)):
        tuned = {"block.proj.weight": np.full((64, 96), seed + 1.0, np.float32)}
        save(path, tuned if words.startswith("extract") else pair(seed=seed))
    page.write_text(PAGE)
    good, model, out = (
        save(tmp_path / "good.safetensors", pair()),
        flux(tmp_path / "m.safetensors"),
        tmp_path / "out",
    )
    filled = words.format(files=f"{first} {page} {last}", good=good, base=base, model=model, out=out)
    assert main(["lora", *filled.split(), *form]) == FileInvalid.exit_code
    said = capsys.readouterr()
    assert said.err.count("this is a web page (Sign in)") == 1
    if form:
        data = json.loads(said.out)
        assert [("error" in each) for each in data] == [False, True, False]
        assert (data[1]["path"], data[1]["status"]) == ("page.safetensors", FileInvalid.exit_code)
    else:
        assert said.out.index("first") < said.out.index("last")
        assert "page.safetensors" not in said.out
    if "--output-dir" in words:
        suffix = ".gguf" if "gguf" in words else ".safetensors"
        assert sorted(path.name for path in out.iterdir()) == [f"first{suffix}", f"last{suffix}"]


def test_options_may_stand_between_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = (str(save(tmp_path / f"{name}.safetensors", pair())) for name in "ab")
    assert main(["lora", "convert", a, "--type", "Q8_0", str(tmp_path / "c.gguf")]) == 0
    capsys.readouterr()
    assert main(["lora", "inspect", a, "-q", b]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("convert a.safetensors", "name OUT, or --output-dir DIR"),
        ("convert a.safetensors b.safetensors c.gguf", "several files need --output-dir DIR"),
        ("resize a.safetensors b.safetensors --rank 2 --container gguf", "--container is for --output-dir"),
        (
            "convert a.safetensors x/a.safetensors --output-dir out",
            "would both be written to out/a.safetensors",
        ),
        (
            "convert a.safetensors a.gguf --output-dir out --container gguf",
            "would both be written to out/a.gguf",
        ),
        ("compare a.safetensors b.safetensors c.gguf --plot a.svg", "--plot is for a single B"),
        (
            "info a.safetensors b.safetensors --set a=b --output c.safetensors",
            "--output is for a single FILE",
        ),
        ("info a.safetensors --output-dir out", "--set and --unset need --output OUT or --output-dir"),
    ],
)
def test_unclear_outputs_are_refused_before_anything_is_written(
    words: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["lora", *words.split()])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_output_folder_that_is_the_folder_of_the_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = (save(tmp_path / f"{name}.safetensors", pair()) for name in "ab")
    before = a.read_bytes()
    words = ["lora", "convert", str(a), str(b), "--output-dir", str(tmp_path)]
    assert main(words) == OutputRefused.exit_code
    assert capsys.readouterr().err.count("the output is the input") == 2
    assert a.read_bytes() == before
    assert main([*words, "--container", "gguf"]) == 0
    assert (tmp_path / "b.gguf").exists()


def test_no_clobber_skips_only_what_exists(tmp_path: Path) -> None:
    a, b = (save(tmp_path / f"{name}.safetensors", pair()) for name in "ab")
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.safetensors").write_bytes(b"mine")
    words = ["lora", "convert", str(a), str(b), "--output-dir", str(out), "--no-clobber"]
    assert main(words) == OutputRefused.exit_code
    assert (out / "a.safetensors").read_bytes() == b"mine"
    assert (out / "b.safetensors").exists()


def test_no_clobber_keeps_the_page_of_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    library = SimpleNamespace(folder=tmp_path, record={"revision": "2026-05"})
    monkeypatch.setattr(try_adapter, "builds", lambda *_: [library])
    monkeypatch.setattr(try_adapter, "try_adapter", lambda *_, **__: trial(Verdict.PASS, Verdict.PASS))
    report = tmp_path / "out" / "report.html"
    report.parent.mkdir()
    report.write_text("mine")
    words = [
        "lora",
        "try",
        str(lora(tmp_path / "a.safetensors")),
        "-m",
        str(flux(tmp_path / "m.safetensors")),
    ]
    words += ["--revision", "2026-05", "--output", str(report.parent)]
    assert main([*words, "--no-clobber"]) == OutputRefused.exit_code
    assert report.read_text() == "mine"
    assert "the file exists already" in capsys.readouterr().err
    assert main(words) == 0
    assert report.read_text().startswith("<!DOCTYPE html>")


def test_a_bug_that_one_file_shows_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = (save(tmp_path / f"{name}.safetensors", pair()) for name in "ab")
    real = examine

    def fails(path: Path, *arguments: Any, **more: Any) -> Any:
        if path == a:
            raise ValueError("unforeseen")
        return real(path, *arguments, **more)

    monkeypatch.setattr(try_adapter, "examine", fails)
    assert main(["lora", "try", str(a), str(b), "--json"]) == 99
    said = capsys.readouterr()
    first, second = json.loads(said.out)
    assert "this is a bug in sdcpp: ValueError: unforeseen" in first["error"]
    assert second["conclusion"].startswith("a LoRA")


def test_what_is_known_is_printed_when_the_command_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = (save(tmp_path / f"{name}.safetensors", pair()) for name in "ab")
    real = examine

    def interrupted(path: Path, *arguments: Any, **more: Any) -> Any:
        if path == b:
            raise KeyboardInterrupt
        return real(path, *arguments, **more)

    monkeypatch.setattr(try_adapter, "examine", interrupted)
    assert main(["lora", "try", str(a), str(b), "--json"]) == 130
    assert len(json.loads(capsys.readouterr().out)) == 1


def png() -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + bytes(40)


def onnx() -> bytes:
    """Return the beginning of an ONNX model as PyTorch writes it: ir_version 8, then the name of the producer."""
    return b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:\xf0\x01" + bytes(range(1, 200))


def zipped() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("style.safetensors", b"x")
    return content.getvalue()


#: The content of files that are no LoRA, and what the message says that they are.
FOREIGN: dict[str, tuple[bytes, str]] = {
    "page": (PAGE.encode(), "a web page (Sign in)"),
    "LFS": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 2284\n",
        "a Git LFS pointer to a file of 2284 bytes",
    ),
    "empty": (b"", "an empty file"),
    "JSON": (b'{"error": "Invalid credentials"}', "a JSON file: Invalid credentials"),
    "gzip": (gzip.compress(b"style"), "a gzip archive"),
    "PNG": (png(), "a PNG picture"),
    "zip": (zipped(), "a zip archive with style.safetensors in it"),
    "ONNX": (onnx(), "an ONNX model"),
    "pickle": (pickle.dumps({"a": 1}, protocol=2), "a pickle of Python"),
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("command", READING)
def test_a_file_that_is_no_lora_is_named(
    command: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, said = FOREIGN[name]
    for suffix in ("safetensors", "gguf", "ckpt"):
        path = tmp_path / f"file.{suffix}"
        path.write_bytes(content)
        status = run(command, path, tmp_path)
        shown = "".join(capsys.readouterr())
        assert said in shown, shown
        assert status == FileInvalid.exit_code
        assert "Traceback" not in shown
        assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("suffix", ["safetensors", "gguf", "ckpt"])
@pytest.mark.parametrize("command", READING)
def test_a_truncated_file_is_named(
    command: str, suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path / f"file.{suffix}", pair())
    path.write_bytes(path.read_bytes()[:-100])
    status = run(command, path, tmp_path)
    shown = "".join(capsys.readouterr())
    assert status == FileInvalid.exit_code
    assert str(path) in shown or path.name in shown
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("command", [c for c in READING if c not in ("extract", "extract base", "try model")])
def test_a_folder_is_named(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "folder.safetensors"
    path.mkdir()
    status = run(command, path, tmp_path)
    shown = "".join(capsys.readouterr())
    assert status == FileInvalid.exit_code, shown
    assert "folder" in shown.replace(path.name, "")


@pytest.mark.parametrize(
    "command",
    ["try", "convert", "inspect", "compare", "resize", "combine", "combine second", "table", "merge"],
)
def test_a_whole_model_is_named(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = flux(tmp_path / "whole.safetensors")
    status = run(command, model, tmp_path)
    shown = "".join(capsys.readouterr())
    assert "this is a model (FLUX.1), not an adapter" in shown
    assert status == (1 if command in ("try", "inspect") else 56)


#: A title for the window, a cleared screen, a line, a reversed direction of writing, markup of rich and of HTML.
HOSTILE = "\x1b]0;owned\x07\x1b[2J\n! ok\x9b\u202e[bold]<script>alert(1)</script>&"
#: What must not reach a terminal, a page or a program that reads JSON.
COMMANDS = {"\x1b", "\x07", "\x9b", "\u202e"}


def hostile_file(path: Path) -> Path:
    """Write a LoRA whose file name, tensor names and metadata are hostile."""
    arrays = pair(key=HOSTILE) | pair() | {HOSTILE: np.ones(2, np.float32)}
    specs = [Spec(name=name, shape=array.shape, kind="F32") for name, array in arrays.items()]
    metadata = {"a" + HOSTILE: MetadataValue(type="STRING", value=HOSTILE)}
    write_container(path, "safetensors", specs, metadata, lambda spec, _: [as_bytes(arrays[spec.name])])
    return path


@pytest.mark.parametrize("amount", [[], ["-v"], ["-q"], ["--json"]])
@pytest.mark.parametrize("command", READING)
def test_text_of_a_file_commands_nothing(
    command: str, amount: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = HOSTILE.replace("/", "_")
    path = hostile_file(tmp_path / f"{name}.safetensors")
    more = ["--plot", str(tmp_path / "a.svg")] if command == "compare" else []
    more += ["--force"] if command in ("convert", "combine") else []
    run(command, path, tmp_path, *amount, *more)
    said = capsys.readouterr()
    for text in said:
        assert not set(text) & COMMANDS
        assert not any(line.lstrip().startswith("! ok") for line in text.splitlines())
    if amount == ["--json"] and said.out:
        json.loads(said.out)
        assert said.out.isascii()
    if more and (tmp_path / "a.svg").exists():
        drawn = (tmp_path / "a.svg").read_text()
        assert not set(drawn) & COMMANDS
        assert "<script" not in drawn


@pytest.mark.parametrize("amount", [[], ["-v"], ["--json"]])
def test_text_of_a_log_and_of_a_file_commands_nothing_on_the_page_of_try(
    amount: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = trial(Verdict.WRONG, Verdict.PASS)
    tried = known.tried[0]
    hostile = replace(tried, comparison=replace(tried.comparison, evidence=HOSTILE), log=(HOSTILE,))
    said = replace(known, tried=(hostile,), no_reference=HOSTILE)
    broken = replace(known, tried=(), base_failure=HOSTILE)
    library = SimpleNamespace(folder=tmp_path, record={"revision": "2026-05"})
    trials = iter([said, broken])
    monkeypatch.setattr(try_adapter, "builds", lambda *_: [library, library])
    monkeypatch.setattr(try_adapter, "try_adapter", lambda *_, **__: next(trials))
    path = tmp_path / f"{HOSTILE.replace('/', '_')}.safetensors"
    save(path, lora_tensors(path), metadata={"a" + HOSTILE: HOSTILE})
    words = ["lora", "try", str(path), "-m", str(flux(tmp_path / "m.safetensors")), "--prompt", HOSTILE]
    assert main([*words, "--revision", "2026-05", "--output", str(tmp_path / "out"), *amount]) == 1
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    shown = capsys.readouterr()
    for each in (page, shown.out, shown.err):
        assert not set(each) & COMMANDS
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    # The lines of a log are indented more than those of this project.
    assert not re.search(r"^ {0,5}! ok", shown.out, re.MULTILINE)


def lora_tensors(folder: Path) -> Arrays:
    """Return the tensors of a LoRA for the model of ``flux``, and one with a hostile name."""
    known = read_tensors(lora(folder.with_name("known.safetensors"))).tensors
    arrays: Arrays = {name: tensor.values().reshape(tensor.shape) for name, tensor in known.items()}
    return arrays | {HOSTILE: np.ones(2, np.float32)}


@pytest.fixture(autouse=True)
def _no_files_left(tmp_path: Path) -> Iterator[None]:
    """Check that no temporary file is left beside the files of a command."""
    yield
    assert not list(tmp_path.rglob("*.partial"))
    assert not list(tmp_path.rglob(".sdcpp-*"))


def test_the_parts_of_a_text_are_printed_as_they_come(capsys: pytest.CaptureFixture[str]) -> None:
    printed = []

    def parts() -> Iterator[str]:
        yield "first"
        printed.append(capsys.readouterr().out)
        yield "second"

    result = several.Result(data=list, text=parts)
    assert several.run_each([Path("a")], Path, lambda _: result, argparse.Namespace(json=False)) == 0
    assert printed == ["first\n"]
    assert capsys.readouterr().out == "second\n"
