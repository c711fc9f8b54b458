from __future__ import annotations

from pathlib import Path

import pytest

from harness.studies.mutation import generated
from harness.studies.mutation.generated import GeneratedMutant, generate, sample
from harness.studies.mutation.kill_matrix import Reasons
from sdcpp.errors import FileInvalid

HEADER = """\
struct LoraModel {
    static int get_rank(int n) {
        int m = n + 1;
        return m + 1;
    }
    void stat() { count = count + 1; }
};
"""


def mutants(source: str = HEADER, path: str = "src/model/adapter/lora.hpp") -> list[GeneratedMutant]:
    return generate({path: source})


def test_only_functions_of_the_lora_path_are_changed() -> None:
    assert {mutant.function for mutant in mutants()} == {"get_rank"}
    assert not generate({"src/vae.hpp": HEADER})


def test_a_mutant_changes_the_text_at_its_place() -> None:
    first = next(mutant for mutant in mutants() if mutant.operator == "operator")
    assert first.apply(HEADER) == HEADER.replace("n + 1", "n - 1")
    assert (first.line, first.source, first.mistake) == (3, "int m = n + 1;", "`+` becomes `-`")


def test_ids_are_unique_and_survive_new_lines_elsewhere() -> None:
    before = [mutant.id for mutant in mutants()]
    assert len(set(before)) == len(before) == 4
    assert before[0].startswith("lora.hpp:get_rank:operator:")
    assert before == [mutant.id for mutant in mutants(f"// new\n\nint x;\n{HEADER}")]
    changed = [mutant.id for mutant in mutants(HEADER.replace("return m", "return 2 + m"))]
    assert len(set(before) & set(changed)) == 2


def test_mistakes_on_equal_lines_of_a_function_are_counted() -> None:
    twice = HEADER.replace("        return m + 1;\n", "        m = m + 1;\n        m = m + 1;\n")
    found = [mutant for mutant in mutants(twice) if mutant.operator == "statement"]
    assert [mutant.occurrence for mutant in found] == [0, 1]
    assert len({mutant.id for mutant in found}) == 2


def test_a_sample_depends_on_the_seed_and_hardly_on_the_list() -> None:
    known = mutants()
    assert sample(known, 2, 1) == sample(known[::-1], 2, 1)
    assert {len(sample(known, count, 5)) for count in (4, 99)} == {4}
    assert len({tuple(m.id for m in sample(known, 2, seed)) for seed in range(20)}) > 1
    assert len(set(sample(known, 2, 1)) & set(sample(known[1:], 2, 1))) >= 1


def test_mutants_that_no_case_notices_have_reasons(tmp_path: Path) -> None:
    known = generated.reasons()
    assert all(known.equivalent.values())
    assert all(known.unnoticed.values())
    assert not known.equivalent.keys() & known.unnoticed.keys()
    path = tmp_path / "reasons.toml"
    path.write_text(
        '[[equivalent]]\nids = ["a", "b"]\nreason = "why"\n[[unnoticed]]\nids = ["c"]\nreason = "yet"\n'
    )
    assert generated.reasons(path) == Reasons(equivalent={"a": "why", "b": "why"}, unnoticed={"c": "yet"})
    path.write_text('[[equivalent]]\nids = ["a"]\n')
    with pytest.raises(FileInvalid, match="reason"):
        generated.reasons(path)
