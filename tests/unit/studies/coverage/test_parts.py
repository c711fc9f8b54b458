from __future__ import annotations

import pytest

from harness.studies.coverage import parts
from harness.studies.coverage.parts import PARTS, Part, Source, part_of, plain_name

STRING = "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >"


@pytest.mark.parametrize(
    ("demangled", "name"),
    [
        (
            f"LoraModel::get_fused_name({STRING}, std::map<{STRING}, ggml_tensor*> const&)",
            "LoraModel::get_fused_name",
        ),
        ("bool LoraModel::is_for_one_of<std::set<int> >(std::set<int> const&)", "LoraModel::is_for_one_of"),
        (f"convert_sep_to_dot[abi:cxx11]({STRING})", "convert_sep_to_dot"),
        ("(anonymous namespace)::read(int)", "read"),
        ("LoraModel::stat(bool)::{lambda(int)#1}::operator()(int) const", "LoraModel::stat"),
        ("LoraModel::~LoraModel()", "LoraModel::~LoraModel"),
        ("main", "main"),
        ("", ""),
    ],
)
def test_a_name_has_no_arguments_and_no_types(demangled: str, name: str) -> None:
    assert plain_name(demangled) == name


def name_of(file: str, function: str, text: str = "x = 1;") -> str | None:
    part = part_of(file, function, text)
    return part.name if part else None


@pytest.mark.parametrize("file", ["src/lora.hpp", "src/model/adapter/lora.hpp"])
def test_the_adapter_code_belongs_to_one_part_in_both_layouts(file: str) -> None:
    assert name_of(file, "LoraModel::apply") == "adapter"


def test_a_line_belongs_to_the_first_part_that_has_its_function() -> None:
    assert name_of("src/name_conversion.cpp", "convert_sep_to_dot") == "names of adapters"
    assert name_of("src/name_conversion.cpp", "convert_pmid_name") == "names of models"
    assert name_of("src/upscaler.cpp", "convert_sep_to_dot") is None


def test_of_a_long_function_only_lines_with_certain_words_belong_to_a_part() -> None:
    function = "StableDiffusionGGML::init"
    assert (
        name_of("src/stable-diffusion.cpp", function, "apply_lora_immediately = true;") == "use of adapters"
    )
    assert name_of("src/stable-diffusion.cpp", function, "load_weights();") is None


def test_writers_are_not_readers() -> None:
    assert name_of("src/model_io/safetensors_io.cpp", "read_safetensors_file") == "safetensors reader"
    assert name_of("src/model_io/safetensors_io.cpp", "write_safetensors_file") is None


def test_every_file_is_named_once() -> None:
    found = parts.files()
    assert len(found) == len(set(found))
    source = Source(files=("a", "b"))
    assert parts.files([Part(name="p", sources=(source, source))]) == ["a", "b"]
    assert len({part.name for part in PARTS}) == len(PARTS)
