"""Alpine's package database, and what depends on what."""

from __future__ import annotations

from coldstart.images import apk

DATABASE = """\
C:Q1aaa=
P:shell
V:1.2-r0
A:x86_64
D:so:libc.so.1 base>=1 !oldshell
p:/bin/sh cmd:sh=1.2-r0
F:bin
M:0:0:1777
R:sh
a:1:2:4755
Z:Q1zzz=

C:Q1bbb=
P:base
V:3-r1
A:x86_64
F:
R:top
F:etc

C:Q1ccc=
P:libc
V:2-r0
A:x86_64
p:so:libc.so.1=1

C:Q1ddd=
P:tool
V:1-r0
A:x86_64
D:/bin/sh

C:Q1eee=
P:kernel
V:6-r0
A:x86_64
D:missing
"""


def test_a_package_is_read_with_its_entries_owners_and_checksums() -> None:
    shell = apk.parse(DATABASE)["shell"]
    assert (shell.version, shell.architecture, shell.checksum) == ("1.2-r0", "x86_64", "Q1aaa=")
    assert shell.entries == (
        apk.Entry(path="bin", is_folder=True, mode=0o1777),
        apk.Entry(path="bin/sh", is_folder=False, uid=1, gid=2, mode=0o4755, checksum="Q1zzz="),
    )


def test_a_file_in_the_root_has_no_leading_slash() -> None:
    assert apk.parse(DATABASE)["base"].entries[1].path == "top"


def test_dependencies_lose_their_versions_and_conflicts_are_none() -> None:
    assert apk.parse(DATABASE)["shell"].depends == ("so:libc.so.1", "base")


def test_the_closure_follows_names_and_what_packages_provide() -> None:
    assert list(apk.closure(apk.parse(DATABASE), ["tool"])) == ["base", "libc", "shell", "tool"]


def test_a_root_or_a_dependency_that_is_not_installed_is_left_out() -> None:
    assert list(apk.closure(apk.parse(DATABASE), ["kernel", "nothing"])) == ["kernel"]


def test_appended_lines_are_taken_off_a_packaged_file() -> None:
    packaged = b"root:x:0\n"
    assert apk.as_packaged(packaged + b"guest:x:9\n", apk.checksum(packaged)) == packaged


def test_a_changed_file_is_not_the_packaged_one() -> None:
    assert apk.as_packaged(b"other\n", apk.checksum(b"root:x:0\n")) is None


def test_checksums_are_written_as_alpine_writes_them() -> None:
    assert apk.checksum(b"") == "Q12jmj7l5rSw0yVb/vlWAYkK/YBwk="
