"""Configuration files from templates, with values that may be outputs and secret."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import pulumi


def compiled(template: Path) -> jinja2.Template:
    """The template in a file; a name that its values lack is an error."""
    return jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - configuration files, not HTML
    ).from_string(template.read_text(encoding="utf-8"))


def render(template: Path, values: Mapping[str, pulumi.Input[Any]]) -> pulumi.Output[str]:
    """The text of `template` with `values`; secret when any value is."""
    return pulumi.Output.all(**values).apply(compiled(template).render)
