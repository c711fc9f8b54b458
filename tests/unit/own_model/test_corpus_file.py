from __future__ import annotations

from pathlib import Path

import pytest

from harness.judging import expectation
from harness.own_model import corpus_file
from harness.own_model.corpus_values import Wanted
from harness.records.verdict import Verdict
from sdcpp import project
from sdcpp.errors import FileInvalid

MODELS = """
[defaults]
steps = 4
prompt = "a cat"
[[model]]
name = "sd15"
files = { model = "sd15.safetensors", vae = { sha256 = "0123456789" } }
size = "512x768"
[[model]]
name = "sdxl"
files = { model = { path = "sdxl.gguf", sha256 = "ABCDEF0123" } }
steps = 8
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "corpus.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_case_has_its_own_settings_then_those_of_the_model_then_the_defaults(tmp_path: Path) -> None:
    cases = '[[case]]\nname = "a"\nadapter = "a.gguf"\nmodel = ["sd15", "sdxl"]\nseed = [1, 2]\n'
    found = corpus_file.read(written(tmp_path, MODELS + cases)).entries
    assert [(each.model.name, each.name, each.settings["seed"]) for each in found] == [
        ("sd15", "a-seed1", 1),
        ("sd15", "a-seed2", 2),
        ("sdxl", "a-seed1", 1),
        ("sdxl", "a-seed2", 2),
    ]
    assert [each.settings["steps"] for each in found] == [4, 4, 8, 8]
    assert [each.size for each in found] == [(512, 768)] * 2 + [(256, 256)] * 2
    assert {each.settings["prompt"] for each in found} == {"a cat"}
    assert found[0].model.files == {
        "model": Wanted(path="sd15.safetensors"),
        "vae": Wanted(sha256="0123456789"),
    }
    assert found[2].model.files["model"] == Wanted(path="sdxl.gguf", sha256="abcdef0123")


def test_lists_of_texts_and_sizes_in_names(tmp_path: Path) -> None:
    cases = '[[case]]\nname = "a"\nmodel = "sd15"\nadapter = "a"\nsize = ["64x64", "64x96"]\nprompt = ["x", "y"]\n'
    names = [each.name for each in corpus_file.read(written(tmp_path, MODELS + cases)).entries]
    assert names == ["a-prompt1-64x64", "a-prompt1-64x96", "a-prompt2-64x64", "a-prompt2-64x96"]


def test_what_is_expected(tmp_path: Path) -> None:
    cases = """
[[case]]
name = "a"
model = "sd15"
adapter = "a"
expect = ["NO_EFFECT", "WRONG"]
reason = "it is old"
[[case]]
name = "a-b"
model = "sd15"
adapter = "b"
[[expectation]]
revisions = ["2026-05"]
cases = ["a-b"]
verdict = "ABORT"
reason = "a known defect"
"""
    expected = corpus_file.read(written(tmp_path, MODELS + cases)).expected

    def of(case: str, revision: str) -> tuple[Verdict, ...]:
        found = expectation.first_match(
            expected, patches=(), dimensions={}, revision=revision, backend="cpu", case=case
        )
        return tuple(found.verdicts) if found else ()

    assert of("a", "2026-07") == (Verdict.NO_EFFECT, Verdict.WRONG)
    assert of("a-b", "2026-05") == (Verdict.ABORT,)
    assert of("a-b", "2026-07") == ()


CASE = '[[case]]\nname = "a"\nmodel = "sd15"\nadapter = "a"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = [", "no corpus"),
        ("", r"it needs tables \[\[model\]\]"),
        ("models = 1", "unknown key 'models'; did you mean model?"),
        (MODELS, r"it needs tables \[\[case\]\]"),
        (MODELS.replace('"sdxl"', '"sd15"') + CASE, "two models are called sd15"),
        (MODELS + CASE + CASE, "two cases with the model sd15 are called a"),
        (MODELS + CASE + "sed = 1", "the case a has an unknown key 'sed'; did you mean seed"),
        (MODELS + CASE + 'seed = "1"', "the case a: seed = '1' is no int"),
        (MODELS + CASE + "seed = []", r"the case a: seed = \[\] is no int"),
        (MODELS + CASE + "steps = 0", "steps = 0 is less than 1"),
        (MODELS + CASE + 'size = "64"', "the size '64' is not WIDTHxHEIGHT"),
        (MODELS + CASE + 'modes = "never"', "the case a: modes: 'never' is not one of immediately"),
        (MODELS + CASE + 'expect = "GOOD"', "the case a: expect: 'GOOD' is not one of PASS"),
        (MODELS + CASE + 'picture_sha256 = "12"', "is not a SHA-256 of 64"),
        (MODELS + CASE + 'tolerance = "x"', "tolerance = 'x' is no number"),
        (MODELS + CASE.replace('"sd15"', '"sd"'), "the case a: model: 'sd' is not one of sd15, sdxl"),
        (MODELS + CASE.replace('model = "sd15"\n', ""), "the case a names no model of sd15"),
        (MODELS + CASE.replace('"a"\nmodel', '"a/b"\nmodel'), "the name 'a/b' of a case is not a word"),
        (MODELS + CASE.replace('adapter = "a"', 'adapter = { sha256 = "12" }'), "'12' is no SHA-256"),
        (MODELS + CASE.replace('adapter = "a"', "adapter = 3"), "the case a: adapter is neither a path"),
        ("defaults = 3\n" + CASE, r"it needs tables \[\[model\]\]"),
        ("folders = [1]\n" + MODELS + CASE, "folders is not a list of texts"),
        (
            MODELS.replace("vae =", "vea ="),
            r"the model sd15: files has an unknown key 'vea'; did you mean vae",
        ),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str, tmp_path: Path) -> None:
    if "vea" in text:
        text += CASE
    with pytest.raises(FileInvalid, match=said):
        corpus_file.read(written(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileInvalid, match=r"no corpus .*No such file"):
        corpus_file.read(tmp_path / "corpus.toml")


def test_the_example_of_the_documentation_is_a_corpus(tmp_path: Path) -> None:
    page = (project.ROOT / "docs" / "corpus.md").read_text(encoding="utf-8")
    text = page.partition("```toml\n")[2].partition("```")[0]
    found = corpus_file.read(written(tmp_path, text))
    assert [entry.name for entry in found.entries] == [
        "detail-seed1",
        "detail-seed2",
        "detail-seed3",
        "style-q8",
        "style-q8",
        "old-trainer",
    ]
    assert len(found.expected) == 2
    keys = {key for key in corpus_file.KEYS if f"`{key}`" not in page}
    assert not keys
