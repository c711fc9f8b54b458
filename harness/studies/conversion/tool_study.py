"""The record of ``harness.studies.conversion.lora_tools``: what each tool cost, with the machine and the versions."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.studies import record_file
from harness.studies.conversion import torch_peer
from harness.studies.conversion.lora_tools import Cost, Peers
from harness.studies.peer_script import answer
from sdcpp import project
from sdcpp.git import query
from sdcpp.machine import devices
from sdcpp.process import cores, load

RECORD = project.ROOT / "results" / "lora-tools.json"
#: The page that is made of the record.
PAGE = project.ROOT / "docs" / "lora-tools.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolStudy:
    """The costs of each tool by table, with the command, the machine and the date (UTC).

    ``versions`` are those of the other tools. ``load`` is the number of processes that wanted a core before, or None if
    the system does not say.
    """

    command: str
    date: str
    processor: str
    cores: int
    load: float | None
    versions: Mapping[str, str]
    layers: int
    width: int
    rank: int
    costs: Mapping[str, Sequence[Cost]]

    def with_costs(self, table: str, costs: Sequence[Cost]) -> ToolStudy:
        """Return the study with another table."""
        return replace(self, costs={**self.costs, table: tuple(costs)})


def new(peers: Peers, *, layers: int, width: int, rank: int, command: str) -> ToolStudy:
    """Return a study without costs. Raises LibraryUnusable for a Python without torch or peft."""
    return ToolStudy(
        command=command,
        date=datetime.now(UTC).date().isoformat(),
        processor=devices.processor()[0].name,
        cores=cores(),
        load=load(),
        versions=_versions(peers),
        layers=layers,
        width=width,
        rank=rank,
        costs={},
    )


def _versions(peers: Peers) -> dict[str, str]:
    """Return the versions of the other tools."""
    if peers.python is None:
        return {}
    found: dict[str, str] = answer(
        peers.python,
        os.fspath(torch_peer.__file__),
        {"way": "versions"},
        failure="the other tools cannot be used",
        remedy="install torch, peft and tqdm there",
    )
    if peers.scripts:
        # In another folder, git would tell the commit of a repository around it.
        own = (peers.scripts / ".git").exists()
        commit = query(peers.scripts, "rev-parse", "--short=10", "HEAD").output.strip() if own else ""
        found["sd-scripts"] = commit or "of an unknown commit"
    return found


def write(study: ToolStudy, path: Path = RECORD) -> None:
    """Write the record."""
    record_file.write(study, path)


def read(path: Path = RECORD) -> ToolStudy:
    """Return the record. Raises what ``record_file.read`` does."""
    return record_file.read(path, _made, command="sdcpp study tools --write-docs")


def _made(content: dict[str, Any]) -> ToolStudy:
    costs = {name: tuple(Cost(**each) for each in found) for name, found in content["costs"].items()}
    return ToolStudy(**{**content, "costs": costs})
