"""YAML syntax errors in a person's words: the line, what was expected there, the usual cause."""

import re

from yaml import MarkedYAMLError

# PyYAML's words (scanner.py, parser.py, composer.py) -> ours, and whether the place to look at is
# where the thing begins that is not whole.
_FAULTS = (
    (r"'\\t' that cannot start", False, "a tab, where blanks are expected; indent with blanks"),
    (
        r"could not find expected ':'",
        True,
        "a key and a colon are expected; usually the colon is missing, or a line goes on that is "
        "indented too little",
    ),
    (
        r"expected <block end>, but found '(?:-|<block sequence start>)'|sequence entries are not",
        False,
        "no list item is expected; usually its `-` is indented otherwise than those above it",
    ),
    (
        r"expected <block end>|expected '<document start>'",
        False,
        "a key of the same depth is expected; usually the line is indented by a blank too many or "
        "too few",
    ),
    (
        r"mapping values are not allowed",
        False,
        "no colon is expected; usually the line is indented too far, the line above it lacks its "
        "own colon, or a text with a colon needs quotes",
    ),
    (r"found unexpected end of stream", True, "a quote begins and does not end; close it"),
    (
        r"expected ',' or '[]}]'",
        True,
        "what begins with {{ or [ is expected to end; usually a comma or the closing bracket is "
        "missing",
    ),
    (r"found character '(.)' that cannot start", False, "{0} begins no value; use quotes"),
    (r"undefined alias '(.+)'", False, "*{0} is used, and nothing before it is called &{0}"),
    (r"unknown escape character '(.)'", False, "\\{0} means nothing in double quotes; use single"),
    (r"duplicate anchor", False, "a name after & is given twice; choose another"),
)


def explain(error: MarkedYAMLError) -> str:
    """What PyYAML found, for a person who edits the file."""
    problem = error.problem or error.context or "is no YAML"
    for pattern, begins, words in _FAULTS:
        if found := re.search(pattern, problem):
            mark = error.context_mark if begins else error.problem_mark
            text = words.format(*found.groups())
            break
    else:
        mark, text = error.problem_mark, f"is no YAML: {problem}"
    mark = mark or error.problem_mark or error.context_mark
    return f"line {mark.line + 1}: {text}" if mark else text
