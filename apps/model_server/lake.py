"""The lake writer, which is asked whether the lake has what was logged."""

import json
from typing import Any, Protocol
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

# It waits that long for the lake; a batch takes a second or two.
WAIT_S, MORE_S = 30, 10


class NotInLakeError(Exception):
    """The lake has not got everything; the argument says what is known of it."""


class Lake(Protocol):
    """Where events end."""

    def flush(self) -> None:
        """Return once all that Kafka has is in the lake; NotInLakeError where it is not."""
        ...


class LakeWriter:
    """The lake writer at an address."""

    def __init__(self, url: str):
        self._url = f"{url.rstrip('/')}/flush?timeout={WAIT_S}"

    def flush(self) -> None:
        """See Lake."""
        # The settings take http and https only.
        request = Request(self._url, method="POST")  # noqa: S310
        try:
            with urlopen(request, timeout=WAIT_S + MORE_S):  # noqa: S310
                return
        except HTTPError as error:
            said: Any = error.read().decode(errors="replace")
            try:
                said = json.loads(said)
            except ValueError:
                said = {"error": said}
            raise NotInLakeError(said) from error
        except (URLError, OSError) as error:
            reason = error.reason if isinstance(error, URLError) else error
            raise NotInLakeError({"error": f"the lake writer does not answer: {reason}"}) from error
