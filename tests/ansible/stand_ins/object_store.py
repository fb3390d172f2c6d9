#!/usr/bin/python3
"""Stands in for an S3 server where the real one is not built: TLS, health, notification."""

import http.server
import os
import socket
import ssl
import sys
from pathlib import Path

options = dict(zip(sys.argv[2::2], sys.argv[3::2], strict=False))
assert len(Path(os.environ["MINIO_ROOT_PASSWORD_FILE"]).read_text()) >= 8
Path("/var/lib/object-store/written").write_text(os.environ["MINIO_SITE_REGION"])


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/minio/health/cluster" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()


server = http.server.ThreadingHTTPServer(("", int(options["--address"].strip(":"))), Health)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
certificates = options["--certs-dir"]
context.load_cert_chain(f"{certificates}/public.crt", f"{certificates}/private.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
    notify.connect(os.environ["NOTIFY_SOCKET"])
    notify.send(b"READY=1")
server.serve_forever()
