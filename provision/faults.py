"""What a user is told when something does not work; the class decides the exit code."""


class Fault(Exception):
    """A service, GitLab or a downstream pipeline failed (exit code 1)."""

    code = 1


class Invalid(Fault):
    """The request itself is wrong, so nothing was touched (exit code 2)."""

    code = 2


class Refused(Fault):
    """The name belongs to somebody else, or the caller may not ask (exit code 3)."""

    code = 3


class TimedOut(Fault):
    """The lab did not answer in the time that the caller gave it (exit code 4)."""

    code = 4


# What the lab's job adds to a request that it could not fulfil.
OUTCOME = ("code", "reason")
BY_CODE = {str(kind.code): kind for kind in (Fault, Invalid, Refused, TimedOut)}
# To a refusal over a name that is somebody else's; docs/ci.md has the steps of the second.
GIVE_BACK = "take another name, or ask who administers the lab to give this one back (docs/ci.md)"
