"""Whether a header can be called: read by Python, compiled by the system's C++ compiler, and both compared.

A build proves the same of its own header. Here it is done without building the library, in a second.
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

#: The source of the program that prints the compiler's layouts of a header.
ABI_TABLE = Path(__file__).parent / "native" / "abi_table.cpp"


@dataclass(frozen=True, slots=True, kw_only=True)
class AbiCheck:
    """What calls a revision, and how much of its header the compiler has confirmed."""

    generation: str
    convention: str
    context_arguments: int
    functions: int
    structs: int
    enumerators: int


def check_abi(source: Path) -> AbiCheck:
    """Return how the header of a source tree is called, once the compiler has said the same of it as the reading.

    Raises HeaderUnsupported for a header that cannot be read or that nothing here calls, LayoutMismatch where
    compiler and reading differ, ToolMissing without a compiler.
    """
    public = workspace.locate_header(source)
    parsed = header.read(public)
    convention = api.name_convention(parsed)
    generation = api.name_generation(parsed)
    if convention is None or generation is None:
        raise HeaderUnsupported(
            "unknown generation of the LoRA API", public, "add a module for it to sdcpp/binding/api"
        )
    layouts.compare(layouts.Types(parsed), json.loads(_table(public.parent, layouts.abi_entries(parsed))))
    return AbiCheck(
        generation=generation,
        convention=convention,
        context_arguments=len(parsed.functions["new_sd_ctx"].arguments),
        functions=len(parsed.functions),
        structs=sum(struct.fields is not None for struct in parsed.structs.values()),
        enumerators=len(parsed.enumerators()),
    )


def _table(include: Path, entries: str) -> str:
    """Return what the ABI table's program prints for the header in a folder."""
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
                f"correct sdcpp/binding/header.py; the compiler says:\n    {done.output.strip()}",
            )
        return process.run([folder / "table"], quiet=True).output
