"""What a user can fix, and how the user is told."""

import sys


class Fault(Exception):
    """Something the user can fix; the text says what is wrong, where, and what to do."""

    def __init__(self, message: str, code: int = 1):
        super().__init__(message)
        self.code = code


class SettingsFault(Fault):
    """Faults of the settings: one a line, each naming its file; exit code 2."""

    def __init__(self, message: str):
        super().__init__(message, 2)


def say(text: object) -> None:
    """A line for the person at the terminal; standard output is for what was asked for."""
    print(f"lab: {text}", file=sys.stderr)
