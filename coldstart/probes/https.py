"""``https:PORT/PATH``: as ``http``, over TLS. The certificate is not verified: readiness is asked, not identity.

The handshake is part of the app's answer, so it is part of readiness.
"""

from __future__ import annotations

import functools
import socket
import ssl

from coldstart.model.probe import ProbeSpec
from coldstart.probes.http import HttpProbe


def make(spec: ProbeSpec) -> HttpsProbe:
    """See `coldstart.probes.base.Probe`."""
    _context()  # made here, before any start is timed
    return HttpsProbe(spec)


class HttpsProbe(HttpProbe):
    """One handshake and one request per connection; sessions are never resumed."""

    def ask(self, connection: socket.socket) -> str | None:
        """Shake hands, then ask."""
        try:
            encrypted = _context().wrap_socket(connection, server_hostname="localhost")
        except ssl.SSLError as error:
            return f"{self._spec}: no TLS on this port ({error.reason or error})"
        with encrypted:
            return super().ask(encrypted)


@functools.cache
def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
