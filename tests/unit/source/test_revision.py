from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from sdcpp.errors import RevisionsInvalid, SourceInvalid, UnknownRevision
from sdcpp.source import revision
from tests.unit import git_repositories

GOOD = """
[2025-12]
package = "small-upstream"
version = "1.0"
sha256 = "{sha}"
folder = "vendor/stable-diffusion.cpp"
date = 2025-12-07
lora_api = "B"

[branch]
git = "https://example.org/upstream.git"
commit = "{commit}"
""".format(sha="a" * 64, commit="b" * 40)


def load(tmp_path: Path, text: str) -> dict[str, revision.Revision]:
    path = tmp_path / "revisions.toml"
    path.write_text(text, encoding="utf-8")
    return revision.load(path)


def test_the_projects_own_file() -> None:
    known = revision.load()
    old, new = known["2025-12"], known["2026-05"]
    assert (old.lora_api, new.lora_api) == ("B", "C")
    assert old.origin == revision.Sdist(
        package="stable-diffusion-cpp-python",
        version="0.4.1",
        sha256="121e2024fb2d34e31b3ae7e11476c72f6aeec9fa75a3578f3f11746bac6f9f51",
        folder="vendor/stable-diffusion.cpp",
    )
    assert isinstance(new.origin, revision.Sdist)
    assert new.origin.filename == "stable_diffusion_cpp_python-0.4.7.tar.gz"
    for entry in known.values():
        assert bool(entry.commit) != bool(entry.fork_of)
        assert entry.tag is None or (entry.commit or "")[:7] in entry.tag


def test_every_sdist_of_the_registry_is_named_once_and_found_by_its_version() -> None:
    known = revision.load()
    own = {n: r.origin for n, r in known.items() if r.fork_of is None}
    sdists = {n: origin for n, origin in own.items() if isinstance(origin, revision.Sdist)}
    assert len({origin.version for origin in sdists.values()}) == len(sdists) == 37
    assert len({origin.sha256 for origin in sdists.values()}) == 37
    dates = [known[name].date or "" for name in sdists]
    assert dates == sorted(dates)
    assert all(revision.find(origin.version).name == name for name, origin in sdists.items())


def test_an_option_has_the_name_that_the_revision_knows_it_by() -> None:
    wanted = {"SD_CUDA": "ON", "SD_VULKAN": "ON"}
    assert revision.find("0.2.2").options(wanted) == {"SD_CUBLAS": "ON"}
    assert revision.find("0.2.3").options(wanted) == {}


FORK = f"""
[fork]
package = "their-fork"
version = "1.0"
sha256 = "{"c" * 64}"
folder = "vendor/theirs"
fork_of = "{"d" * 40}"
target = "theirs"
ggml = "kernels"
program = "cli/their-program"
lacks = {{ ckpt = "they removed it" }}
"""


def test_a_fork_is_a_record_with_its_own_layout(tmp_path: Path) -> None:
    known = load(tmp_path, GOOD + FORK)
    fork, upstream = known["fork"], known["2025-12"]
    assert (fork.target, fork.ggml, fork.program_name) == ("theirs", "kernels", "their-program")
    assert (upstream.target, upstream.ggml, upstream.program_name) == ("stable-diffusion", "ggml", "")
    assert dict(fork.lacks) == {"ckpt": "they removed it"}
    assert (fork.commit, upstream.lacks) == (None, ())
    assert fork.title == "their-fork 1.0, a fork of upstream as of dddddddd"
    assert known["branch"].title == f"upstream {'b' * 40}"
    # Another package may have the same version.
    assert revision.find("1.0", tmp_path / "revisions.toml") == upstream


def test_the_projects_own_fork_says_what_it_is() -> None:
    fork = revision.find("2026-07")
    assert fork.title == "gguf-diffusion 0.0.8, a fork of upstream as of 45714b10"
    assert set(dict(fork.lacks)) == {"ckpt", "convert", "free_params_immediately"}
    assert fork.options({"SD_BUILD_EXAMPLES": "OFF"}) == {"SD_BUILD_CLI": "OFF"}


def test_both_origins(tmp_path: Path) -> None:
    known = load(tmp_path, GOOD)
    assert list(known) == ["2025-12", "branch"]
    assert known["2025-12"].date == "2025-12-07"
    assert known["2025-12"].commit is None
    assert known["branch"].origin == revision.Git(url="https://example.org/upstream.git", commit="b" * 40)
    assert known["branch"].commit == "b" * 40


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (f'sha256 = "{"a" * 64}"\n', "", "2025-12: sha256 is missing"),
        (f'sha256 = "{"a" * 64}"', 'sha256 = "abc"', "2025-12: sha256 must be 64"),
        (f'sha256 = "{"a" * 64}"', "sha256 = 5", "2025-12: sha256 must be a string"),
        (f'commit = "{"b" * 40}"', "", "branch: git without commit"),
        (f'commit = "{"b" * 40}"', 'commit = "main"', "branch: commit must be all 40"),
        (f'commit = "{"b" * 40}"', f'commit = "{"b" * 39}"', "branch: commit must be all 40"),
        ("[branch]", '[branch]\nversion = "1"', "branch: version belongs to an sdist"),
        ('version = "1.0"\n', "", "2025-12: version is missing"),
        ('"vendor/stable-diffusion.cpp"', '"../elsewhere"', "2025-12: folder must stay inside"),
        ('"vendor/stable-diffusion.cpp"', '"/elsewhere"', "2025-12: folder must stay inside"),
        ('lora_api = "B"', 'lora_api = "D"', "2025-12: lora_api must be one of A, B, C"),
        ('lora_api = "B"', 'evidence = "sure"', "2025-12: evidence must be one of exact, metadata, inferred"),
        ('lora_api = "B"', 'renamed = "x"', "2025-12: renamed must be a table of names"),
        ('lora_api = "B"', "target = 1", "2025-12: target must be a string"),
        ('lora_api = "B"', 'ggml = "../ggml"', "2025-12: ggml must stay inside the source tree"),
        ('lora_api = "B"', 'program = "/bin/sd"', "2025-12: program must stay inside the source tree"),
        ('lora_api = "B"', 'fork_of = "main"', "2025-12: fork_of must be all 40"),
        ('lora_api = "B"', 'lacks = "ckpt"', "2025-12: lacks must be a table of reasons"),
        ('lora_api = "B"', 'lacks = { ckpt = "" }', "2025-12: lacks must be a table of reasons"),
        ('lora_api = "B"', 'lacks = { vae = "x" }', "enable_mmap, free_params_immediately, not vae"),
        ("date = 2025-12-07", 'date = "lately"', "2025-12: date must be a date"),
        ('lora_api = "B"', 'lora = "B"', "2025-12: unknown field lora"),
        ("[branch]", '["a branch/x"]', "a branch/x: its name may have"),
        ("[2025-12]", "text = 'x'\n[2025-12]", "text: is not a table"),
    ],
)  # fmt: skip
def test_an_entry_that_cannot_be_used_is_refused(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(RevisionsInvalid) as caught:
        load(tmp_path, GOOD.replace(old, new))
    assert complaint in str(caught.value)


def test_all_complaints_come_at_once(tmp_path: Path) -> None:
    text = GOOD.replace('"B"', '"Z"').replace("a" * 64, "short").replace("b" * 40, "main")
    with pytest.raises(RevisionsInvalid) as caught:
        load(tmp_path, text)
    assert all(word in str(caught.value) for word in ("lora_api", "sha256", "branch: commit"))


def test_a_file_that_is_no_toml_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(RevisionsInvalid, match="cannot be read"):
        load(tmp_path, "[unclosed")
    with pytest.raises(RevisionsInvalid, match="cannot be read"):
        revision.load(tmp_path / "absent.toml")


def test_an_unknown_name_is_met_with_the_known_ones() -> None:
    assert revision.find("2025-12").name == "2025-12"
    with pytest.raises(UnknownRevision) as caught:
        revision.find("2025-11")
    assert "did you mean 2025-12" in str(caught.value)
    assert "2026-05" in str(caught.value)
    with pytest.raises(UnknownRevision) as caught:
        revision.find("master")
    assert "did you mean" not in str(caught.value)


def test_a_folder_has_a_commit_if_it_is_a_checkout_itself(tmp_path: Path) -> None:
    commit = git_repositories.repository(tmp_path / "checkout")
    git_repositories.write(tmp_path / "checkout" / "nested")
    git_repositories.write(tmp_path / "plain")
    found = revision.from_folder(tmp_path / "checkout")
    assert (found.name, found.commit, found.lora_api) == ("local", commit, None)
    assert found.origin == revision.Folder(path=tmp_path / "checkout")
    assert revision.from_folder(tmp_path / "checkout" / "nested").commit is None
    assert revision.from_folder(tmp_path / "plain").commit is None
    git_repositories.git(tmp_path / "plain", "init")
    assert revision.from_folder(tmp_path / "plain").commit is None
    with pytest.raises(SourceInvalid, match="no such folder"):
        revision.from_folder(tmp_path / "absent")


def test_a_path_that_no_folder_can_have_is_refused(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for path in (tmp_path / ("long" * 100), loop, Path("~no-such-user-here/checkout")):
        with pytest.raises(SourceInvalid, match="folder cannot be read"):
            revision.from_folder(path)
    (tmp_path / "file").touch()
    with pytest.raises(SourceInvalid, match="no such folder"):
        revision.from_folder(tmp_path / "file")


def test_a_git_revision_needs_a_whole_commit() -> None:
    found = revision.from_git("https://example.org/x.git", "c" * 40)
    assert (found.name, found.commit) == ("git-cccccccccc", "c" * 40)
    with pytest.raises(SourceInvalid, match="not a full commit id: main"):
        revision.from_git("https://example.org/x.git", "main")


@pytest.mark.parametrize(
    ("header", "generation"),
    [
        ("bool lora(const char* lora_model_dir);", "A"),
        ("enum lora_apply_mode_t lora_apply_mode;", "B"),
        ("enum lora_apply_mode_t lora_apply_mode; typedef struct { float multiplier; } sd_lora_t;", "C"),
        ("typedef struct {} sd_lora_type;", "A"),
    ],
)
def test_the_generation_shows_in_the_header(header: str, generation: str) -> None:
    assert revision.generation(header) == generation


def test_revisions_are_values() -> None:
    known = revision.find("2025-12")
    assert known == revision.find("2025-12")
    with pytest.raises(dataclasses.FrozenInstanceError):
        known.name = "other"  # type: ignore[misc]
