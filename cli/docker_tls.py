"""A client certificate as docker's own command takes it: in files, named by variables."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def client_certificate(pems: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The variables for docker while its files are there; none where all texts are empty.

    pems maps ca.pem, cert.pem and key.pem to their texts.
    """
    with tempfile.TemporaryDirectory() as folder:
        variables = {}
        for file, text in pems.items():
            if text:
                path = Path(folder, file)
                path.touch(0o600)
                path.write_text(text)
                variables = {"DOCKER_CERT_PATH": folder, "DOCKER_TLS_VERIFY": "1"}
        yield variables
