"""Serve the API on port 8080."""

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

import uvicorn  # noqa: E402  see above
from orders import app  # noqa: E402  see above


class Server(uvicorn.Server):
    """Uvicorn puts handlers of its own in place, which wait for connections to close."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End at once."""
        end(sig, frame)


if __name__ == "__main__":
    Server(uvicorn.Config(app, host="0.0.0.0", port=8080, log_level="warning")).run()  # noqa: S104  it is asked from outside
