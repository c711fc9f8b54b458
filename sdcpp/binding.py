"""Whether a header can be called: read by Python, compiled by the system's C++ compiler, and both compared.

A build proves the same of its own header. Here it is done without building the library, in a second.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sdcpp import api, header, layout, project, run, toolchain
from sdcpp.errors import HeaderUnsupported, LayoutMismatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What calls a revision, and how much of its header the compiler has confirmed."""

    generation: str
    convention: str
    context_arguments: int
    functions: int
    structs: int
    enumerators: int


def prove(source: Path) -> Binding:
    """Return how the header of a source tree is called, once the compiler has said the same of it as the reading.

    Raises HeaderUnsupported for a header that cannot be read or that nothing here calls, LayoutMismatch where
    compiler and reading differ, ToolMissing without a compiler.
    """
    public = header.locate(source)
    parsed = header.read(public)
    convention = api.name_convention(parsed)
    generation = api.name_generation(parsed)
    if convention is None or generation is None:
        raise HeaderUnsupported("no known generation of the LoRA API", public, "add a module to sdcpp/api")
    layout.compare(layout.Types(parsed), json.loads(_table(public.parent, layout.entries(parsed))))
    return Binding(
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
        table = project.ROOT / "sdcpp" / "native" / "abi_table.cpp"
        done = run.run([compiler, f"-I{folder}", f"-I{include}", "-o", folder / "table", table], quiet=True)
        if done.status:
            raise LayoutMismatch(
                "the compiler contradicts what was read from the header",
                include,
                f"it says:\n    {done.output.strip()}",
            )
        return run.run([folder / "table"], quiet=True).output
