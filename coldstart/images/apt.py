"""An apt of our own: no list, cache or status of the host's is read or written."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def own_apt(root: Path, lines: Iterable[str], architecture: str, *, installed: Iterable[str] = ()) -> list[str]:
    """The beginning of an ``apt-get`` command that knows only the sources ``lines``, and of no package installed.

    What is in ``installed`` it takes for installed, and does not fetch where others depend on it. Its state is in
    ``root``, which is made; packages are downloaded to ``root/cache/archives``.
    """
    for folder in (root / "lists" / "partial", root / "cache" / "archives" / "partial"):
        folder.mkdir(parents=True)
    (root / "status").write_text(
        "".join(
            f"Package: {name}\nStatus: install ok installed\nVersion: 999\nArchitecture: {architecture}\n\n"
            for name in installed
        )
    )
    (root / "sources.list").write_text("".join(f"{line}\n" for line in lines))
    configuration = root / "apt.conf"
    configuration.write_text(
        f'Dir::State "{root}";\n'
        f'Dir::State::Lists "{root}/lists";\n'
        f'Dir::State::status "{root}/status";\n'
        f'Dir::Cache "{root}/cache";\n'
        f'Dir::Etc::sourcelist "{root}/sources.list";\n'
        'Dir::Etc::sourceparts "-";\n'
        'Dir::Etc::preferences "-";\n'
        'Dir::Etc::preferencesparts "-";\n'
        f'APT::Architecture "{architecture}";\n'
        f'APT::Architectures {{ "{architecture}"; }};\n'
        'APT::Sandbox::User "root";\n'  # our folders are closed to _apt
        "#clear APT::Update::Post-Invoke;\n"  # hosts that are containers clean their own cache there
        'Acquire::Languages "none";\n'
    )
    return ["apt-get", "-c", str(configuration), "-q"]
