"""What a user can mend."""


class Fault(Exception):
    """Something the user can mend; the text says what is wrong, where, and what to do."""

    def __init__(self, message: str, code: int = 1):
        super().__init__(message)
        self.code = code


class SettingsFault(Fault):
    """Faults of the settings: one a line, each naming its file; exit code 2."""

    def __init__(self, message: str):
        super().__init__(message, 2)
