"""Records like those of a real run, with computed pictures, for the tests of records and reports.

``python -m tests.unit.example_records FOLDER [CASES]`` writes the reports of such records into FOLDER, to look at them.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.records.pictures import Pixels, digest
from harness.records.record import Cell, Observation, Records, Run, Side, Writer
from harness.records.verdict import Status, Verdict

MODES = ("immediately", "at_runtime", "auto")
CASES = (
    ("none", "none"),
    ("safetensors", "F32"),
    ("safetensors", "F16"),
    ("ckpt", "F16"),
    ("gguf", "F32"),
    ("gguf", "F16"),
    ("gguf", "BF16"),
    ("gguf", "Q8_0"),
    ("gguf", "Q6_K"),
    ("gguf", "Q5_0"),
    ("gguf", "Q4_K"),
    ("gguf", "Q4_0"),
    ("gguf", "Q2_K"),
)
LOSSES = {"Q8_0": 0.015, "Q6_K": 0.034, "Q5_0": 0.05, "Q4_K": 0.11, "Q4_0": 0.14, "Q2_K": 0.4}
WARNING = (
    "[WARN ] stable-diffusion.cpp:943 - can not find models/lora/{name}.safetensors or "
    "models/lora/{name}.ckpt for lora {name}"
)
ASSERTION = (
    "ggml/src/ggml-cpu/ops.cpp:1387: GGML_ASSERT(src1->type == GGML_TYPE_F32) failed\n"
    "ggml_compute_forward_add_non_quantized: unsupported types: dst: f32, src0: f32, src1: {type}"
)
#: Text of a library that tries to break a report. Every report must show it as text.
HOSTILE = "</script><script>alert('evidence')</script> <b>bold</b> | pipes & `ticks` \x1b[31m \x00"
EXTENSION = "pristine 2025-12 looks for .safetensors and .ckpt only (upstream issue 307)"
QUANTISED = "ggml's CPU backend cannot add a quantised matrix to a float one"
COMMITS = {
    "2025-12": "0392273e106a0e07083b7431873bd7d85d2cee89",
    "2026-05": "90e87bc846f17059771efb8aaa31e9ef0cab6f78",
}
PATCHES = {
    "2025-12": ["look-for-gguf-adapters", "quantised-immediately"],
    "2026-05": ["quantised-immediately"],
}
BASES = {"2025-12": "sd1-tiny", "2026-05": "flux-small"}


def side(revision: str, *, patched: bool, backend: str = "cpu") -> Side:
    """Return a side whose build record has the entries of a real one."""
    return Side(
        label=f"{revision} {'patched' if patched else 'pristine'}",
        revision=revision,
        patched=patched,
        backend=backend,
        identity=hashlib.sha256(f"{revision} {patched} {backend}".encode()).hexdigest(),
        build={
            "commit": COMMITS.get(revision, "f" * 40),
            "patches": [
                {"name": name, "sha256": "ab" * 32, "state": "applies"}
                for name in PATCHES.get(revision, [])
                if patched
            ],
            "states": {
                name: "applies" if name in PATCHES.get(revision, []) else "not needed"
                for name in PATCHES["2025-12"]
            },
            "options": {"SD_BUILD_SHARED_LIBS": "ON", "GGML_NATIVE": "OFF"},
            "compilers": {"C": "GNU 12.2.0", "CXX": "GNU 12.2.0"},
            "ggml_commit": "404fcb9d7c96989569e68c9e7881ee3465a05c50",
        },
    )


def write_records(records: Records, path: Path) -> None:
    """Write records as a run does: pictures before the observations that name them, judgements last."""
    with Writer(path) as writer:
        writer.run(records.run)
        for side in records.sides.values():
            writer.side(side)
        for pixels in records.pictures.values():
            writer.picture(pixels)
        for observation in records.observations.values():
            writer.observation(observation)
        for cell in records.cells:
            writer.cell(cell)
        writer.end(records.finished)


def write_run(records: Records, folder: Path) -> None:
    """Write what a whole run leaves in its folder: records.jsonl and report.md."""
    write_records(replace(records, finished="2026-11-29T00:00:00+00:00"), folder / "records.jsonl")
    (folder / "report.md").write_text("**The report**\n", encoding="utf-8")


@cache
def _blobs(name: str, size: int) -> NDArray[np.float64]:
    """Return smooth noise with mean 0, [size, size, 3]; the same name gives the same noise."""
    random = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]))
    coarse: NDArray[np.float64] = random.standard_normal((9, 9, 3))
    place = np.linspace(0, 7.999, size)
    low, part = place.astype(int), (place % 1)[:, None, None]
    rows = coarse[low] * (1 - part) + coarse[low + 1] * part
    part = (place % 1)[None, :, None]
    blobs: NDArray[np.float64] = rows[:, low] * (1 - part) + rows[:, low + 1] * part
    return blobs


def picture(name: str, *, like: Pixels | None = None, strength: float = 0.0, size: int = 64) -> Pixels:
    """Return a picture of smooth noise, or ``like`` changed by smooth noise of ``strength`` grey levels RMS."""
    blobs = _blobs(name, size)
    if like is None:
        fresh: Pixels = np.clip(
            128 + 45 * blobs + 25 * _blobs(f"{name} finely", size)[:, ::-1], 0, 255
        ).astype(np.uint8)
        return fresh
    change: NDArray[np.float64] = strength * blobs / np.sqrt(np.mean(blobs**2))
    changed: Pixels = np.clip(np.rint(like + change), 0, 255).astype(np.uint8)
    return changed


def example(*, broken: bool = False) -> Records:
    """Return a finished run of two revisions, pristine and patched, in which everything is as expected.

    With ``broken`` some cells fail unexpectedly, one passes against an expectation, and one case hangs.
    """
    records = _empty("quick matrix")
    for revision, base in BASES.items():
        for patched in (False, True):
            build = side(revision, patched=patched)
            records.sides[build.label] = build
            for mode in MODES:
                for container, type_ in (*CASES, ("gguf", "F16")):
                    silent = any(
                        c.case == "gguf-F16" and c.dimensions["mode"] == mode for c in _of(records, build)
                    )
                    dimensions = {"base": base, "mode": mode, "container": container, "type": type_}
                    if container == "gguf" and type_ == "F16" and silent:
                        dimensions |= {"multiplier": "0"}
                    elif container != "none":
                        dimensions |= {"rank": "32", "multiplier": "1"}
                    dimensions |= {"backend": build.backend, "revision": revision}
                    cell = _judged(records, build, dimensions)
                    records.cells.append(_damaged(records, cell) if broken else cell)
    records.finished = "2026-06-01T12:03:20+00:00"
    return records


def many(
    cases: int, *, sides: Sequence[Side] | None = None, bad_every: int = 97, pictures: int = 20
) -> Records:
    """Return a run of ``cases`` cases of many dimensions on each side, of which every ``bad_every``-th is WRONG.

    The library makes ``pictures`` different pictures.
    """
    records = _empty("full matrix")
    builds = sides or (side("2026-05", patched=False), side("2026-05", patched=True))
    for build in builds:
        records.sides[build.label] = build
        for number, dimensions in zip(range(cases), _product(), strict=False):
            cell = _judged(records, build, dimensions, f"noise {number % pictures}")
            damaged = number % bad_every == bad_every - 1 and cell.pictures
            records.cells.append(_wrong(records, cell) if damaged else cell)
    records.finished = "2026-06-01T12:03:20+00:00"
    return records


def cell(**fields: object) -> Cell:
    """Return a cell of "2026-05 patched" that passed, but for the fields given."""
    plain = {
        "side": "2026-05 patched",
        "case": "c",
        "dimensions": {},
        "verdict": Verdict.PASS,
        "status": Status.PASS,
    }
    return Cell(**(plain | fields))  # type: ignore[arg-type]


def records_of(*cells: Cell, finished: str = "now") -> Records:
    """Return a run with the sides of the example and no other cells than these."""
    found = example()
    found.cells[:] = cells
    found.finished = finished
    return found


def _empty(title: str) -> Records:
    run = Run(
        plan="5" * 64,
        title=title,
        command="nox -s verify",
        machine={"system": "Linux-6.1-x86_64", "processor": "A processor", "cores": "2", "python": "3.11.9"},
        started="2026-06-01T12:00:00+00:00",
        project="0123456789ab",
    )
    return Records(run=run)


def _of(records: Records, build: Side) -> list[Cell]:
    return [cell for cell in records.cells if cell.side == build.label]


def _product() -> Iterator[dict[str, str]]:
    for rank in ("1", "4", "16", "32", "128", "256"):
        for scheme in ("kohya", "peft", "diffusers", "lycoris"):
            for kind in ("linear", "conv", "tucker", "loha", "lokr", "diff", "dora"):
                for multiplier in ("-1", "0", "0.5", "1", "2"):
                    for container, type_ in CASES[1:]:
                        for mode in MODES:
                            yield {
                                "base": "flux-small",
                                "container": container,
                                "type": type_,
                                "rank": rank,
                                "scheme": scheme,
                                "kind": kind,
                                "multiplier": multiplier,
                                "mode": mode,
                            }


def _keep(records: Records, pixels: Pixels) -> str:
    name = digest(pixels)
    records.pictures[name] = pixels
    return name


def _judged(records: Records, build: Side, dimensions: dict[str, str], noise: str = "") -> Cell:
    """Return the cell of a case as the real library has it, and add its pictures and observation to the records."""
    container, type_, mode = dimensions["container"], dimensions["type"], dimensions["mode"]
    words = [container] if container == "none" else [container, type_]
    words += [dimensions[name] for name in ("kind", "scheme") if name in dimensions]
    words += [f"r{dimensions['rank']}"] if "kind" in dimensions else []
    words += [f"times-{dimensions['multiplier']}"] if dimensions.get("multiplier", "1") != "1" else []
    case = "-".join(words)
    without = picture(f"{build.revision} without")
    wanted = picture("effect", like=without, strength=14)
    error = 0.003 if mode == "immediately" else 0.004
    pictures = {"without": _keep(records, without), "wanted": _keep(records, wanted)}
    loss = LOSSES.get(type_)
    fields: dict[str, object] = {"verdict": Verdict.PASS, "status": Status.PASS, "error": error}
    quantised = loss is not None
    if container == "none" or dimensions.get("multiplier") == "0":
        fields["error"] = None
        pictures |= {"wanted": pictures["without"], "got": pictures["without"]}
    elif container == "gguf" and build.revision == "2025-12" and not build.patched:
        name = f"adapter-{type_.lower()}"
        fields = {"verdict": Verdict.NO_EFFECT, "status": Status.XFAIL, "error": 1.0, "reason": EXTENSION}
        fields["evidence"] = WARNING.format(name=name)
        pictures["got"] = pictures["without"]
    elif quantised and mode == "immediately" and not build.patched:
        fields = {"verdict": Verdict.ABORT, "status": Status.XFAIL, "reason": QUANTISED}
        fields["evidence"] = ASSERTION.format(type=type_.lower())
        pictures = {}
    else:
        pictures["got"] = _keep(records, picture(noise or f"noise {case}", like=wanted, strength=0.9))
    shot = f"{dimensions['base']}/{mode}/{case}"
    observation = Observation(build=build.identity, shot=shot, outcome="picture" if pictures else "crashed")
    records.observations[build.identity, shot] = observation
    judged = fields.get("error") is not None
    same = bool(pictures) and not judged
    return Cell(
        side=build.label,
        case=case,
        dimensions=dimensions,
        effect=14.02 if judged else None,
        tolerance=None if same else 0.08 if quantised else 0.04,
        why="must be equal to the byte" if same else "rounding of pixels and of F16 activations",
        loss=loss if quantised and fields["verdict"] is Verdict.PASS else None,
        pictures=pictures,
        seconds=0.41,
        memory=312 * 2**20,
        repeat=f"nox -s verify -- --revision {build.revision} --case {case}@{mode}",
        **fields,  # type: ignore[arg-type]
    )


def _wrong(records: Records, cell: Cell) -> Cell:
    got = picture("wrong", like=records.pictures[cell.pictures["wanted"]], strength=11)
    return replace(
        cell,
        verdict=Verdict.WRONG,
        status=Status.UNEXPECTED,
        error=0.79,
        loss=None,
        reason="",
        evidence="",
        pictures={**cell.pictures, "got": _keep(records, got)},
    )


def _damaged(records: Records, cell: Cell) -> Cell:
    if cell.side != "2026-05 patched":
        return cell
    lost = replace(cell, error=None, effect=None, loss=None, pictures={})
    match cell.dimensions["type"], cell.dimensions["mode"]:
        case "Q4_0", "immediately":
            cell = _wrong(records, cell)
        case "BF16", "auto":
            cell = replace(lost, verdict=Verdict.ABORT, status=Status.UNEXPECTED, evidence=HOSTILE)
        case "Q8_0", "at_runtime":
            cell = replace(cell, status=Status.XPASS, reason="Q8_0 was broken in at_runtime mode")
        case "Q2_K", "at_runtime":
            cell = replace(lost, verdict=Verdict.TIMEOUT, status=Status.UNEXPECTED, seconds=120.0)
        case "Q2_K", "auto":
            cell = replace(lost, verdict=Verdict.SKIPPED, status=Status.SKIPPED, reason="no such device here")
    return cell


if __name__ == "__main__":
    from rich.console import Console

    from harness.reports import terminal, write

    shown = many(int(sys.argv[2]), pictures=10**9) if len(sys.argv) > 2 else example(broken=True)
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for path in write.write(shown, target):
        print(path)
    terminal.print_table(shown, Console())
