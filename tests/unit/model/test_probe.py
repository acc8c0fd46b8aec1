"""What ``--ready`` may say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldstart.errors import UsageError
from coldstart.model.probe import ProbeSpec


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http:8080", ProbeSpec(kind="http", port=8080, argument="/")),
        ("http:8080/", ProbeSpec(kind="http", port=8080, argument="/")),
        ("http:80/a/b?c=1", ProbeSpec(kind="http", port=80, argument="/a/b?c=1")),
        ("https:8443", ProbeSpec(kind="https", port=8443, argument="/")),
        ("tcp:6379", ProbeSpec(kind="tcp", port=6379)),
        ("tcp:65535", ProbeSpec(kind="tcp", port=65535)),
        ("log:ready: to serve", ProbeSpec(kind="log", argument="ready: to serve")),
        ("exit", ProbeSpec(kind="exit")),
        ("exec:sh -c 'a: b'", ProbeSpec(kind="exec", argument="sh -c 'a: b'")),
        ("healthcheck", ProbeSpec(kind="healthcheck")),
        ("notify", ProbeSpec(kind="notify")),
        ("http:80/a:b", ProbeSpec(kind="http", port=80, argument="/a:b")),
        ("other:what it likes", ProbeSpec(kind="other", argument="what it likes")),
    ],
)
def test_a_probe_is_read_as_written(text: str, expected: ProbeSpec) -> None:
    assert ProbeSpec.parse(text) == expected


@pytest.mark.parametrize("port", ["", "0", "65536", "99999", "-1", "x", "80 ", "٨٠", "+80", "8_0", "9" * 5000])
@pytest.mark.parametrize("kind", ["http", "https", "tcp"])
def test_what_is_no_port_is_refused_with_an_example(kind: str, port: str) -> None:
    with pytest.raises(UsageError, match=rf"needs the container's port \(1 to 65535\), such as {kind}:8080"):
        ProbeSpec.parse(f"{kind}:{port}")


def test_tcp_takes_no_path() -> None:
    with pytest.raises(UsageError, match="tcp takes a port only, such as tcp:80"):
        ProbeSpec.parse("tcp:80/x")


@pytest.mark.parametrize("text", ["log", "log:"])
def test_log_needs_a_text(text: str) -> None:
    with pytest.raises(UsageError, match="log needs the text to wait for"):
        ProbeSpec.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        *("tcp:localhost:8080", "tcp:127.0.0.1:8080", "tcp:8080:80", "tcp:[::1]:80", "tcp://localhost:8080"),
        *("http://localhost:8080/", "http://localhost/", "http:localhost:8080/x", "http:0.0.0.0:8080"),
    ],
)
def test_a_published_port_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        ProbeSpec.parse(text)
    assert f"name the container's own port and no host, such as {text[:4].rstrip(':')}:8080" in str(refused.value)
    assert "A published port is no readiness: docker-proxy accepts there before the app listens" in str(refused.value)


@pytest.mark.parametrize("text", ["exec", "exec:", "exec:  "])
def test_exec_needs_a_command(text: str) -> None:
    with pytest.raises(UsageError, match="exec needs the command to run in the container, such as exec:pg_isready"):
        ProbeSpec.parse(text)


@pytest.mark.parametrize("text", ["exec:sh -c 'x", 'exec:"', "exec:a \\"])
def test_a_command_whose_quotes_do_not_match_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="its quotes do not match"):
        ProbeSpec.parse(text)


@pytest.mark.parametrize("path", ["a b", "x\r\nHost: y", "\x00", "\x7f"])
def test_a_path_cannot_smuggle_anything_into_the_request(path: str) -> None:
    with pytest.raises(UsageError, match="a path has no spaces or control characters"):
        ProbeSpec.parse(f"http:80/{path}")


@given(
    st.one_of(
        st.builds(
            ProbeSpec,
            kind=st.just("http"),
            port=st.integers(1, 65535),
            argument=st.text("abc/?=%", max_size=9).map(lambda path: f"/{path}"),
        ),
        st.builds(ProbeSpec, kind=st.just("tcp"), port=st.integers(1, 65535)),
        st.builds(ProbeSpec, kind=st.just("log"), argument=st.text(min_size=1)),
        st.builds(ProbeSpec, kind=st.just("exec"), argument=st.text("abc -/", min_size=1).filter(str.strip)),
        st.builds(ProbeSpec, kind=st.sampled_from(("exit", "healthcheck", "notify"))),
    )
)
def test_a_probe_is_written_as_it_is_read(spec: ProbeSpec) -> None:
    assert ProbeSpec.parse(str(spec)) == spec
