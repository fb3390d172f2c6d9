"""Names and certificates of one test, for origins that speak TLS."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness.certificates import Pair


@contextmanager
def resolver() -> Iterator[str]:
    """Address and port of a DNS server that knows every name as 127.0.0.1, for one block."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.1)
        stop = threading.Event()

        def answer() -> None:
            while not stop.is_set():
                try:
                    query, client = server.recvfrom(512)
                except TimeoutError:
                    continue
                end = query.index(b"\0", 12) + 5  # the name, its type and its class
                # RFC 1035: the same id, "response, recursion", one question, one answer; the
                # answer's name is a pointer to the question's, A, IN, 60 s, 4 bytes.
                header = query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0"
                record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton("127.0.0.1")
                server.sendto(header + query[12:end] + record, client)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            stop.set()
            thread.join()


def context(pair: Pair, folder: Path) -> ssl.SSLContext:
    """What a server with this certificate needs; `folder` keeps it."""
    both = folder / "server.pem"
    both.write_text(pair.certificate + pair.key)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(both)
    return made
