"""Measure conversions of LoRA files, and what the cases reach and notice in the library."""

from __future__ import annotations

from harness.cli.commands import Command, CommandParser, add_commands

EPILOG = """\
examples
  sdcpp study sample half.safetensors --modules 640 --rank 64 --type F16
  sdcpp study converters half.safetensors Q8_0 --skip-loss
  sdcpp study premerged --type Q4_0 --strength 0.05
  sdcpp study names --version 'Flux*'
  sdcpp study coverage --revision 2026-05
  sdcpp study mutation --count 300 --seed 1
"""
COMMANDS = {
    "converters": Command(
        module="harness.cli.study.converters", summary="compare the time, memory and loss of three converters"
    ),
    "coverage": Command(
        module="harness.cli.study.coverage",
        summary="count which lines and branches of upstream's LoRA path the cases run",
    ),
    "mutation": Command(
        module="harness.cli.study.mutation",
        summary="make mistakes in the library by program, and see which cases notice each",
    ),
    "names": Command(
        module="harness.cli.study.names",
        summary="see which layer the names of each trainer lead to, for every family of models",
    ),
    "premerged": Command(
        module="harness.cli.study.premerged",
        summary="compare a LoRA merged before quantising with one that the library applies",
    ),
    "promises": Command(
        module="harness.cli.study.promises",
        summary="show what the project promises, and what was measured last",
    ),
    "real-models": Command(
        module="harness.cli.study.real_models", summary="try a LoRA on random models of real size"
    ),
    "sample": Command(
        module="harness.cli.study.sample", summary="write a LoRA that is like a trained one, to measure with"
    ),
    "tools": Command(
        module="harness.cli.study.tools",
        summary="compare lora combine, resize and extract with PEFT and sd-scripts",
    ),
    "trainers": Command(
        module="harness.cli.study.trainers",
        summary="judge the library and the converter by adapters that PEFT, diffusers and LyCORIS write",
    ),
    "training": Command(
        module="harness.cli.study.training",
        summary="measure what training with the fake quantiser gains after quantising",
    ),
    "twins": Command(
        module="harness.cli.study.twins",
        summary="check that what fails without patches passes with the converted file",
    ),
}


def add_arguments(parser: CommandParser) -> None:
    """Add the subcommands."""
    add_commands(parser, COMMANDS)
