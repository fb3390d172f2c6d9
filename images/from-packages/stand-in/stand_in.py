#!/usr/bin/python3
"""Answers where Ollama, Open WebUI or Portainer would: a page that says so, and health.

Which of them it is, is known by what the lab gives its container. Ollama's API has no models.
"""

import json
import os
import ssl
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = (
    "<!doctype html><title>{name}</title><h1>{name}</h1>"
    "<p>No registry of packages has it: this page stands in for it.</p>"
)
OLLAMA = {
    "/api/version": {"version": "0.0.0-stand-in"},
    "/api/tags": {"models": []},
    "/api/ps": {"models": []},
}
HEALTH = {
    "/health": {"status": True},
    "/health/db": {"status": True},
    "/api/system/status": {"Version": "stand-in"},
}


def handler(name, answers):
    """A server's answers: JSON where `answers` has the path, at / a page."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            path = self.path.partition("?")[0]
            if path in answers:
                self.answer(200, "application/json", json.dumps(answers[path]))
            else:
                self.answer(200 if path == "/" else 404, "text/html", PAGE.format(name=name))

        do_HEAD = do_GET

        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            text = json.dumps({"error": f"{name} is a stand-in, which has no models"})
            self.answer(501, "application/json", text)

        def answer(self, status, kind, text):
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_):
            """Health checks would fill the log."""

    return Handler


def serve(name, answers, address, context=None):
    """Answer at an address until the process ends."""
    server = ThreadingHTTPServer(address, handler(name, answers))
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


def portainer(options):
    """Plain HTTP inside the container, and HTTPS by the certificate that it is given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options["sslcert"], options["sslkey"])
    host, _, port = options["bind"].rpartition(":")
    inside = ("Portainer", HEALTH, (host, int(port)))
    threading.Thread(target=serve, args=inside, daemon=True).start()
    port = int(options["bind-https"].rpartition(":")[2])
    serve("Portainer", HEALTH, ("", port), context)


def main():
    words = sys.argv[1:]
    port = int(os.environ.get("OLLAMA_HOST", ":0").rpartition(":")[2])
    if words == ["ls"]:  # `ollama ls`, its health check
        urllib.request.urlopen(f"http://127.0.0.1:{port}/api/tags", timeout=5)
    elif "OLLAMA_HOST" in os.environ:
        serve("Ollama", OLLAMA, ("", port))
    elif any(word.startswith("--bind-https") for word in words):
        options = dict(word.lstrip("-").partition("=")[::2] for word in words)
        portainer(options)
    else:
        serve("Open WebUI", HEALTH, ("", 8080))


main()
