"""Answer GET /predict on port 8080 with a prediction: the first answer is the first prediction."""

import json
import os
import signal
from types import FrameType


def end(_signal: int, _frame: FrameType | None) -> None:
    """End at once."""
    os._exit(0)


# PID 1 has no default action for SIGTERM: without this a stop waits for the engine's SIGKILL. Before the imports, which
# are most of the start.
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, end)

from http.server import BaseHTTPRequestHandler  # noqa: E402  see above
from pathlib import Path  # noqa: E402  see above
from socketserver import ThreadingTCPServer  # noqa: E402  see above

import numpy as np  # noqa: E402  see above
import onnxruntime  # noqa: E402  see above

SESSION = onnxruntime.InferenceSession(Path(__file__).with_name("model.onnx"), providers=["CPUExecutionProvider"])
IMAGE = np.linspace(-1, 1, 3 * 224 * 224, dtype=np.float32).reshape(1, 3, 224, 224)


class Handler(BaseHTTPRequestHandler):
    """One path, one picture."""

    def do_GET(self) -> None:
        """Predict."""
        if self.path != "/predict":
            self.send_error(404)
            return
        (probabilities,) = SESSION.run(["probabilities"], {"image": IMAGE})
        best = int(probabilities[0].argmax())
        body = json.dumps({"class": best, "probability": float(probabilities[0, best])}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingTCPServer):
    """Not http.server's own, which looks its host's name up before it listens."""

    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    with Server(("", 8080), Handler) as server:
        server.serve_forever()
