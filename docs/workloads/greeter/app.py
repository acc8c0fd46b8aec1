"""Greet on port 8080."""

import os
import signal
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer

# PID 1 has no default action for SIGTERM: without this every stop would wait ten seconds for the engine's SIGKILL.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))


class Handler(BaseHTTPRequestHandler):
    """One answer, whatever the path."""

    def do_GET(self) -> None:
        """Greet."""
        body = b"hello\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    with ThreadingTCPServer(("", 8080), Handler) as server:
        server.serve_forever()
