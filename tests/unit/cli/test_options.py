"""Docker's options as text: what is taken, what is refused and how that is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from coldstart.cli import run
from coldstart.cli._options import PassThrough, container_command, container_options, parse_container_options
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
    unsaid: dict[str, Any] = {
        **dict.fromkeys(("env", "env_file", "volume", "device"), ()),
        **dict.fromkeys(("memory", "cpus", "cpuset_cpus")),
    }
    return parse_container_options({**unsaid, **said}, command)


def test_nothing_said_is_no_option() -> None:
    assert parsed() == ContainerOptions()


def test_every_option_reaches_its_field() -> None:
    options = parsed(
        command=("/job", "--once"),
        env=("A=b",),
        volume=("/data:/data:ro",),
        device=("/dev/i2c-1:/dev/i2c-1:rw",),
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


@pytest.mark.parametrize("entry", ["A", "", "=b", "A B=c", " A=b"])
def test_what_is_no_variable_is_refused(entry: str) -> None:
    with pytest.raises(UsageError, match=r"--env: .* is no environment variable; write NAME=value\."):
        parsed(env=(entry,))


def test_a_file_of_variables_may_have_comments_and_empty_lines(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("# theirs\nA=b\n\n  # indented\n  C=d  \n")
    assert parsed(env_file=(tmp_path / "env",)).env == ("A=b", "C=d")


def test_a_variable_on_the_command_line_comes_after_the_files_and_so_wins(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("A=file\n")
    assert parsed(env=("A=said",), env_file=(tmp_path / "env",)).env == ("A=file", "A=said")


def test_a_line_that_is_no_variable_is_named_by_its_file_and_number(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("A=b\n\nC\n")
    with pytest.raises(UsageError, match=r"env:3: 'C' is no environment variable"):
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
        parsed(volume=(mount,))


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
    with pytest.raises(UsageError, match=r"--cpus .*: a limit is more than 0"):
        parsed(cpus=cpus)


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
