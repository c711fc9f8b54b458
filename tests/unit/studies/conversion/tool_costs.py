"""A study of tools that was never made."""

from __future__ import annotations

from harness.studies.conversion.lora_tools import Cost
from harness.studies.conversion.tool_study import ToolStudy


def cost(tool: str, error: float, seconds: float | None = 2.0) -> Cost:
    return Cost(tool=tool, error=error, seconds=seconds, peak=50.0, size=1.5)


def study() -> ToolStudy:
    return ToolStudy(
        command="sdcpp study tools",
        date="2026-11-30",
        processor="a processor",
        cores=2,
        load=1.5,
        versions={"torch": "2.13", "sd-scripts": "abc"},
        layers=2,
        width=64,
        rank=4,
        costs={
            "combine": (
                cost("sdcpp, exact", 1e-9),
                cost("sdcpp, rank 4", 0.05, 1.0),
                cost("PEFT, cat", 1e-9),
                cost("PEFT, svd of rank 4", 0.06, 9.0),
            ),
            "resize": (cost("sdcpp, rank 4", 0.1), cost("the best possible", 0.1, None)),
            "extract": (cost("sdcpp, rank 4", 0.1), cost("sd-scripts, slow", 0.2, 30.0)),
        },
    )
