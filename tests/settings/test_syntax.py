"""What a person reads whose settings are no YAML (issue 10, entry 17)."""

from pathlib import Path

import pytest

from settings.stackfile import StackFileError, read_document

HEAD = "config:\n  datalab:common:\n    region: home\n"
CASES = {
    "tab": ("\tdomain: a.b\n", 4, "indent with blanks"),
    "missing colon": ("    domain a.b\n    region: home\n", 4, "the colon is missing"),
    "missing colon at the end": ("    domain: a.b\n    rescue\n", 5, "the colon is missing"),
    "blank too few": ("   domain: a.b\n", 4, "a blank too many or too few"),
    "blank too many": ("     domain: a.b\n", 4, "indented too far"),
    "colon in a text": ("    domain: a: b\n", 4, "needs quotes"),
    "quote": ('    domain: "a.b\n    region: home\n', 4, "a quote begins and does not end"),
    "brace": ("    rescue: { path: x\n    region: home\n", 4, "closing bracket is missing"),
    "bracket": ("    list: [1, 2\n    region: home\n", 4, "closing bracket is missing"),
    "comma": ("    rescue: { path: x other: y }\n", 4, None),
    "list item": ("    list:\n      - a\n     - b\n", 6, "its `-` is indented otherwise"),
    "at sign": ("    domain: @a.b\n", 4, "@ begins no value; use quotes"),
    "alias": ("    domain: *name\n", 4, "*name is used, and nothing before it is called &name"),
    "escape": ('    domain: "a\\qb"\n', 4, "\\q means nothing in double quotes; use single"),
}
RAW = ("token", "block", "stream", "flow", "while", "simple key", "mapping values", "<")


@pytest.mark.parametrize("case", CASES)
def test_a_syntax_error_says_line_expectation_and_usual_cause(case: str, tmp_path: Path) -> None:
    text, line, words = CASES[case]
    (tmp_path / "Pulumi.dev.yaml").write_text(HEAD + text)
    with pytest.raises(StackFileError) as caught:
        read_document(tmp_path / "Pulumi.dev.yaml")
    said = str(caught.value)
    assert said.startswith(f"line {line}: ")
    assert words is None or words in said
    assert not [word for word in RAW if word in said], said
