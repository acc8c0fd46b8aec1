"""Docker's options as text: what is taken, what is refused and how that is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from coldstart.cli import calibrate, gate, run, trace
from coldstart.cli._containers import PARAMETERS, parse_container_options
from coldstart.cli._options import PassThrough, container_command, container_options
from coldstart.errors import InputFileError, UsageError
from coldstart.export.base import formats
from coldstart.model.options import ContainerOptions
from coldstart.runner import sources


@click.command(cls=PassThrough)
@click.argument("name", required=False)
@container_options
def echo(name: str | None, **said: Any) -> None:
    """A command with these options."""
    click.echo((name, parse_container_options(said, container_command())))


def parsed(command: tuple[str, ...] = (), **said: Any) -> ContainerOptions:
    """The options of a command line on which nothing but this was said."""
    return parse_container_options({**dict.fromkeys(PARAMETERS), **said}, command)


def test_nothing_said_is_no_option() -> None:
    assert parsed() == ContainerOptions()


def test_every_option_reaches_its_field() -> None:
    options = parsed(
        command=("/job", "--once"),
        env=("A=b",),
        volumes=("/data:/data:ro",),
        devices=("/dev/i2c-1:/dev/i2c-1:rw",),
        memory="1g",
        cpus=1.5,
        cpuset_cpus="0,2-3",
    )
    assert options == ContainerOptions(
        env=("A=b",),
        volumes=("/data:/data:ro",),
        devices=("/dev/i2c-1:/dev/i2c-1:rw",),
        memory_bytes=1024**3,
        cpus=1.5,
        cpuset_cpus="0,2-3",
        command=("/job", "--once"),
    )


@pytest.mark.parametrize("entry", ["A=", "A=b=c", "A= b ", "a.b-c=1"])
def test_a_variable_may_have_any_value(entry: str) -> None:
    assert parsed(env=(entry,)).env == (entry,)


@pytest.mark.parametrize("entry", ["", "=b", "A B=c", " A=b", "A B"])
def test_what_is_no_variable_is_refused(entry: str) -> None:
    with pytest.raises(UsageError, match=r"--env: .* is not an environment variable; write NAME=value, or NAME"):
        parsed(env=(entry,))


@pytest.mark.parametrize("entry", ["A=\0", "A=\udcff"])
def test_a_value_that_no_run_can_store_is_refused(entry: str) -> None:
    with pytest.raises(UsageError, match="--env: the value of 'A' is not text"):
        parsed(env=(entry,))


def test_a_name_alone_takes_the_callers_value_or_removes_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "x=y ")
    monkeypatch.delenv("NOBODYS", raising=False)
    assert parsed(env=("TOKEN", "NOBODYS")).env == ("TOKEN=x=y ", "NOBODYS")


def test_a_file_of_variables_may_have_comments_and_empty_lines(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("# theirs\nA=b\n\n  # indented\n  C=d  \n")
    assert parsed(env_file=(tmp_path / "env",)).env == ("A=b", "C=d  ")


def test_a_file_of_variables_from_windows_is_read_as_docker_reads_it(tmp_path: Path) -> None:
    (tmp_path / "env").write_bytes(b"\xef\xbb\xbfA=1\r\n\r\nB=2\r\nC=a\x0bb\r\n")
    assert parsed(env_file=(tmp_path / "env",)).env == ("A=1", "B=2", "C=a\x0bb")


def test_a_name_alone_in_a_file_takes_the_callers_value_or_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "x")
    monkeypatch.delenv("NOBODYS", raising=False)
    (tmp_path / "env").write_text("TOKEN \nNOBODYS\n")
    assert parsed(env_file=(tmp_path / "env",)).env == ("TOKEN=x",)


def test_a_variable_on_the_command_line_comes_after_the_files_and_so_wins(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("A=file\n")
    assert parsed(env=("A=said",), env_file=(tmp_path / "env",)).env == ("A=file", "A=said")


def test_a_line_that_is_no_variable_is_named_by_its_file_and_number(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("A=b\n\nC D\n")
    with pytest.raises(UsageError, match=r"env:3: 'C D' is not an environment variable"):
        parsed(env_file=(tmp_path / "env",))


@pytest.mark.parametrize("content", [None, b"A=\xff"])
def test_a_file_of_variables_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "env").write_bytes(content)
    with pytest.raises(InputFileError, match=r"--env-file .*/env: cannot be read"):
        parsed(env_file=(tmp_path / "env",))


@pytest.mark.parametrize("mount", ["/data", "data:/data", "./data:/data", ""])
def test_a_volume_is_an_absolute_folder_and_a_path(mount: str) -> None:
    with pytest.raises(UsageError, match=r"--volume .*: write an absolute host folder and a path"):
        parsed(volumes=(mount,))


@pytest.mark.parametrize(("text", "limit_bytes"), [("6m", 6 * 1024**2), ("64Mi", 64 * 1024**2), ("6291456", 6291456)])
def test_a_memory_limit_has_dockers_units(text: str, limit_bytes: int) -> None:
    assert parsed(memory=text).memory_bytes == limit_bytes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("much", "--memory: 'much' is not a size"),
        ("", "--memory: '' is not a size"),
        ("-1", "--memory: '-1' is not a size"),
        ("5m", "--memory 5m: Docker's least is 6m"),
        ("0", "--memory 0: Docker's least is 6m"),
    ],
)
def test_a_memory_limit_docker_would_refuse_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parsed(memory=text)
    assert message in str(caught.value)


@pytest.mark.parametrize("cpus", [0.0, -1.0, 4097.0, float("inf"), float("nan")])
def test_a_cpu_limit_is_some_cpus(cpus: float) -> None:
    with pytest.raises(UsageError, match=r"--cpus .*: write a number of CPUs above 0"):
        parsed(cpus=cpus)


def test_options_of_docker_run_reach_the_record_as_they_are_written_there() -> None:
    line = (
        "-u 1000:50 --entrypoint /init --workdir /app --hostname box --tmpfs /run:size=1m --shm-size 64m --read-only "
        "--init --privileged --cap-add NET_ADMIN --cap-drop ALL --security-opt seccomp=unconfined --ulimit nofile=9:10 "
        "--add-host db:10.0.0.5 --dns 10.0.0.1 --dns-option ndots:1 -l a=b -l c -m 64m --rm -d "
        "--mount type=bind,source=/a,target=/b,readonly --mount type=tmpfs,dst=/t"
    )
    printed = CliRunner().invoke(echo, line.split()).stdout
    expected = ContainerOptions(
        user="1000:50",
        entrypoint=("/init",),
        workdir="/app",
        hostname="box",
        tmpfs=("/run:size=1m", "/t"),
        volumes=("/a:/b:ro",),
        shm_bytes=64 * 1024**2,
        memory_bytes=64 * 1024**2,
        read_only=True,
        init=True,
        privileged=True,
        cap_add=("NET_ADMIN",),
        cap_drop=("ALL",),
        security_opt=("seccomp=unconfined",),
        ulimits=("nofile=9:10",),
        add_hosts=("db:10.0.0.5",),
        dns=("10.0.0.1",),
        dns_options=("ndots:1",),
        labels=("a=b", "c="),
    )
    assert printed == f"(None, {expected!r})\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("-p 80:80", "--publish: no port needs to be published"),
        ("-P", "--publish-all: no port needs to be published"),
        ("--name web", "--name: every start creates a container of its own"),
        ("-it", "--interactive: a measured start has no terminal"),
        ("-t", "--tty: a measured start has no terminal"),
        ("--restart=always", "--restart: each start is measured once"),
        ("--gpus all", "--gpus: register the vendor's runtime instead: coldstart testbed up --add-runtime"),
        ("--net host", "--net: write --network"),
        ("--pid=host", "--pid: it is not among the container options"),
    ],
)
def test_what_is_not_taken_of_docker_run_is_refused_by_name_with_the_reason(arguments: str, message: str) -> None:
    refused = CliRunner().invoke(echo, arguments.split()).exception
    assert isinstance(refused, UsageError)
    assert str(refused).startswith(message)


@pytest.mark.parametrize("command", [run, gate, trace, calibrate])
def test_no_option_of_docker_takes_a_name_that_a_command_uses_itself(command: Any) -> None:
    written = [name for param in command.command.params for name in (*param.opts, *param.secondary_opts)]
    assert sorted(set(written)) == sorted(written)


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ([], ()),
        (["--"], ()),
        (["--", "sh"], ("sh",)),
        (["name", "--", "-e", "--", "x"], ("-e", "--", "x")),
    ],
)
def test_what_follows_two_dashes_is_the_containers(arguments: list[str], command: tuple[str, ...]) -> None:
    printed = CliRunner().invoke(echo, arguments).stdout
    assert f"command={command!r}" in printed


def test_what_precedes_two_dashes_is_ours() -> None:
    assert CliRunner().invoke(echo, ["name", "-e", "A=b", "--", "sh"]).stdout.startswith("('name', ")


def test_the_command_of_one_call_is_not_the_nexts() -> None:
    CliRunner().invoke(echo, ["--", "sh"])
    assert "command=()" in CliRunner().invoke(echo, []).stdout


def test_every_format_can_be_exported_by_a_run() -> None:
    from coldstart.cli.run import command  # noqa: PLC0415  only this test reads its options

    options = {parameter.name for parameter in command.params}
    assert {f"export_{name}" for name in formats()} <= options


def test_the_sources_that_can_be_asked_for_are_those_there_are() -> None:
    option = next(param for param in run.command.params if param.name == "source")
    assert isinstance(option.type, click.Choice)
    assert tuple(option.type.choices) == sources.CHOICES
