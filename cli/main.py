"""Runs one verb and turns what went wrong into a line and an exit code."""

import importlib
import sys
from collections.abc import Sequence

from cli.command_line import parse
from cli.fault import Fault, SettingsFault, say
from toolchain import files
from toolchain.install import SetupError


def main(arguments: Sequence[str]) -> int:
    """Run `./lab ARGUMENTS`; returns the exit code (cli/verbs.py, EXIT_CODES)."""
    verb, values = parse(arguments)
    module, _, function = verb.run.partition(":")
    try:
        code: int = getattr(importlib.import_module(module), function)(values)
    except SettingsFault as fault:
        print(fault, file=sys.stderr)
        return fault.code
    except (Fault, SetupError) as error:
        say(error)
        return error.code if isinstance(error, Fault) else 1
    except KeyboardInterrupt:
        again = "; run the same command again to go on" if verb.goes_on else ""
        print(f"\nlab: interrupted{again}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `./lab hosts lab | head -1`
        sys.stderr.close()
        return 0
    except OSError as error:
        if (text := files.explain(error)) is None:
            raise
        say(text)
        return 1
    return code
