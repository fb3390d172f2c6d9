"""What a user can mend."""


class Fault(Exception):
    """Something the user can mend; the text says what is wrong, where, and what to do."""

    def __init__(self, message: str, code: int = 1):
        super().__init__(message)
        self.code = code
