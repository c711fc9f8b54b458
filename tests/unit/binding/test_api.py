from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdcpp.binding import api, library
from sdcpp.binding.api import (
    Context,
    Generation,
    GenerationFailed,
    Lora,
    ModelFiles,
    backend_in_use,
    generation_b,
    lora_tags,
)
from sdcpp.binding.build_folder import Build
from sdcpp.binding.declarations import Field, Scalar
from sdcpp.binding.ggml import GgmlDevice
from sdcpp.binding.library import LogLine
from sdcpp.errors import BackendMismatch, FileInvalid, HeaderUnsupported
from tests.unit import fakelib

Fakes = Callable[..., Build]
PICTURE = Generation(prompt="a cat", width=8, height=4, steps=3, seed=42)


@pytest.fixture(params=list(fakelib.FAKES))
def any_bound(request: pytest.FixtureRequest, fake_build: Fakes) -> Any:
    return api.bind(library.load(fake_build(request.param)))


@pytest.fixture(params=["B", "C"])
def bound(request: pytest.FixtureRequest, fake_build: Fakes) -> Any:
    return api.bind(library.load(fake_build(request.param)))


@pytest.fixture
def opening(any_bound: Any, model: Path, tmp_path: Path) -> Callable[[], Any]:
    return lambda: any_bound.open(ModelFiles(model=model), mode="auto", threads=2, lora_dir=tmp_path)


@pytest.fixture
def context(opening: Callable[[], Any]) -> Any:
    with opening() as opened:
        yield opened


def brightness(context: Context, *loras: Lora) -> float:
    picture = context.generate(Generation(prompt="a cat", width=8, height=4, steps=1, seed=1, loras=loras))
    assert len(picture.data) == picture.width * picture.height * picture.channels
    return sum(picture.data) / len(picture.data)


def test_the_header_chooses_the_generation(fake_build: Fakes) -> None:
    for name in fakelib.FAKES:
        loaded = library.load(fake_build(name))
        assert api.bind(loaded).generation == api.name_generation(loaded.header) == name[0]


def test_an_unknown_generation_is_refused(fake_build: Fakes) -> None:
    loaded = library.load(fake_build("C"))
    del loaded.header.structs["sd_img_gen_params_t"]  # type: ignore[attr-defined]
    with pytest.raises(HeaderUnsupported, match="unknown generation"):
        api.bind(loaded)


def test_the_modes_are_the_headers(any_bound: Any) -> None:
    choice = ("auto", "immediately", "at_runtime")
    assert any_bound.modes == (("immediately",) if any_bound.generation == "A" else choice)


def test_a_revision_with_one_mode_refuses_the_other(fake_build: Fakes, model: Path, tmp_path: Path) -> None:
    for name in ("A", "A-positional"):
        bound = api.bind(library.load(fake_build(name)))
        bound.open(ModelFiles(model=model), mode="immediately", threads=1, lora_dir=tmp_path).close()
        with pytest.raises(HeaderUnsupported, match="no such LoRA apply mode: at_runtime"):
            bound.open(ModelFiles(model=model), mode="at_runtime", threads=1, lora_dir=tmp_path)


def test_an_argument_that_nobody_knows_is_refused_not_guessed(
    fake_build: Fakes, model: Path, tmp_path: Path
) -> None:
    loaded = library.load(fake_build("A-positional"))
    function = loaded.header.functions["txt2img"]
    more = Field(name="something_new", type=Scalar(name="int"))
    loaded.header.functions["txt2img"] = replace(function, arguments=(*function.arguments, more))  # type: ignore[index]
    context = api.bind(loaded).open(ModelFiles(model=model), mode="auto", threads=1, lora_dir=tmp_path)
    with pytest.raises(HeaderUnsupported, match="something_new"):
        context.generate(PICTURE)
    with pytest.raises(HeaderUnsupported, match="no argument: clip_l_path"):
        api.bind(loaded).open(
            ModelFiles(model=model, clip_l=model), mode="auto", threads=1, lora_dir=tmp_path
        )


def test_a_picture_has_its_size_and_depends_on_the_seed(context: Context) -> None:
    first = context.generate(PICTURE)
    assert (first.width, first.height, first.channels, len(first.data)) == (8, 4, 3, 96)
    assert context.generate(PICTURE) == first
    other = Generation(prompt="a cat", width=8, height=4, steps=3, seed=43)
    assert context.generate(other).data != first.data


def test_adapters_have_their_effect_by_multiplier(context: Context, tmp_path: Path) -> None:
    one, two = tmp_path / "one.safetensors", tmp_path / "sub" / "two.ckpt"
    two.parent.mkdir()
    one.touch()
    two.touch()
    without = brightness(context)
    assert brightness(context, Lora(path=one, multiplier=1.0)) - without == pytest.approx(16)
    assert brightness(context, Lora(path=one, multiplier=-0.5)) - without == pytest.approx(-8)
    both = (Lora(path=one, multiplier=1.0), Lora(path=two, multiplier=2.0))
    assert brightness(context, *both) - without == pytest.approx(48)
    assert brightness(context) == without


def test_a_gguf_adapter_is_found_by_path_but_not_by_name(
    context: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    adapter = tmp_path / "x.gguf"
    adapter.touch()
    effect = brightness(context, Lora(path=adapter)) - brightness(context)
    assert effect == pytest.approx(16 if context.api.generation == "C" else 0)
    monkeypatch.setenv("FAKE_GGUF", "1")
    assert brightness(context, Lora(path=adapter)) - brightness(context) == pytest.approx(16)


def test_generation_b_gives_the_library_the_prompt_back_as_it_was(fake_build: Fakes, tmp_path: Path) -> None:
    bound = api.bind(library.load(fake_build("B")))
    assert isinstance(bound, generation_b.GenerationB)
    lora = Lora(path=tmp_path / "x.gguf", multiplier=-0.1)
    params, _ = bound.image_params(
        Generation(prompt="ä cat", width=8, height=8, steps=1, seed=1, loras=(lora,)), tmp_path
    )
    assert params.prompt.decode() == "ä cat<lora:x:-0.1>"


def test_defaults_and_settings_of_the_context(bound: Any, model: Path, tmp_path: Path) -> None:
    options = {"diffusion_flash_attn": True}
    params = bound.context_params(
        ModelFiles(diffusion_model=model), mode="at_runtime", threads=7, lora_dir=tmp_path, options=options
    )
    assert params.diffusion_model_path == str(model).encode()
    assert (params.n_threads, params.lora_apply_mode) == (7, 2)
    assert (params.free_params_immediately, params.vae_decode_only, params.diffusion_flash_attn) == (
        False,
        True,
        True,
    )
    enum = {"lora_apply_mode": "LORA_APPLY_IMMEDIATELY"}
    params = bound.context_params(ModelFiles(), mode="auto", threads=1, lora_dir=tmp_path, options=enum)
    assert params.lora_apply_mode == 1


def test_image_parameters_take_enumerators_from_the_header(bound: Any, tmp_path: Path) -> None:
    params, _ = bound.image_params(PICTURE, tmp_path)
    sample = params.sample_params
    assert (sample.sample_method, sample.scheduler, sample.sample_steps) == (5, 1, 3)
    assert (params.seed, params.batch_count, sample.guidance.txt_cfg) == (42, 1, 1.0)


def test_what_the_header_lacks_is_named(bound: Any, model: Path, tmp_path: Path) -> None:
    files = ModelFiles(model=model)
    with pytest.raises(HeaderUnsupported, match="sometimes"):
        bound.open(files, mode="sometimes", threads=1, lora_dir=tmp_path)
    with pytest.raises(HeaderUnsupported, match="max_vram"):
        bound.open(files, mode="auto", threads=1, lora_dir=tmp_path, options={"max_vram": 1.0})


def test_a_missing_model_is_refused_with_the_librarys_words(bound: Any, tmp_path: Path) -> None:
    with pytest.raises(
        GenerationFailed, match=r"new_sd_ctx returned nothing\n.*file not found: .*nowhere.gguf"
    ):
        bound.open(ModelFiles(model=tmp_path / "nowhere.gguf"), mode="auto", threads=1, lora_dir=tmp_path)


def test_null_is_a_refusal(bound: Any, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with bound.open(ModelFiles(model=model), mode="auto", threads=1, lora_dir=tmp_path) as context:
        monkeypatch.setenv("FAKE_NULL", "generate")
        with pytest.raises(GenerationFailed, match="generate_image") as caught:
            context.generate(PICTURE)
        assert caught.value.call == "generate_image"
        assert any("told to refuse" in line for line in caught.value.log)
    monkeypatch.setenv("FAKE_NULL", "open")
    with pytest.raises(GenerationFailed, match="new_sd_ctx"):
        bound.open(ModelFiles(model=model), mode="auto", threads=1, lora_dir=tmp_path)


def test_trouble_can_be_bound_to_one_adapter(context: Context, tmp_path: Path, monkeypatch: Any) -> None:
    bad, good = tmp_path / "bad.safetensors", tmp_path / "good.safetensors"
    bad.touch()
    good.touch()
    monkeypatch.setenv("FAKE_NULL", "bad.")
    with pytest.raises(GenerationFailed):
        brightness(context, Lora(path=bad))
    assert brightness(context, Lora(path=good)) > brightness(context)


def test_the_fake_dies_as_the_library_does(fake_build: Fakes, model: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from sdcpp.binding import api, build_folder, library\n"
        "bound = api.bind(library.load(build_folder.read(Path(sys.argv[1]))))\n"
        "os.environ['FAKE_ABORT'] = 'generate'\n"
        "files = api.ModelFiles(model=Path(sys.argv[2]))\n"
        "context = bound.open(files, mode='auto', threads=1, lora_dir=Path('.'))\n"
        "context.generate(api.Generation(prompt='', width=8, height=8, steps=1, seed=1))\n"
    )
    argv: list[str | Path] = [sys.executable, "-c", program, fake_build("C").folder, model]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert done.returncode < 0
    assert "GGML_ASSERT(src1->type == GGML_TYPE_F32) failed" in done.stderr


def test_a_watchers_exception_comes_after_the_picture_was_freed(context: Any) -> None:
    steps: list[int] = []

    def watch(step: int, _steps: int, _seconds: float) -> None:
        steps.append(step)
        if step == 2:
            raise RuntimeError("watcher")

    context.api.library.watchers.append(watch)
    with pytest.raises(RuntimeError, match="watcher"):
        context.generate(PICTURE)
    assert steps == [1, 2, 3]
    context.api.library.watchers.clear()
    assert context.generate(PICTURE)


def test_closing_twice_is_harmless(bound: Any, model: Path, tmp_path: Path) -> None:
    context = bound.open(ModelFiles(model=model), mode="auto", threads=1, lora_dir=tmp_path)
    context.close()
    context.close()


# -- naming an adapter in the prompt


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_a_multiplier_survives_the_prompt(multiplier: float) -> None:
    folder = Path("loras")
    words = lora_tags.lora_tag(Lora(path=folder / "x.gguf", multiplier=multiplier), folder)
    name, text = words.removeprefix("<lora:").removesuffix(">").split(":")
    assert name == "x"
    assert ctypes_float(text) == multiplier
    assert "," not in text


def ctypes_float(text: str) -> float:
    import ctypes

    return ctypes.c_float(float(text)).value


def test_an_adapter_elsewhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileInvalid, match="outside of the context's LoRA folder"):
        lora_tags.lora_tag(Lora(path=tmp_path / "elsewhere" / "x.gguf"), tmp_path / "loras")


@pytest.mark.parametrize("name", ["a:b.gguf", "a>b.gguf"])
def test_a_name_that_breaks_the_prompt_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileInvalid, match="a name that a prompt cannot contain"):
        lora_tags.lora_tag(Lora(path=tmp_path / name), tmp_path)


def test_a_file_that_another_one_hides_is_refused(tmp_path: Path) -> None:
    for suffix in ("safetensors", "gguf"):
        (tmp_path / f"x.{suffix}").touch()
    assert lora_tags.lora_tag(Lora(path=tmp_path / "x.safetensors"), tmp_path) == "<lora:x:1>"
    with pytest.raises(FileInvalid, match=r"would load x.safetensors instead of"):
        lora_tags.lora_tag(Lora(path=tmp_path / "x.gguf"), tmp_path)


# -- which backend


def line(text: str) -> LogLine:
    return LogLine(level="debug", text=f"stable-diffusion.cpp:190  - {text}")


def memory(where: str) -> LogLine:
    return line(
        "total params memory size = 3.50MB (VRAM 1.00MB, RAM 2.50MB): text_encoders 1.00MB(RAM), "
        f"diffusion_model 2.00MB({where}), vae 0.50MB(RAM), controlnet 0.00MB(VRAM), pmid 0.00MB(RAM)"
    )


CPU = GgmlDevice(name="CPU", description="Xeon", kind="cpu", registry="CPU")
CUDA = GgmlDevice(name="CUDA0", description="H200", kind="gpu", registry="CUDA")
VULKAN = GgmlDevice(name="Vulkan0", description="llvmpipe", kind="gpu", registry="Vulkan")
METAL = GgmlDevice(name="MTL0", description="M4", kind="gpu", registry="MTL")
USING_CPU, USING_CUDA, USING_VULKAN = (line(f"Using {name} backend") for name in ("CPU", "CUDA", "Vulkan"))


@pytest.mark.parametrize(
    ("lines", "devices", "backend"),
    [
        ([USING_CPU, memory("RAM")], [], "cpu"),
        ([USING_CPU, memory("RAM")], [CPU], "cpu"),
        ([USING_CUDA, memory("VRAM")], [], "cuda"),
        # upstream's silent fallback: it says Vulkan before it tries
        ([USING_VULKAN, USING_CPU, memory("RAM")], [VULKAN, CPU], "cpu"),
        # newer revisions name the CPU only
        ([memory("VRAM")], [CUDA, CPU], "cuda"),
        ([memory("VRAM")], [METAL, CPU], "metal"),
        ([memory("RAM")], [CUDA, CPU], "cpu"),
        # one part of the model on the CPU says nothing of the rest
        ([USING_CUDA, line("CLIP: Using CPU backend"), memory("VRAM")], [CUDA, CPU], "cuda"),
        # contradictions
        ([USING_CPU, memory("VRAM")], [CUDA, CPU], "unknown"),
        ([USING_CUDA, memory("VRAM")], [CPU], "unknown"),
        ([USING_CUDA, memory("RAM")], [CUDA, CPU], "unknown"),
        ([memory("VRAM")], [CUDA, VULKAN, CPU], "unknown"),
        ([memory("VRAM")], [], "unknown"),
        ([], [CPU], "unknown"),
    ],
)
def test_the_backend_is_read_from_the_log(
    lines: list[LogLine], devices: list[GgmlDevice], backend: str
) -> None:
    found, said = backend_in_use.backend_in_use(lines, devices)
    assert found == backend
    assert all(device.name in said for device in devices)


@pytest.mark.parametrize(
    ("log", "devices", "found"),
    [("CPU", "CPU", "cpu"), ("CUDA", "CUDA0", "cuda"), ("CUDA", "CPU", "unknown")],
)
def test_a_library_that_runs_elsewhere_is_caught(
    opening: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, log: str, devices: str, found: str
) -> None:
    monkeypatch.setenv("FAKE_BACKEND", log)
    monkeypatch.setenv("FAKE_DEVICES", devices)
    context = opening()
    assert context.backend == found
    for expected in ("cpu", "cuda", "vulkan"):
        if expected == found:
            api.check_backend(expected, context)
        else:
            with pytest.raises(BackendMismatch, match=f"asked for {expected}, the library runs on {found}"):
                api.check_backend(expected, context)
