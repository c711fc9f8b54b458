"""Check without a build that the header of a source tree is parsed correctly, and that a generation can call it.

The system's C++ compiler compiles the header, and its layouts are compared with those that Python parsed. This takes
about a second. Every build makes the same comparison.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sdcpp import process
from sdcpp.binding import api, header, layouts
from sdcpp.errors import HeaderUnsupported, LayoutMismatch
from sdcpp.machine import toolchain
from sdcpp.source import workspace

#: The source of the program that prints the ABI table: the compiler's layouts of a header.
ABI_TABLE = Path(__file__).parent / "native" / "abi_table.cpp"


@dataclass(frozen=True, slots=True, kw_only=True)
class AbiCheck:
    """The result of a check that passed.

    ``generation`` is the letter of the LoRA API. ``convention`` is the name of the class in ``sdcpp.binding.api`` that
    calls the library. ``context_arguments`` is the number of arguments of ``new_sd_ctx``. The other fields are the
    numbers of declarations that the compiler has confirmed.
    """

    generation: str
    convention: str
    context_arguments: int
    functions: int
    structs: int
    enumerators: int


def check_abi(source: Path) -> AbiCheck:
    """Check the header of a source tree, and return how the library is called.

    Raises HeaderUnsupported for a header that cannot be parsed or that no generation matches, LayoutMismatch if the
    compiler and the parsed header differ, and ToolMissing if there is no compiler.
    """
    path = workspace.locate_header(source)
    parsed = header.read(path)
    convention = api.name_convention(parsed)
    generation = api.name_generation(parsed)
    if convention is None or generation is None:
        raise HeaderUnsupported(
            "unknown generation of the LoRA API", path, "add a module for it to sdcpp/binding/api"
        )
    table = json.loads(_abi_table(path.parent, layouts.abi_entries(parsed)))
    layouts.compare(layouts.Types(parsed), table)
    return AbiCheck(
        generation=generation,
        convention=convention,
        context_arguments=len(parsed.functions["new_sd_ctx"].arguments),
        functions=len(parsed.functions),
        structs=sum(struct.fields is not None for struct in parsed.structs.values()),
        enumerators=len(parsed.enumerators()),
    )


def _abi_table(include: Path, entries: str) -> str:
    """Return the ABI table, as JSON, of the header in the folder ``include``; ``entries`` is abi_entries.h."""
    compiler = toolchain.compiler()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "abi_entries.h").write_text(entries, encoding="utf-8")
        done = process.run(
            [compiler, f"-I{folder}", f"-I{include}", "-o", folder / "table", ABI_TABLE], quiet=True
        )
        if done.status:
            raise LayoutMismatch(
                "the compiler and the parsed header disagree",
                include,
                f"correct sdcpp/binding/header.py. The compiler says:\n    {done.output.strip()}",
            )
        return process.run([folder / "table"], quiet=True).output
