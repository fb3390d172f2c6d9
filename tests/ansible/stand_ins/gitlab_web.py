"""Stands in for GitLab's web server: TLS with GitLab's certificate, and readiness."""

import http.server
import ssl


class Readiness(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/-/readiness" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()


server = http.server.ThreadingHTTPServer(("", 443), Readiness)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/etc/gitlab/ssl/lab.crt", "/etc/gitlab/ssl/lab.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
