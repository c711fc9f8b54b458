"""``sdcpp regress``: the quick and the full matrix on one backend, and one small file with all that came of it."""

from __future__ import annotations

import argparse
import time

from harness.cases.matrix import FULL, QUICK
from harness.cli import options, runs
from harness.records import compact
from harness.running import pool
from harness.verification.run import RECORDS
from sdcpp import console
from sdcpp.machine import backends
from sdcpp.process import cores

RESUMES = True
EPILOG = """\
what comes out
  In the output folder quick/ and full/, each with the reports and records that verify writes, and records.jsonl: the
  results of both in some hundred kilobytes, to be kept or sent. `sdcpp merge` joins such files of many machines.
  Exit status as for verify; the file is written whatever came of it.

examples
  sdcpp regress --backend cuda                      both named revisions, pristine and patched
  sdcpp regress --backend vulkan --quick            whether it works at all, in a minute
  sdcpp regress --backend cuda -D CMAKE_CUDA_ARCHITECTURES=90
                                                    for other cards than the ones that are here
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    runs.add_arguments(parser, "regress")
    options.add_source(parser)
    parser.add_argument("--quick", action="store_true", help="the quick matrix only")
    options.add_one_side(parser)


def main(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.list:
        return runs.list_cases(QUICK if arguments.quick else FULL, arguments)
    backends.require(backends.get(arguments.backend))
    sides = [name for name in ("pristine", "patched") if not (arguments.pristine or arguments.patched)]
    sides = sides or ["patched" if arguments.patched else "pristine"]
    chosen = [f"--{name}" for name in ("pristine", "patched") if getattr(arguments, name)]
    folder = arguments.output
    status, stages = 0, []
    for name, matrix in (("quick", QUICK), ("full", FULL))[: 1 if arguments.quick else 2]:
        part = ["--quick"] if matrix is QUICK else []
        arguments.output = folder / name
        start = time.monotonic()
        records, stage = runs.run_and_report(arguments, matrix, ["sdcpp", "regress", *part, *chosen], sides)
        status = max(status, stage)
        stages.append(records)
        compact.write(stages, folder / RECORDS)
        calls = sum(sum(seen.seconds.values()) for seen in records.observations.values())
        jobs = arguments.jobs or pool.worker_count(cores())[0]
        console.note(
            f"{name} matrix: {time.monotonic() - start:.0f} s, builds included; {calls:.0f} s inside the library, "
            f"shared by {jobs} workers"
        )
        console.note(f"wrote {folder / RECORDS}")
    return status
