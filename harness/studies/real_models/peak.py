"""Run a command in a process of its own and measure its peak memory.

``python -m harness.studies.real_models.peak COMMAND...`` prints JSON: the "status" and the "output" of the command, and
the peak memory of its largest process in bytes, "memory". A process knows this only of all its children together.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from harness.child_process.memory import peak_memory_of_children
from sdcpp.process import run


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The exit status and the standard output of a command, and the peak memory of its largest process in bytes."""

    status: int
    output: str
    memory: int


def measured(argv: Sequence[str]) -> Measured:
    """Run a command and return what was measured. Its standard error is shown."""
    done = run([sys.executable, "-m", "harness.studies.real_models.peak", *argv], quiet=True, apart=True)
    sys.stderr.write(done.errors)
    return Measured(**json.loads(done.output.strip().splitlines()[-1]))


def main(argv: Sequence[str]) -> None:
    """Run the command and print the JSON."""
    done = run(argv, quiet=True, apart=True)
    sys.stderr.write(done.errors)
    print(json.dumps({"status": done.status, "output": done.output, "memory": peak_memory_of_children()}))


if __name__ == "__main__":
    main(sys.argv[1:])
