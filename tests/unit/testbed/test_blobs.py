"""What the registry's log proves of a pull."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from coldstart.errors import TestbedError
from coldstart.testbed.blobs import AccessLog, BlobTraffic

ONE = f"sha256:{1:064x}"
TWO = f"sha256:{2:064x}"


def answered(uri: str, **fields: Any) -> bytes:
    """A line of distribution's log, in its JSON form, with some of the fields that are not asked for."""
    line: dict[str, Any] = {
        "go.version": "go1.19.8",
        "http.request.method": "GET",
        "http.request.uri": uri,
        "http.response.duration": "1.1ms",
        "http.response.status": 200,
        "http.response.written": 100,
        "level": "info",
        "msg": "response completed",
    }
    given = {f"http.{name.replace('_', '.')}": value for name, value in fields.items()}
    return msgspec.json.encode({**line, **given}) + b"\n"


def blob(digest: str, **fields: Any) -> bytes:
    """The line of a blob's download."""
    return answered(f"/v2/hello-alpine/blobs/{digest}", **fields)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log is, or will be."""
    return tmp_path / "registry.log"


def test_downloads_are_counted_with_their_bytes_and_digests_in_order(path: Path) -> None:
    path.write_bytes(blob(TWO, response_written=20) + blob(ONE, response_written=3))
    assert AccessLog(path).since(0) == BlobTraffic(gets=2, bytes=23, digests=(TWO, ONE))


def test_a_blob_that_was_fetched_twice_is_counted_twice(path: Path) -> None:
    path.write_bytes(blob(ONE) + blob(ONE))
    assert AccessLog(path).since(0).digests == (ONE, ONE)


@pytest.mark.parametrize("status", [200, 206, 299])
def test_every_success_is_a_download(path: Path, status: int) -> None:
    path.write_bytes(blob(ONE, response_status=status))
    assert AccessLog(path).since(0).gets == 1


@pytest.mark.parametrize("status", [199, 300, 307, 404, 500])
def test_no_other_answer_is_a_download(path: Path, status: int) -> None:
    path.write_bytes(blob(ONE, response_status=status))
    assert AccessLog(path).since(0) == BlobTraffic(gets=0, bytes=0, digests=())


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE"])
def test_no_other_request_for_a_blob_is_a_download(path: Path, method: str) -> None:
    path.write_bytes(blob(ONE, request_method=method))
    assert AccessLog(path).since(0).gets == 0


@pytest.mark.parametrize(
    "uri",
    ["/v2/", f"/v2/hello/manifests/{ONE}", f"/v2/blobs/{ONE}", "/v2/hello/blobs/uploads/", f"/v2/a/blobs/{ONE}/x"],
)
def test_what_is_no_blob_is_no_download(path: Path, uri: str) -> None:
    path.write_bytes(answered(uri))
    assert AccessLog(path).since(0).gets == 0


@pytest.mark.parametrize("uri", [f"/v2/deep/er/name/blobs/{ONE}", f"/v2/hello/blobs/{ONE}?ns=docker.io"])
def test_a_blob_is_known_by_the_digest_in_its_address(path: Path, uri: str) -> None:
    path.write_bytes(answered(uri))
    assert AccessLog(path).since(0).digests == (ONE,)


def test_numbers_may_be_written_as_text(path: Path) -> None:
    path.write_bytes(blob(ONE, response_status="200", response_written="77"))
    assert AccessLog(path).since(0).bytes == 77


def test_an_answer_without_a_body_has_no_bytes(path: Path) -> None:
    line = msgspec.json.decode(blob(ONE))
    del line["http.response.written"]
    path.write_bytes(msgspec.json.encode(line) + b"\n")
    assert AccessLog(path).since(0) == BlobTraffic(gets=1, bytes=0, digests=(ONE,))


@pytest.mark.parametrize("message", ["response completed with error", "authorized request"])
def test_other_messages_are_passed_over(path: Path, message: str) -> None:
    path.write_bytes(blob(ONE).replace(b"response completed", message.encode()))
    assert AccessLog(path).responses_since(0) == ()


def test_what_the_registry_says_at_its_start_is_passed_over(path: Path) -> None:
    path.write_bytes(b"time=now level=warning\n" + blob(ONE))
    assert AccessLog(path).since(0).gets == 1


def test_only_what_ended_after_the_mark_is_seen(path: Path) -> None:
    path.write_bytes(blob(ONE))
    log = AccessLog(path)
    mark = log.mark()
    with path.open("ab") as file:
        file.write(blob(TWO))
    assert log.since(mark).digests == (TWO,)


def test_a_line_that_is_still_being_written_is_left_for_later(path: Path) -> None:
    path.write_bytes(blob(ONE) + blob(TWO)[:-1])
    assert AccessLog(path).since(0).digests == (ONE,)


def test_a_mark_is_before_a_line_that_is_still_being_written(path: Path) -> None:
    path.write_bytes(blob(ONE) + blob(TWO)[:30])
    assert AccessLog(path).mark() == len(blob(ONE))


def test_the_mark_of_a_long_log_is_its_end(path: Path) -> None:
    path.write_bytes(blob(ONE) * 1000)
    assert AccessLog(path).mark() == 1000 * len(blob(ONE))


def test_the_mark_of_a_first_unfinished_line_is_the_start(path: Path) -> None:
    path.write_bytes(blob(ONE)[:-1])
    assert AccessLog(path).mark() == 0


def test_the_mark_of_an_absent_log_is_its_start(path: Path) -> None:
    assert AccessLog(path).mark() == 0


def test_an_absent_log_shows_nothing(path: Path) -> None:
    assert AccessLog(path).responses_since(0) == ()


def test_a_log_that_was_cut_is_no_proof(path: Path) -> None:
    path.write_bytes(blob(ONE))
    with pytest.raises(TestbedError, match="was cut while being read"):
        AccessLog(path).since(len(blob(ONE)) + 1)


def test_a_log_with_nothing_new_was_not_cut(path: Path) -> None:
    path.write_bytes(blob(ONE))
    assert AccessLog(path).since(len(blob(ONE))).gets == 0


@pytest.mark.parametrize("line", [b'{"msg":"response completed"}\n', b'{"msg":"response completed",\n'])
def test_a_request_that_cannot_be_read_is_an_error_that_shows_it(path: Path, line: bytes) -> None:
    path.write_bytes(line)
    with pytest.raises(TestbedError, match=r"registry\.log: cannot read .*response completed"):
        AccessLog(path).since(0)


class GrowingLog(AccessLog):
    """A log that gains a download each time it is looked at."""

    looks = 0

    def since(self, mark: int) -> BlobTraffic:
        """One more download than the last time."""
        self.looks += 1
        return BlobTraffic(gets=self.looks, bytes=mark, digests=())


def test_settling_ends_with_the_last_download_that_was_waited_for(path: Path) -> None:
    assert GrowingLog(path).settle(5, gets=3) == BlobTraffic(gets=3, bytes=5, digests=())


def test_settling_gives_up_and_gives_what_it_sees(path: Path) -> None:
    path.write_bytes(blob(ONE))
    assert AccessLog(path).settle(0, gets=2, timeout_ns=0).gets == 1
