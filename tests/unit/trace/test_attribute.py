"""Who is who in the trees that runtimes leave behind, and the spans and instants of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from coldstart.engines.base import LayerEvent, Timed
from coldstart.model.image import Image, Layer
from coldstart.model.sample import Phase, Source, Span
from coldstart.trace.attribute import Role, Start, find_start, is_daemons_own, members, observe
from coldstart.trace.base import InstantKind, Observation, TrialWindow
from tests.unit.factories import MS, make_image
from tests.unit.trace.recording import (
    CONTAINERD,
    DOCKERD,
    DOCKERDS_THREAD,
    HOOK,
    REEXEC,
    STRANGER,
    Recording,
    window,
)

ERROR_NS = 1000
INIT = {
    (Phase.INIT_ENGINE, 0, 9),
    (Phase.INIT_SHIM, 9, 21),
    (Phase.RUNTIME_CREATE, 21, 70),
    (Phase.NETWORK_HOOK, 41, 60),
    (Phase.INIT_ENGINE, 70, 76),
    (Phase.RUNTIME_START, 76, 80),
}
"""The leaves of init of a start asked for at 0 ms."""


def observed(recording: Recording, trial: TrialWindow, source: Source = Source.TRACE) -> Observation:
    return observe(recording.tree, trial, source, ERROR_NS)


def ms(spans: Iterable[Span], container: int = 0) -> set[tuple[Phase, int, int]]:
    return {(s.phase, s.start_ns // MS, s.end_ns // MS) for s in spans if s.container == container}


def instants(seen: Observation, container: int = 0) -> dict[InstantKind, int]:
    return {i.kind: i.at_ns // MS for i in seen.instants if i.container == container}


def start(recording: Recording, init: int) -> Start:
    found = find_start(recording.tree, init)
    assert found is not None
    return found


# --- one start ---


def test_a_start_by_runc_has_all_leaves_with_its_hook_inside_create() -> None:
    recording = Recording()
    assert ms(observed(recording, window(recording.runc())).spans) == INIT


def test_a_start_by_crun_whose_init_create_forks_itself_has_the_same_leaves() -> None:
    recording = Recording()
    assert ms(observed(recording, window(recording.crun())).spans) == INIT


@pytest.mark.parametrize("runtime", [Recording.runc, Recording.crun])
def test_the_entrypoint_starts_after_the_runtime_was_told_to_and_then_listens(
    runtime: Callable[[Recording], int],
) -> None:
    recording = Recording()
    init = runtime(recording)
    assert instants(observed(recording, window(init))) == {
        InstantKind.ENTRYPOINT_EXEC: 80,
        InstantKind.LISTENING: 90,
    }


def test_without_a_network_there_is_no_hook() -> None:
    recording = Recording()
    spans = ms(observed(recording, window(recording.runc(hook=False))).spans)
    assert spans == INIT - {(Phase.NETWORK_HOOK, 41, 60)}


def test_every_span_and_instant_says_who_saw_it_and_how_exactly() -> None:
    recording = Recording()
    seen = observed(recording, window(recording.runc()), Source.PROC)
    said = {(span.source, span.error_ns) for span in seen.spans}
    assert said | {(instant.source, instant.error_ns) for instant in seen.instants} == {(Source.PROC, ERROR_NS)}


def test_a_sandbox_was_a_program_before_its_entrypoint_so_the_entrypoint_is_not_seen() -> None:
    recording = Recording()
    seen = observed(recording, window(recording.runsc()))
    assert (seen.instants, ms(seen.spans)) == (
        (),
        {
            (Phase.INIT_ENGINE, 0, 9),
            (Phase.INIT_SHIM, 9, 21),
            (Phase.RUNTIME_CREATE, 21, 70),
            (Phase.INIT_ENGINE, 70, 76),
        },
    )


def test_a_script_that_becomes_a_server_started_when_it_was_the_script() -> None:
    recording = Recording()
    init = recording.runc(entrypoint="/bin/sh")
    recording.exec(85, init, "/server")
    found = start(recording, init).entrypoint
    assert found is not None
    assert (found.path, found.at_ns) == ("/bin/sh", 80 * MS)


def test_what_the_entrypoint_forks_listens_for_it() -> None:
    recording = Recording()
    init = recording.crun()
    recording.run(init, 200, "/worker", 82)
    recording.fork(83, 200, 201)
    recording.listen(88, 201)
    assert instants(observed(recording, window(init)))[InstantKind.LISTENING] == 88


def test_another_port_that_it_listens_on_first_is_not_the_one_that_is_asked() -> None:
    recording = Recording()
    init = recording.runc()
    recording.listen(85, init, 9090)
    assert instants(observed(recording, window(init, port=8080)))[InstantKind.LISTENING] == 90


def test_any_port_is_listening_where_readiness_is_asked_on_none() -> None:
    recording = Recording()
    init = recording.runc()
    recording.listen(85, init, 9090)
    assert instants(observed(recording, window(init, port=None)))[InstantKind.LISTENING] == 85


def test_an_app_that_never_listens_has_no_such_instant() -> None:
    recording = Recording()
    init = recording.runc()
    assert set(instants(observed(recording, window(init, port=1)))) == {InstantKind.ENTRYPOINT_EXEC}


def test_the_daemon_that_listens_for_a_published_port_is_not_the_app() -> None:
    recording = Recording()
    init = recording.runc()
    recording.run(DOCKERD, 70, "/usr/bin/docker-proxy", 50)
    recording.listen(51, 70)
    assert instants(observed(recording, window(init)))[InstantKind.LISTENING] == 90


def test_a_shim_that_does_not_start_itself_anew_is_its_own_launcher() -> None:
    recording = Recording()
    recording.run(CONTAINERD, 101, "/usr/bin/shim", 9)
    recording.run(101, 102, "/usr/bin/runc", 21, 70)
    recording.fork(25, 102, 105)
    found = start(recording, 105)
    assert (found.launcher, ms(observed(recording, window(105)).spans)) == (
        found.shim,
        {(Phase.INIT_ENGINE, 0, 9), (Phase.INIT_SHIM, 9, 21), (Phase.RUNTIME_CREATE, 21, 70)},
    )


def test_an_init_that_the_shim_itself_forked_has_neither_create_nor_start() -> None:
    recording = Recording()
    recording.shim(0, 100)
    recording.fork(20, 101, 105)
    recording.run(101, 109, "/usr/bin/other", 30, 40)
    found = start(recording, 105)
    assert (found.create, found.start, found.hooks, found.entrypoint) == (None, None, (), None)


def test_a_create_that_never_became_a_program_gives_no_span() -> None:
    recording = Recording()
    recording.shim(0, 100)
    recording.fork(20, 101, 102)
    recording.fork(25, 102, 105)
    recording.exit(70, 102)
    recording.run(101, 109, "/usr/bin/runc", 76)
    assert ms(observed(recording, window(105)).spans) == {(Phase.INIT_ENGINE, 0, 9)}


def test_what_the_shim_ran_before_create_is_not_runtime_start() -> None:
    recording = Recording()
    init = recording.runc()
    recording.run(101, 150, "/usr/bin/runc", 15, 17)
    process = start(recording, init).start
    assert process is not None
    assert process.pid == 109


def test_a_fork_of_the_shim_that_became_no_program_is_not_runtime_start() -> None:
    recording = Recording()
    init = recording.runc()
    recording.fork(72, 101, 150)
    process = start(recording, init).start
    assert process is not None
    assert process.pid == 109


def test_what_the_shim_runs_after_runtime_start_is_neither() -> None:
    recording = Recording()
    init = recording.runc()
    recording.run(101, 150, "/usr/bin/runc", 95, 97)
    assert ms(observed(recording, window(init)).spans) == INIT


def test_a_hook_that_is_some_other_program_is_not_the_network_hook() -> None:
    recording = Recording()
    init = recording.runc()
    recording.run(102, 150, "/usr/local/bin/hook", 62, 66)
    assert [hook.pid for hook in start(recording, init).hooks] == [106]


def test_of_a_source_that_tells_no_names_there_is_no_hook() -> None:
    recording = Recording()
    init = recording.runc(hook=False)
    recording.run(102, 106, None, 41, 60)
    assert start(recording, init).hooks == ()


def test_an_ancestor_of_the_init_is_no_hook_whatever_it_runs() -> None:
    recording = Recording()
    init = recording.runc()
    recording.exec(24, 103, HOOK)
    assert [hook.pid for hook in start(recording, init).hooks] == [106]


def test_a_launcher_that_ran_before_the_request_gives_no_negative_span() -> None:
    recording = Recording()
    init = recording.runc()
    spans = ms(observed(recording, window(init, asked_ms=[10])).spans)
    assert spans == INIT - {(Phase.INIT_ENGINE, 0, 9)}


def test_a_launcher_that_ran_at_the_very_request_gives_an_empty_span() -> None:
    recording = Recording()
    init = recording.runc()
    assert (Phase.INIT_ENGINE, 9, 9) in ms(observed(recording, window(init, asked_ms=[9])).spans)


@pytest.mark.parametrize(
    ("path", "is_own"),
    [
        ("/proc/10/exe", True),
        ("/proc/self/exe", False),
        ("/proc/10/cwd", False),
        ("/proc/10/exe/x", False),
        ("/root/10/exe", False),
        ("/usr/bin/dockerd", False),
        (None, False),
    ],
)
def test_a_daemons_own_program_is_one_named_by_a_processs_number(path: str | None, is_own: bool) -> None:
    assert is_daemons_own(path) is is_own


# --- several starts, strangers, ends ---


def test_starts_at_once_are_told_apart() -> None:
    recording = Recording()
    inits = recording.runc(base=100), recording.crun(at_ms=5, base=200)
    seen = observed(recording, window(*inits, asked_ms=[0, 5]))
    assert ms(seen.spans, container=0) == INIT
    assert ms(seen.spans, container=1) == {(phase, begin + 5, end + 5) for phase, begin, end in INIT}


def test_instants_of_starts_at_once_are_told_apart() -> None:
    recording = Recording()
    inits = recording.runc(base=100), recording.crun(at_ms=5, base=200)
    seen = observed(recording, window(*inits, asked_ms=[0, 5]))
    assert [instants(seen, container)[InstantKind.ENTRYPOINT_EXEC] for container in (0, 1)] == [80, 85]


def test_a_container_that_is_not_seen_leaves_the_others_theirs() -> None:
    recording = Recording()
    init = recording.runc()
    seen = observed(recording, window(None, 4444, init))
    assert [ms(seen.spans, container) for container in range(3)] == [set(), set(), INIT]


def test_another_engine_busy_on_the_machine_changes_nothing() -> None:
    recording, busy = Recording(), Recording()
    init = recording.runc()
    busy.runc()
    for other in (STRANGER, STRANGER + 1):
        busy.run(other, other + 10, HOOK, 45, 55)
        busy.run(other, other + 20, REEXEC, 46, 56)
        busy.listen(47, other)
    assert observed(busy, window(init)) == observed(recording, window(init))


def test_a_number_that_a_stranger_had_before_is_not_held_against_the_init() -> None:
    recording = Recording()
    init = recording.runc()
    recording.run(STRANGER, init, "/theirs", 5, 7)
    recording.listen(6, init)
    assert ms(observed(recording, window(init)).spans) == INIT


def test_a_number_that_another_of_the_tree_had_before_is_not_held_against_the_init() -> None:
    recording = Recording()
    init = recording.crun()
    recording.run(DOCKERD, init, "/usr/sbin/iptables", 5, 7)
    seen = observed(recording, window(init))
    assert (ms(seen.spans), instants(seen)[InstantKind.ENTRYPOINT_EXEC]) == (INIT, 80)


def test_an_init_that_is_gone_is_not_made_up() -> None:
    recording = Recording()
    init = recording.runc()
    recording.exit(95, init)
    assert observed(recording, window(init)) == Observation()


def test_an_init_whose_shim_died_leads_nowhere() -> None:
    recording = Recording()
    init = recording.runc()
    recording.exit(95, 101)
    assert find_start(recording.tree, init) is None


def test_a_process_of_the_daemons_own_is_no_container() -> None:
    assert find_start(Recording().tree, DOCKERD) is None


def test_a_hook_that_never_ended_has_one_boundary_and_so_no_span() -> None:
    recording = Recording()
    init = recording.runc(hook=False)
    recording.run(102, 106, HOOK, 41)
    assert ms(observed(recording, window(init)).spans) == INIT - {(Phase.NETWORK_HOOK, 41, 60)}


# --- pull ---

A, B = (f"sha256:{c * 64}" for c in "ab")


def layered(*digests: str | None) -> Image:
    return make_image(layers=tuple(Layer(digest=digest, diff_id="sha256:1", compressed_bytes=1) for digest in digests))


def pulled(*complete_ms: int, begin_ms: int = 40, end_ms: int = 150) -> TrialWindow:
    """A trial that pulls layers A and B, which were complete at those times, after both were downloaded."""
    events = [LayerEvent(45 * MS, digest[7:19], "Download complete") for digest in (A, B)]
    events += [LayerEvent(at * MS, digest[7:19], "Pull complete") for at, digest in zip(complete_ms, (A, B))]  # noqa: B905  the second may be missing
    return window(pull=Timed(begin_ms * MS, end_ms * MS, tuple(events)), image=layered(A, B))


def layers(seen: Observation, phase: Phase) -> dict[str | None, tuple[int, int]]:
    return {s.layer: (s.start_ns // MS, s.end_ns // MS) for s in seen.spans if s.phase is phase}


def unpacked(decompressor: str | None = "/usr/bin/unpigz") -> Recording:
    """Two layers, one after the other."""
    recording = Recording()
    recording.layer(50, 60, 80, decompressor)
    recording.layer(52, 100, 120, decompressor)
    return recording


@pytest.mark.parametrize("decompressor", ["/usr/bin/unpigz", "/bin/gzip", "/usr/bin/pigz", "/bin/zstd", "/bin/xz"])
def test_a_layer_unpacks_from_its_decompressors_start_to_its_unpackings_end(decompressor: str) -> None:
    seen = observed(unpacked(decompressor), pulled(90, 130))
    assert layers(seen, Phase.UNPACK) == {A: (58, 80), B: (98, 120)}


@pytest.mark.parametrize("decompressor", [None, "/usr/bin/git"])
def test_a_layer_that_no_program_decompresses_unpacks_from_its_unpackings_start(decompressor: str | None) -> None:
    seen = observed(unpacked(decompressor), pulled(90, 130))
    assert layers(seen, Phase.UNPACK) == {A: (60, 80), B: (100, 120)}


def test_a_layer_registers_until_the_engine_says_it_is_complete() -> None:
    assert layers(observed(unpacked(), pulled(90, 130)), Phase.REGISTER) == {A: (80, 90), B: (120, 130)}


def test_what_else_the_engine_says_of_a_layer_does_not_end_its_registering() -> None:
    trial = pulled(90, 130)
    assert trial.pull is not None
    later = LayerEvent(140 * MS, A[7:19], "Already exists")
    trial = window(pull=trial.pull._replace(value=(*trial.pull.value, later)), image=trial.image)
    assert layers(observed(unpacked(), trial), Phase.REGISTER)[A] == (80, 90)


def test_a_layer_that_was_never_told_complete_leaves_register_unknown_for_all() -> None:
    seen = observed(unpacked(), pulled(90))
    assert (layers(seen, Phase.REGISTER), set(layers(seen, Phase.UNPACK))) == ({}, {A, B})


def test_spans_of_layers_say_who_saw_them_and_how_exactly() -> None:
    seen = observed(unpacked(), pulled(90, 130), Source.PROC)
    assert {(s.source, s.error_ns, s.container) for s in seen.spans} == {(Source.PROC, ERROR_NS, 0)}


@pytest.mark.parametrize("bases", [(50,), (50, 52, 54)])
def test_fewer_or_more_unpackings_than_layers_give_no_span_at_all(bases: tuple[int, ...]) -> None:
    recording = Recording()
    for index, base in enumerate(bases):
        recording.layer(base, 60 + 20 * index, 75 + 20 * index)
    assert observed(recording, pulled(90, 130)).spans == ()


def test_an_unpacking_that_did_not_end_gives_no_span_to_any_layer() -> None:
    recording = Recording()
    recording.layer(50, 60, 80)
    recording.run(DOCKERD, 53, REEXEC, 100)
    assert observed(recording, pulled(90, 130)).spans == ()


def test_layers_whose_digests_are_unknown_get_no_spans() -> None:
    trial = pulled(90, 130)
    assert observed(unpacked(), window(pull=trial.pull, image=layered(A, None))).spans == ()


def test_a_decompressor_belongs_to_the_unpacking_that_comes_next() -> None:
    recording = Recording()
    recording.layer(50, 60, 80)
    recording.layer(52, 100, 120, decompressor=None)
    assert layers(observed(recording, pulled(90, 130)), Phase.UNPACK) == {A: (58, 80), B: (100, 120)}


def test_of_two_decompressors_the_nearer_is_the_layers() -> None:
    recording = unpacked()
    recording.run(DOCKERD, 60, "/usr/bin/unpigz", 50, 52)
    assert layers(observed(recording, pulled(90, 130)), Phase.UNPACK)[A] == (58, 80)


def test_a_decompressor_after_its_unpacking_began_is_not_its() -> None:
    recording = Recording()
    recording.layer(50, 60, 80, decompressor=None)
    recording.layer(52, 100, 120, decompressor=None)
    recording.run(DOCKERD, 60, "/usr/bin/unpigz", 105, 119)
    assert layers(observed(recording, pulled(90, 130)), Phase.UNPACK) == {A: (60, 80), B: (100, 120)}


def test_layers_are_in_order_of_their_unpacking_not_of_their_forks() -> None:
    recording = Recording()
    recording.fork(55, DOCKERD, 53)
    recording.run(DOCKERD, 51, REEXEC, 60, 80)
    recording.exec(100, 53, REEXEC)
    recording.exit(120, 53)
    assert layers(observed(recording, pulled(90, 130)), Phase.UNPACK) == {A: (60, 80), B: (100, 120)}


@pytest.mark.parametrize("at_ms", [39, 151])
def test_what_the_daemon_unpacks_before_or_after_the_pull_is_none_of_its_layers(at_ms: int) -> None:
    recording = unpacked()
    recording.run(DOCKERD, 60, REEXEC, at_ms, at_ms + 1)
    assert layers(observed(recording, pulled(90, 130)), Phase.UNPACK) == {A: (58, 80), B: (98, 120)}


def test_an_unpacking_at_the_very_ends_of_the_pull_is_of_its_layers() -> None:
    recording = unpacked(decompressor=None)
    seen = observed(recording, pulled(90, 130, begin_ms=60, end_ms=100))
    assert layers(seen, Phase.UNPACK) == {A: (60, 80), B: (100, 120)}


def test_what_a_stranger_unpacks_meanwhile_is_none_of_its_layers() -> None:
    recording = unpacked()
    recording.run(STRANGER, 60, REEXEC, 65, 70)
    assert set(layers(observed(recording, pulled(90, 130)), Phase.UNPACK)) == {A, B}


def test_what_a_container_unpacks_meanwhile_is_none_of_its_layers() -> None:
    """Only what the daemons ran themselves counts."""
    recording = unpacked()
    recording.runc(at_ms=40)
    assert set(layers(observed(recording, pulled(90, 130)), Phase.UNPACK)) == {A, B}


def test_a_fork_of_the_daemon_that_became_no_program_unpacks_nothing() -> None:
    recording = unpacked()
    recording.fork(65, DOCKERD, 60)
    assert set(layers(observed(recording, pulled(90, 130)), Phase.UNPACK)) == {A, B}


def test_a_source_that_tells_no_names_sees_no_unpacking() -> None:
    recording = Recording()
    recording.run(DOCKERD, 51, None, 60, 80)
    recording.run(DOCKERD, 53, None, 100, 120)
    assert observed(recording, pulled(90, 130)).spans == ()


def test_without_a_pull_nothing_is_unpacked_though_the_daemon_unpacks_something() -> None:
    assert observed(unpacked(), window(image=layered(A, B))) == Observation()


def test_bytes_that_the_daemons_read_during_the_pull_are_received() -> None:
    recording = Recording()
    for at_ms, task, received_bytes in ((40, DOCKERD, 1), (90, DOCKERDS_THREAD, 20), (150, CONTAINERD, 300)):
        recording.receive(at_ms, task, received_bytes)
    assert observed(recording, pulled()).received_bytes == 321


def test_bytes_read_by_others_or_at_another_time_are_not() -> None:
    recording = Recording()
    recording.run(DOCKERD, 60, "/usr/bin/docker-proxy", 50)
    for at_ms, task in ((39, DOCKERD), (151, DOCKERD), (90, 60), (90, STRANGER)):
        recording.receive(at_ms, task, 5)
    recording.receive(100, DOCKERD, 7)
    assert observed(recording, pulled()).received_bytes == 7


def test_that_no_byte_was_seen_is_not_that_none_was_received() -> None:
    assert observed(Recording(), pulled()).received_bytes is None


def test_without_a_pull_no_byte_is_the_pulls() -> None:
    recording = Recording()
    recording.receive(50, DOCKERD, 7)
    assert observed(recording, window()).received_bytes is None


# --- roles ---


def roles(recording: Recording, trial: TrialWindow) -> set[tuple[Role, int, int | None]]:
    return {(m.role, m.process.pid, m.container) for m in members(recording.tree, trial)}


def test_every_process_of_a_start_has_its_role() -> None:
    recording = Recording()
    assert roles(recording, window(recording.runc())) == {
        (Role.SHIM, 101, 0),
        (Role.RUNTIME_CREATE, 102, 0),
        (Role.RUNTIME_START, 109, 0),
        (Role.NETWORK_HOOK, 106, 0),
        (Role.ENTRYPOINT, 105, 0),
    }


def test_every_process_of_a_pull_has_its_role_and_is_no_containers() -> None:
    assert roles(unpacked(), pulled()) == {
        (Role.DECOMPRESSOR, 50, None),
        (Role.UNTAR, 51, None),
        (Role.DECOMPRESSOR, 52, None),
        (Role.UNTAR, 53, None),
    }


def test_of_a_source_that_tells_no_names_nobody_has_a_role_in_a_pull() -> None:
    recording = Recording()
    recording.run(DOCKERD, 51, None, 60, 80)
    assert roles(recording, pulled()) == set()


def test_roles_that_nobody_was_seen_in_are_left_out() -> None:
    recording = Recording()
    recording.shim(0, 100)
    recording.fork(20, 101, 105)
    assert roles(recording, window(105)) == {(Role.SHIM, 101, 0), (Role.ENTRYPOINT, 105, 0)}


def test_roles_of_starts_at_once_name_their_container() -> None:
    recording = Recording()
    inits = recording.runc(base=100), recording.crun(at_ms=5, base=200)
    found = roles(recording, window(None, *inits))
    assert {(pid, container) for role, pid, container in found if role is Role.SHIM} == {(101, 1), (201, 2)}
