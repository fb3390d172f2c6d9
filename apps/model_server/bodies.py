"""How much of requests is taken: one body, and all that are being read or answered."""

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MIB = 1024 * 1024
# In Python's objects a body takes up to ten times as much; settings/apps/model_server.py has what
# that comes to.
MOST_OF_ONE, MOST_OF_ALL = 4 * MIB, 12 * MIB


class BodyLimit:
    """Answers 413 to a body that is too large, 429 where too many are held in memory."""

    def __init__(self, app: ASGIApp, one: int = MOST_OF_ONE, all_: int = MOST_OF_ALL):
        self._app = app
        self._one = one
        self._all = all_
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http" or scope["method"] not in {"POST", "PATCH", "PUT"}:
            await self._app(scope, receive, send)
            return
        told = dict(scope["headers"]).get(b"content-length", b"0")
        size = int(told) if told.isdigit() else 0
        refused = self._refused(size)
        if refused is not None:
            await refused(scope, receive, send)
            return
        held = size
        read = 0
        self._held += held

        async def limited() -> Message:
            nonlocal held, read
            message = await receive()
            read += len(message.get("body", b""))
            if read > held:  # in chunks, without a length
                self._held += read - held
                held = read
                if read > self._one:
                    raise HTTPException(413, self._too_large())
            return message

        try:
            await self._app(scope, limited, send)
        finally:
            self._held -= held

    def _refused(self, size: int) -> JSONResponse | None:
        if size > self._one:
            return JSONResponse({"error": self._too_large()}, 413)
        if self._held + size > self._all:
            said = f"requests of {self._all // MIB} MiB wait already"
            return JSONResponse({"error": said}, 429, {"Retry-After": "1"})
        return None

    def _too_large(self) -> str:
        return f"the request has more than {self._one / MIB:g} MiB"
