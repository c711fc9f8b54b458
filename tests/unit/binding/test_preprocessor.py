from __future__ import annotations

from sdcpp.binding import header
from sdcpp.binding.declarations import Array, Scalar

CHAR = Scalar(name="char")


def test_the_preprocessor_takes_the_plain_branches() -> None:
    parsed = header.parse(
        '#ifndef GUARD\n#define GUARD\n#ifdef __cplusplus\nextern "C" {\n#endif\n'
        "#if defined(_WIN32) || defined(__CYGWIN__)\n#define API __declspec(dllexport)\n"
        '#elif __GNUC__ >= 4\n#define API __attribute__((visibility("default")))\n'
        "#else\n#define API\n#endif\n"
        "#include <stdint.h>\n#define LENGTH (2 * \\\n  SIZE)\n#define SIZE 4\n"
        "API int f(int x /* , int y */); // int g(void);\ntypedef struct { char name[LENGTH]; } t;\n"
        "#ifdef __cplusplus\n}\n#endif\n#endif\n"
    )
    assert list(parsed.functions) == ["f"]
    assert (parsed.structs["t"].fields or ())[0].type == Array(element=CHAR, length=8)


def test_defines_choose_another_branch() -> None:
    text = "typedef struct {\n#ifdef NEW\nint a;\n#endif\nint b;\n} t;"
    fields = header.parse(text, defines={"NEW": "1"}).structs["t"].fields or ()
    assert [field.name for field in fields] == ["a", "b"]
