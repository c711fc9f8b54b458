"""Mutants that a program makes: every small mistake on the lines that load and apply an adapter.

The generator is this project's own. Of the mutation tools on PyPI, mutmut, cosmic-ray and mutatest change Python alone;
universalmutator works on lines with regular expressions, so it changes comments, strings and log calls as well, and it
names a mutant by its number. Mull and dextool change C++, but need clang's libraries of one version and are not on
PyPI. What is needed here is the tokens of a dozen functions, a seed, and names that survive a change of line numbers.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.studies.mutation.changes import changes
from harness.studies.mutation.kill_matrix import Reasons
from harness.studies.mutation.tokens import owners, partners, tokens
from sdcpp.errors import FileInvalid

#: The reasons for mutants that no case notices.
REASONS = Path(__file__).with_name("reasons.toml")
#: The places of a file, as its path ends: functions and tables by name, and lines by their text.
_PLACES = {
    "lora.hpp": (r"(?!stat$|get_desc$|warn_about_).+", r"(?!)"),
    "name_conversion.cpp": (
        r"replace_with_name_map|replace_with_prefix_map|convert_open_clip_to_hf_clip_name"
        r"|convert_cond_stage_model_name|convert_diffusers_unet_to_original_sd1"
        r"|convert_diffusers_dit_to_original_flux|convert_diffusion_model_name|convert_sep_to_dot"
        r"|is_(?:cond_stage|diffusion|first_stage)_model_name|\w+_model_prefix_vec|convert_tensor_name",
        r"(?!)",
    ),
    "ggml_extend.hpp": (
        r"ggml_ext_merge_lora|ggml_ext_kronecker|ggml_ext_lokr_forward",
        r"weight_adapter|forward_params",
    ),
    "model_manager.cpp": (r"(?i)\w*lora\w*", r"(?!)"),
    "stable-diffusion.cpp": (
        r"(?i)(?!lora_stat$)\w*lora\w*",
        r"(?i)\blora_apply_mode|apply_lora_immediately",
    ),
}
_NAME = re.compile(r"[^\w.:-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedMutant:
    """One mistake: in ``file``, the text from ``start`` to ``end`` becomes ``text``.

    ``line`` is the number of the line and ``source`` its text without the blanks around it. ``occurrence`` counts the
    mistakes of the same ``operator`` on lines with this text in this function, from 0. ``id`` is made of all these but
    the numbers, so it stays the same when lines are added elsewhere.
    """

    id: str
    file: str
    function: str
    line: int
    source: str
    operator: str
    occurrence: int
    start: int
    end: int
    text: str
    before: str

    @property
    def mistake(self) -> str:
        """The mistake in words."""
        before, after = (" ".join(text.split()) for text in (self.before, self.text))
        if self.operator == "statement":
            return f"`{before}` is deleted"
        return f"`{before}` is dropped" if self.operator == "entry" else f"`{before}` becomes `{after}`"

    def apply(self, source: str) -> str:
        """Return the text of the file with the mistake."""
        return source[: self.start] + self.text + source[self.end :]


def generate(sources: Mapping[str, str]) -> list[GeneratedMutant]:
    """Return every mutant of the sources, which are texts by path, in the order of files, kinds and places."""
    made: list[GeneratedMutant] = []
    for file, source in sources.items():
        place = next((_PLACES[name] for name in _PLACES if PurePosixPath(file).name == name), None)
        if place:
            made += _of_file(file, source, place)
    return made


def _of_file(file: str, source: str, place: tuple[str, str]) -> Iterator[GeneratedMutant]:
    found = tokens(source)
    names, lines = owners(found, partners(found)), source.split("\n")
    in_function, on_line = (re.compile(pattern) for pattern in place)
    seen: Counter[tuple[str, str, str]] = Counter()
    for change in changes(source, found):
        token = found[change.token]
        name, line = names[change.token], lines[token.line - 1].strip()
        if not name or not (in_function.fullmatch(name) or on_line.search(line)):
            continue
        occurrence = seen[name, change.operator, line]
        seen[name, change.operator, line] += 1
        digest = hashlib.sha256(line.encode()).hexdigest()[:8]
        short = PurePosixPath(file).name
        yield GeneratedMutant(
            id=f"{_NAME.sub('-', f'{short}:{name}')}:{change.operator}:{digest}:{occurrence}",
            file=file,
            function=name,
            line=token.line,
            source=line,
            operator=change.operator,
            occurrence=occurrence,
            start=change.start,
            end=change.end,
            text=change.text,
            before=source[change.start : change.end],
        )


def sample(mutants: Sequence[GeneratedMutant], count: int, seed: int) -> list[GeneratedMutant]:
    """Return ``count`` of the mutants, chosen by a seed.

    The choice depends on the ids alone: a mutant that is new in the list displaces one other at most.
    """
    return sorted(mutants, key=lambda mutant: _rank(mutant.id, seed))[:count]


def _rank(name: str, seed: int) -> str:
    return hashlib.sha256(f"{seed} {name}".encode()).hexdigest()


def reasons(path: Path = REASONS) -> Reasons:
    """Return the reasons that a file gives for mutants that no case notices; raises FileInvalid."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        found = {
            kind: {name: entry["reason"] for entry in content.get(kind, []) for name in entry["ids"]}
            for kind in ("equivalent", "unnoticed")
        }
        return Reasons(**found)
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise FileInvalid(
            f"not a list of reasons ({error})", path, "give each entry a list of ids and a reason"
        ) from error
