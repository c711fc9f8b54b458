"""Write the result of a command in the types of ``--type``: first as floats, then as ``sdcpp lora convert`` does."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.cli.lora import options
from harness.converter.convert import convert
from harness.converter.plan import plan
from harness.formats.write import container_of
from harness.quantising.package_quantiser import open_quantiser
from sdcpp.atomic_write import require_output


@contextmanager
def typed_output(target: Path, arguments: argparse.Namespace, inputs: Sequence[Path]) -> Iterator[Path]:
    """Yield the file to write: ``target`` itself, or with ``--type`` a temporary one that is then converted.

    Whatever makes the output impossible is raised before the block: OutputRefused, FileInvalid or TypeUnavailable.
    """
    options.require_free(target, arguments)
    container = container_of(target)
    require_output(target, inputs)
    if not arguments.type:
        yield target
        return
    with open_quantiser(arguments.build) as quantiser:
        plan([], container, arguments.type, quantiser.types())
        with tempfile.TemporaryDirectory(prefix=".sdcpp-", dir=target.parent) as folder:
            path = Path(folder) / "float.safetensors"
            yield path
            convert(path, target, arguments.type, quantiser)
