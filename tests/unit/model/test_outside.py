"""What shows that a start needed another network."""

from __future__ import annotations

import pytest

from coldstart.model.outside import tried_outside
from coldstart.model.sample import Conditions, Outcome
from tests.unit.factories import make_sample


@pytest.mark.parametrize(
    "text",
    [
        "socket.gaierror: [Errno -3] Temporary failure in name resolution",
        "getent: Name does not resolve",
        "wget: bad address 'example.org'",
        "dial tcp: lookup example.org: no such host",
        "curl: (6) Could not resolve host: example.org",
        "Error: getaddrinfo EAI_AGAIN db",
        "connect: Network is unreachable",
        "java.net.UnknownHostException: db",
        "OSError: [Errno 113] No route to host",
    ],
)
def test_what_programs_write_of_a_network_they_lack_is_understood(text: str) -> None:
    assert tried_outside(make_sample(outcome=Outcome.EXITED, output_tail=f"starting\n{text}\n"))


@pytest.mark.parametrize("text", ["", "config.json: No such file or directory", "exit code 3", "Connection refused"])
def test_other_failures_do_not_show_it(text: str) -> None:
    assert not tried_outside(make_sample(outcome=Outcome.EXITED, output_tail=text))


@pytest.mark.parametrize(("packets", "tried"), [(None, False), (0, False), (1, True)])
def test_the_kernels_count_shows_it(packets: int | None, *, tried: bool) -> None:
    sample = make_sample(outcome=Outcome.NEVER_READY, conditions=Conditions(refused_packets=packets))
    assert tried_outside(sample) is tried
