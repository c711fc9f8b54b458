from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping

import pytest

from harness.cli.commands import Command
from harness.cli.main import COMMANDS, main


def commands(table: Mapping[str, Command], before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every listed command and subcommand."""
    for name, command in table.items():
        if command.summary:
            yield (*before, name)
            module = importlib.import_module(command.module)
            yield from commands(getattr(module, "COMMANDS", {}), (*before, name))


WORDS = [(), *commands(COMMANDS)]


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_help_is_plain_text_that_fits_and_has_examples(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: {' '.join(('sdcpp', *words))}")
    assert "`" not in text
    assert not [line for line in text.splitlines() if len(line) > 100]
    if words:
        assert len(re.findall(r"^  (nox -s|.*sdcpp) ", text.split("\nexamples\n")[1], re.M)) >= 2


def test_former_names_and_spellings_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    former = r"--(source|select|pristine|patched|both|again|times|rounds|docs|anyway|library|quick)\b"
    for words in WORDS:
        with pytest.raises(SystemExit):
            main([*words, "--help"])
        shown = capsys.readouterr().out
        assert not re.search(former, shown), words
        assert not re.search(r"^    (matrix|regress|merge|stability)\b", shown, re.M) or words == ("lora",)
