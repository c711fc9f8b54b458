"""The parts of upstream's LoRA path: which functions of which source files belong to each.

To add a function, add a wildcard to the part of its file. A file is named once for each layout of the source tree:
upstream's of 2026-05, and that of 2026-07, which has folders below ``src``. A file that a revision lacks is skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

#: Template arguments without further ones inside, and what GCC adds to names of functions that return std::string.
_ARGUMENTS = re.compile(r"<[^<>]*>|\[abi:\w+\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """The percentages of lines and of branches that the cases should run."""

    lines: float
    branches: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Functions of a file that has one of the paths ``files``.

    ``functions`` are shell wildcards for names without arguments and return type, such as "LoraModel::apply*".
    ``but`` are wildcards of functions that do not belong to the part. With ``words``, a regular expression, only lines
    that contain it count; that is for long functions that also do something else.
    """

    files: Sequence[str]
    functions: Sequence[str] = ("*",)
    but: Sequence[str] = ()
    words: str = ""

    def has(self, file: str, function: str, text: str) -> bool:
        """Return whether a line of a function belongs here."""
        return (
            file in self.files
            and any(fnmatchcase(function, pattern) for pattern in self.functions)
            and not any(fnmatchcase(function, pattern) for pattern in self.but)
            and re.search(self.words, text) is not None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the LoRA path, its sources, and the goal for its coverage, if there is one."""

    name: str
    sources: Sequence[Source]
    goal: Goal | None = None


_GOAL = Goal(lines=97, branches=90)
_EXTEND = ("src/ggml_extend.hpp", "src/core/ggml_extend.hpp")
_MAIN = ("src/stable-diffusion.cpp",)
_LOADER = ("src/model.cpp", "src/model_loader.cpp")
_NAMES = ("src/name_conversion.cpp",)
#: The functions of name conversion that every name of an adapter goes through.
_NAMES_OF_ADAPTERS = (
    "convert_tensor_name",
    "convert_sep_to_dot",
    "replace_with_*",
    "is_*_model_name",
    "convert_diffusion_model_name",
)

#: In the order of the page. A line belongs to the first part that has it.
PARTS = (
    Part(
        name="adapter",
        sources=(Source(files=("src/lora.hpp", "src/model/adapter/lora.hpp")),),
        goal=_GOAL,
    ),
    Part(
        name="names of adapters",
        sources=(Source(files=_NAMES, functions=_NAMES_OF_ADAPTERS),),
        goal=_GOAL,
    ),
    Part(
        name="names of models",
        sources=(Source(files=_NAMES),),
    ),
    Part(
        name="use of adapters",
        sources=(
            Source(
                files=_MAIN,
                functions=(
                    "StableDiffusionGGML::*lora*",
                    "sd_lora_apply_mode_name",
                    "str_to_lora_apply_mode",
                ),
            ),
            Source(files=_MAIN, functions=("StableDiffusionGGML::init",), words="lora|LORA|LoRA"),
            Source(
                files=("src/model_manager.cpp",),
                functions=("*lora*",),
            ),
        ),
    ),
    Part(
        name="layers",
        sources=(
            Source(files=_EXTEND, functions=("ggml_ext_merge_lora", "ggml_ext_lokr_forward")),
            Source(
                files=_EXTEND,
                functions=("*::forward", "GGMLRunner::*", "WeightAdapter::*"),
                words=r"weight_adapter|WeightAdapter|forward_params",
            ),
        ),
    ),
    Part(
        name="loader",
        sources=(
            Source(
                files=_LOADER,
                functions=(
                    "ModelLoader::init_from_file*",
                    "ModelLoader::convert_tensors_name",
                    "ModelLoader::add_*",
                    "ModelLoader::load_tensors",
                    "ModelLoader::process_model_files",
                    "is_unused_tensor",
                    "f8_*",
                    "f64_*",
                    "i64_*",
                ),
            ),
            Source(files=("src/model_io/tensor_storage.h", "src/model_io/binary_io.h"), but=("*write*",)),
        ),
    ),
    Part(
        name="safetensors reader",
        sources=(
            Source(
                files=("src/model_io/safetensors_io.cpp",),
                but=("write_*", "ggml_type_to_safetensors_dtype"),
            ),
            Source(files=_LOADER, functions=("ModelLoader::init_from_safetensors_file",)),
        ),
    ),
    Part(
        name="gguf reader",
        sources=(
            Source(
                files=("src/model_io/gguf_io.cpp", "src/model_io/gguf_reader_ext.h"),
                but=("write_*",),
            ),
            Source(files=_LOADER, functions=("ModelLoader::init_from_gguf_file",)),
        ),
    ),
    Part(
        name="ckpt reader",
        sources=(
            Source(
                files=(
                    "src/model_io/pickle_io.cpp",
                    "src/model_io/torch_zip_io.cpp",
                    "src/model_io/torch_legacy_io.cpp",
                ),
            ),
            Source(files=_LOADER, functions=("ModelLoader::init_from_torch_*",)),
        ),
    ),
)


def files(parts: Iterable[Part] = PARTS) -> list[str]:
    """Return the paths of all source files of parts, in all layouts, each once."""
    return list(dict.fromkeys(file for part in parts for source in part.sources for file in source.files))


def part_of(file: str, function: str, text: str, parts: Iterable[Part] = PARTS) -> Part | None:
    """Return the part that a line of a function belongs to, or None."""
    return next(
        (part for part in parts if any(source.has(file, function, text) for source in part.sources)), None
    )


def plain_name(demangled: str) -> str:
    """Return a function's name without arguments, template arguments and return type.

    A lambda has the name of the function that it is in.
    """
    name = demangled.replace("(anonymous namespace)::", "")
    while (shorter := _ARGUMENTS.sub("", name)) != name:
        name = shorter
    return name.partition("(")[0].rpartition(" ")[2]
