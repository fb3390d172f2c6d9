"""How the program ends with an error that is the user's to fix."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pulumi

from settings.images import CatalogueError

# Tells the language host that the user has seen the error: it would else add one of its own about
# the exit code (pulumi-language-python-exec says 32, but not for RunError).
SHOWN = 32


@contextmanager
def refusals() -> Iterator[None]:
    """Make an error of the user's inside the last thing that is read, and end the program.

    Works in a function that is applied to an output, too: asyncio lets SystemExit through.
    """
    try:
        yield
    except (pulumi.RunError, CatalogueError) as error:
        pulumi.log.error(str(error))
        sys.exit(SHOWN)
