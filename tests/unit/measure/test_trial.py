"""One trial on the fake engine: what becomes of it, and what its sample then says."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import msgspec
import pytest

from coldstart.engines.base import Capability, ContainerSpec, ContainerState, Engine, Timed
from coldstart.engines.fake import FakeEngine
from coldstart.errors import EngineError, EngineUnreachableError
from coldstart.measure.cold import doubt
from coldstart.measure.trial import Stage
from coldstart.model.cell import Cell, Network, Tier
from coldstart.model.image import Image
from coldstart.model.options import ContainerOptions
from coldstart.model.sample import ColdProof, Outcome, Phase, Sample, Source
from coldstart.model.timeline import ADDENDS, PULL_PARTS, phases_of
from coldstart.probes.notify import NotifyProbe
from coldstart.trace.engine_api import EngineApi
from tests.unit.factories import make_trial
from tests.unit.measure.conftest import QUICK, Bed, Registry, Traffic, Wait, served


def run(bed: Bed, cell: Cell) -> Sample:
    return Stage(bed.bench()).run(make_trial(cell=cell))


@pytest.mark.parametrize("tier", [Tier.ABSENT, Tier.WARM])
def test_phases_of_a_good_trial_add_up_to_its_end_to_end_time(bed: Bed, tier: Tier) -> None:
    sample = run(bed, bed.cell(tier))
    phases = phases_of(sample)
    assert (sample.outcome, sample.reason) == (Outcome.OK, None)
    assert phases is not None
    assert phases.e2e_ns == sum(getattr(phases, name) for name in ADDENDS) > 0
    assert phases.pull_ns == sum(getattr(phases, name) for name in PULL_PARTS)
    assert (phases.pull_ns > 0) is (tier is Tier.ABSENT)


def test_an_absent_trial_stores_spans_of_every_layer_from_the_log(bed: Bed) -> None:
    sample = run(bed, bed.cell(Tier.ABSENT))
    seen = {(s.phase, s.layer) for s in sample.spans if s.layer is not None and s.source is Source.ENGINE_LOG}
    layers = [layer.digest for layer in bed.image().layers]
    assert seen == {(p, d) for p in (Phase.DOWNLOAD, Phase.UNPACK, Phase.REGISTER) for d in layers}


def test_an_absent_trial_counts_what_was_unpacked(bed: Bed) -> None:
    sample = run(bed, bed.cell(Tier.ABSENT))
    assert (sample.layers_unpacked, sample.bytes_unpacked, sample.files_unpacked) == (2, 8, None)


def test_what_nobody_counted_of_a_pull_is_unknown_and_never_the_images_own_size(bed: Bed) -> None:
    cell = bed.cell(Tier.ABSENT)
    sample = Stage(bed.bench(sources=(EngineApi(bed.engine.capabilities),))).run(make_trial(cell=cell))
    assert (sample.outcome, sample.bytes_unpacked, sample.files_unpacked) == (Outcome.OK, None, None)


def test_a_layer_that_is_listed_twice_is_expected_once(bed: Bed) -> None:
    """BuildKit's empty layer: Docker fetches and reports it once."""
    cell, image = bed.cell(Tier.ABSENT), bed.image()
    bed.images[cell.image_key] = msgspec.structs.replace(image, layers=(*image.layers, image.layers[0]))
    bed.registry = Registry(served(bed.image()))
    sample = run(bed, cell)
    assert (sample.outcome, sample.reason, sample.layers_unpacked) == (Outcome.OK, None, 2)


def test_a_layer_of_unknown_digest_that_is_listed_twice_is_expected_once(bed: Bed) -> None:
    """On a user's own engine the manifest is never seen: layers are known by their diff IDs alone."""
    layers = [msgspec.structs.replace(layer, digest=None) for layer in bed.image().layers]
    image = msgspec.structs.replace(bed.image(), layers=(*layers, layers[0]))
    assert doubt(ColdProof(tier=Tier.ABSENT, source="engine_api", layers_unpacked=2), image) is None
    assert doubt(ColdProof(tier=Tier.ABSENT, source="engine_api", layers_unpacked=1), image) is not None


def test_a_warm_trial_unpacks_nothing_and_says_so(bed: Bed) -> None:
    sample = run(bed, bed.cell(Tier.WARM))
    assert (sample.layers_unpacked, sample.bytes_unpacked, sample.files_unpacked) == (0, 0, 0)


def test_the_conditions_of_the_timed_window_are_kept(bed: Bed) -> None:
    assert run(bed, bed.cell()).conditions.cpu_psi_us == 3


def test_a_warm_trial_is_preceded_by_one_discarded_start_and_no_more(bed: Bed) -> None:
    cell = bed.cell(Tier.WARM)
    stage = Stage(bed.bench())
    starts = []
    start = bed.engine.start

    def counted(container_id: str) -> Timed[None]:
        starts.append(container_id)
        return start(container_id)

    bed.engine.start = counted  # type: ignore[method-assign]
    first = stage.run(make_trial(cell=cell))
    second = stage.run(make_trial(cell=cell))
    assert len(starts) == 3
    assert [s.proof.warm_starts for s in (first, second) if s.proof] == [1, 2]


def test_another_runtime_has_to_warm_up_by_itself(bed: Bed) -> None:
    runc, crun = bed.cell(runtime="runc"), bed.cell(runtime="crun")
    stage = Stage(bed.bench())
    stage.run(make_trial(cell=runc))
    proof = stage.run(make_trial(cell=crun)).proof
    assert proof is not None
    assert proof.warm_starts == 1


def test_nothing_of_a_trial_is_left_in_the_engine(bed: Bed) -> None:
    run(bed, bed.cell(Tier.ABSENT))
    assert bed.engine.sweep() == 0


def test_a_noisy_machine_is_not_timed(bed: Bed) -> None:
    bed.machine.waits = [
        Wait(quiet=False, waited_ns=10_000_000_000, disturbance="the CPU was 90% busy (most by apt 80%)")
    ]
    sample = run(bed, bed.cell())
    assert (sample.outcome, sample.spans) == (Outcome.NOT_QUIET, ())
    assert sample.reason == "no quiet window within 10 s: the CPU was 90% busy (most by apt 80%)"


def test_dirty_pages_are_written_back_before_the_wait_for_quiet(bed: Bed) -> None:
    run(bed, bed.cell(Tier.ABSENT))
    assert bed.machine.settled == 1


def test_every_pull_finds_the_registrys_pages_in_one_state(bed: Bed) -> None:
    run(bed, bed.cell(Tier.ABSENT))
    assert bed.machine.warmed == [bed.image().reference]


def test_blobs_and_bytes_equal_to_the_manifests_prove_an_absent_start(bed: Bed) -> None:
    bed.registry = Registry(served(bed.image()))
    sample = run(bed, bed.cell(Tier.ABSENT))
    assert (sample.outcome, sample.bytes_received) == (Outcome.OK, 35)
    assert sample.proof is not None
    assert (sample.proof.source, sample.proof.blob_gets) == ("registry_log", 3)


@pytest.mark.parametrize("traffic", [Traffic(gets=2, bytes=35), Traffic(gets=3, bytes=34), Traffic(gets=0, bytes=0)])
def test_a_pull_that_moved_other_bytes_than_the_manifests_is_not_cold(bed: Bed, traffic: Traffic) -> None:
    bed.registry = Registry(traffic)
    sample = run(bed, bed.cell(Tier.ABSENT))
    assert sample.outcome is Outcome.NOT_COLD
    assert "the manifest has 3 and 35" in (sample.reason or "")


def test_blobs_of_the_right_number_and_size_that_the_manifest_does_not_list_prove_nothing(bed: Bed) -> None:
    right = served(bed.image())
    bed.registry = Registry(msgspec.structs.replace(right, digests=("sha256:other", *right.digests[1:])))
    sample = run(bed, bed.cell(Tier.ABSENT))
    assert sample.outcome is Outcome.NOT_COLD
    assert sample.reason == "the registry served sha256:other, which the manifest does not list"


def test_a_blob_served_twice_in_place_of_another_proves_nothing(bed: Bed) -> None:
    right = served(bed.image())
    bed.registry = Registry(msgspec.structs.replace(right, digests=(right.digests[1], *right.digests[1:])))
    sample = run(bed, bed.cell(Tier.ABSENT))
    assert sample.outcome is Outcome.NOT_COLD
    assert sample.reason == f"the registry served {right.digests[1]} more than once"


def test_the_proof_of_an_absent_start_names_the_blobs_that_were_served(bed: Bed) -> None:
    bed.registry = Registry(served(bed.image()))
    proof = run(bed, bed.cell(Tier.ABSENT)).proof
    assert proof is not None
    assert set(proof.blob_digests or ()) == {bed.image().image_id, *(layer.digest for layer in bed.image().layers)}


def test_a_warm_start_that_moved_blobs_is_not_cold(bed: Bed) -> None:
    bed.registry = Registry(Traffic(gets=1, bytes=10))
    assert run(bed, bed.cell(Tier.WARM)).outcome is Outcome.NOT_COLD


def test_a_timed_trial_that_was_not_cold_keeps_what_it_observed_but_is_no_timing(bed: Bed) -> None:
    bed.registry = Registry(Traffic(gets=0, bytes=0))
    sample = run(bed, bed.cell(Tier.ABSENT))
    assert sample.spans
    assert phases_of(sample) is None


def test_an_image_that_cannot_be_removed_is_not_cold_and_not_started(bed: Bed) -> None:
    cell = bed.cell(Tier.ABSENT)

    def refuse(image: Image) -> None:
        raise EngineError(f"{image.reference} was here before")

    bed.engine.remove_image = refuse  # type: ignore[method-assign]
    sample = run(bed, cell)
    assert (sample.outcome, sample.spans) == (Outcome.NOT_COLD, ())


def test_an_image_still_there_after_its_removal_is_not_cold(bed: Bed) -> None:
    cell = bed.cell(Tier.ABSENT)
    bed.engine.pull(bed.images[cell.image_key])
    bed.engine.remove_image = lambda image: None  # type: ignore[method-assign]  # noqa: ARG005  a removal that does nothing
    assert run(bed, cell).outcome is Outcome.NOT_COLD


def test_a_cached_start_evicts_its_layers_and_proves_it(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bed.engine, "capabilities", bed.engine.capabilities | {Capability.LAYER_PATHS})
    monkeypatch.setattr(bed.engine, "layer_paths", lambda image: (Path("/layers", image.variant),))
    sample = run(bed, bed.cell(Tier.CACHED))
    assert sample.outcome is Outcome.OK
    assert bed.machine.evicted == [(Path("/layers/alpine"),)]
    assert sample.proof is not None
    assert sample.proof.resident_bytes == 0


def test_pages_that_stayed_in_memory_are_not_cold(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bed.engine, "layer_paths", lambda _image: (Path("/layers"),))
    bed.machine.left_in_memory_bytes = 4096
    sample = run(bed, bed.cell(Tier.CACHED))
    assert (sample.outcome, sample.reason) == (Outcome.NOT_COLD, "4096 bytes of its layers stayed in memory")


def test_eviction_makes_the_next_warm_trial_warm_up_again(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bed.engine, "layer_paths", lambda _image: (Path("/layers"),))
    warm, cached = bed.cell(Tier.WARM), bed.cell(Tier.CACHED)
    stage = Stage(bed.bench())
    for cell in (warm, warm, cached):
        stage.run(make_trial(cell=cell))
    proof = stage.run(make_trial(cell=warm)).proof
    assert proof is not None
    assert proof.warm_starts == 1  # the cached trial's own start, since the eviction


@pytest.fixture
def readable(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> Bed:
    """A bed whose engine's layers can be read."""
    monkeypatch.setattr(bed.engine, "capabilities", bed.engine.capabilities | {Capability.LAYER_PATHS})
    monkeypatch.setattr(bed.engine, "layer_paths", lambda _image: (Path("/layers"),))
    return bed


def test_layers_that_somebody_read_while_quiet_was_waited_for_are_not_cold(readable: Bed) -> None:
    readable.machine.in_memory_bytes = [0, 8192]
    sample = run(readable, readable.cell(Tier.CACHED))
    assert (sample.outcome, sample.spans) == (Outcome.NOT_COLD, ())
    assert sample.reason == "8192 bytes of its layers were in memory: something read them after they were evicted"


def test_a_cached_starts_proof_is_what_was_in_memory_after_the_wait(readable: Bed) -> None:
    readable.machine.in_memory_bytes = [0, 0]
    sample = run(readable, readable.cell(Tier.CACHED))
    assert (sample.outcome, readable.machine.in_memory_bytes) == (Outcome.OK, [])


def test_a_warm_starts_proof_says_what_is_in_memory_and_what_the_start_before_left_there(readable: Bed) -> None:
    readable.machine.in_memory_bytes = [1000, 990]
    proof = run(readable, readable.cell()).proof
    assert proof is not None
    assert (proof.resident_bytes, proof.warmed_bytes) == (990, 1000)


def test_where_layers_cannot_be_read_a_warm_starts_proof_has_no_such_figures(bed: Bed) -> None:
    proof = run(bed, bed.cell()).proof
    assert proof is not None
    assert (proof.resident_bytes, proof.warmed_bytes) == (None, None)


@pytest.mark.parametrize(("left_bytes", "outcome"), [(950, Outcome.OK), (949, Outcome.NOT_COLD)])
def test_a_warm_start_whose_pages_went_while_quiet_was_waited_for_is_not_warm(
    readable: Bed, left_bytes: int, outcome: Outcome
) -> None:
    readable.machine.in_memory_bytes = [1000, left_bytes]
    sample = run(readable, readable.cell())
    assert sample.outcome is outcome
    assert outcome is Outcome.OK or "949 bytes of its layers were in memory, of 1000" in (sample.reason or "")


@pytest.mark.parametrize(("left_bytes", "warm_starts"), [(950, 2), (949, 1)])
def test_an_image_whose_pages_went_between_two_starts_is_warmed_again(
    readable: Bed, left_bytes: int, warm_starts: int
) -> None:
    trial = make_trial(cell=readable.cell())
    stage = Stage(readable.bench())
    readable.machine.in_memory_bytes = [1000, 1000, left_bytes]
    readable.machine.left_in_memory_bytes = 960
    stage.run(trial)
    sample = stage.run(trial)
    assert sample.outcome is Outcome.OK
    assert sample.proof is not None
    warmed_bytes = 1000 if warm_starts > 1 else 960  # what the later discarded start leaves is the new measure
    assert (sample.proof.warm_starts, sample.proof.warmed_bytes) == (warm_starts, warmed_bytes)


def test_a_warm_trial_after_pages_went_has_a_discarded_start_of_its_own(readable: Bed) -> None:
    trial = make_trial(cell=readable.cell())
    stage = Stage(readable.bench())
    readable.machine.in_memory_bytes = [1000, 0]
    assert stage.run(trial).outcome is Outcome.NOT_COLD
    sample = stage.run(trial)
    assert sample.proof is not None
    assert (sample.outcome, sample.proof.warm_starts) == (Outcome.OK, 1)


def test_an_app_that_exits_at_once_is_an_outcome_with_its_code_and_last_line(bed: Bed) -> None:
    sample = run(bed, bed.cell(variant="exits"))
    assert (sample.outcome, sample.exit_code) == (Outcome.EXITED, 3)
    assert "app: that was all" in (sample.reason or "")
    assert sample.output_tail


def test_an_app_that_never_listens_is_never_ready(bed: Bed) -> None:
    bed.timeout_ns = 20_000_000
    sample = run(bed, bed.cell(Tier.ABSENT, variant="silent"))
    assert sample.outcome is Outcome.NEVER_READY
    assert "Connection refused" in (sample.reason or "")


def test_an_image_for_another_machine_is_named_as_that(bed: Bed) -> None:
    cell = bed.cell(Tier.ABSENT, variant="wrong-platform")
    bed.images[cell.image_key] = bed.image("wrong-platform", platform="linux/arm64/v8")
    sample = run(bed, cell)
    assert sample.outcome is Outcome.WRONG_PLATFORM
    assert "linux/arm64/v8" in (sample.reason or "")


def test_a_start_refused_on_the_right_machine_is_a_failed_start(bed: Bed) -> None:
    assert run(bed, bed.cell(Tier.ABSENT, variant="wrong-platform")).outcome is Outcome.START_FAILED


def test_a_discarded_start_that_fails_is_the_trials_failure(bed: Bed) -> None:
    sample = run(bed, bed.cell(Tier.WARM, variant="wrong-platform"))
    assert sample.outcome is Outcome.START_FAILED
    assert "discarded" in (sample.reason or "")


def test_an_unknown_runtime_is_a_failed_create(bed: Bed) -> None:
    assert run(bed, bed.cell(Tier.ABSENT, runtime="youki")).outcome is Outcome.CREATE_FAILED


def test_a_failed_pull_is_an_outcome(bed: Bed) -> None:
    cell = bed.cell(Tier.ABSENT)

    def fail(image: Image) -> None:
        raise EngineError(f"pull of {image.reference}: no space left on device")

    bed.engine.pull = fail  # type: ignore[method-assign,assignment]
    sample = run(bed, cell)
    assert (sample.outcome, sample.spans) == (Outcome.PULL_FAILED, ())
    assert "no space left" in (sample.reason or "")


def test_an_engine_that_is_gone_is_an_outcome_too(bed: Bed) -> None:
    cell = bed.cell(Tier.ABSENT)

    def gone(image: Image) -> None:
        raise EngineUnreachableError(f"unix:///x: gone with {image.reference}")

    bed.engine.pull = gone  # type: ignore[method-assign,assignment]
    assert run(bed, cell).outcome is Outcome.ENGINE_LOST


def test_a_network_probe_without_a_network_is_never_ready_and_says_what_to_use(bed: Bed) -> None:
    sample = run(bed, bed.cell(Tier.ABSENT, network=Network.NONE))
    assert sample.outcome is Outcome.NEVER_READY
    assert "log or exit probe" in (sample.reason or "")


def test_a_job_is_ready_when_it_has_ended_well(bed: Bed) -> None:
    bed.ready = "exit"
    cell = bed.cell()
    good = bed.bench(options=ContainerOptions(command=("sh", "-c", "exit 0")))
    bad = bed.bench(options=ContainerOptions(command=("sh", "-c", "exit 4")))
    assert Stage(good).run(make_trial(cell=cell)).outcome is Outcome.OK
    failed = Stage(bad).run(make_trial(cell=cell))
    assert (failed.outcome, failed.exit_code) == (Outcome.EXITED, 4)


def test_a_log_line_is_readiness(bed: Bed) -> None:
    bed.ready = "log:listen"
    assert run(bed, bed.cell()).outcome is Outcome.OK


def test_a_notification_is_readiness_and_the_users_own_options_are_kept(
    bed: Bed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    bed.ready = "notify"
    cell = bed.cell(Tier.ABSENT)
    created: list[ContainerSpec] = []
    create = bed.engine.create

    def noted(spec: ContainerSpec) -> Timed[str]:
        created.append(spec)
        return create(spec)

    bed.engine.create = noted  # type: ignore[method-assign]
    own = ContainerOptions(env=("A=1",), memory_bytes=9)
    sample = Stage(bed.bench(options=own)).run(make_trial(cell=cell))
    (spec,) = created
    assert (sample.outcome, sample.harness.probe_resolution_ns) == (Outcome.OK, None)
    assert (spec.options.env[0], len(spec.options.env), spec.options.memory_bytes) == ("A=1", 2, 9)
    assert list(tmp_path.iterdir()) == []


def test_what_a_probe_needs_is_made_before_the_timed_window(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    bed.ready = "notify"
    made_ns: list[int] = []
    options = NotifyProbe.options

    def stamped(probe: NotifyProbe, engine: Engine) -> ContainerOptions:
        made = options(probe, engine)
        made_ns.append(time.monotonic_ns())
        return made

    monkeypatch.setattr(NotifyProbe, "options", stamped)
    sample = run(bed, bed.cell(Tier.ABSENT))
    assert made_ns[0] <= min(span.start_ns for span in sample.spans)


def test_an_engine_elsewhere_cannot_be_notified_from(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    bed.ready = "notify"
    monkeypatch.setattr(bed.engine, "capabilities", frozenset({Capability.PULL, Capability.PRIVATE}))
    sample = run(bed, bed.cell(Tier.ABSENT))
    assert (sample.outcome, "use a log, exec" in (sample.reason or "").lower()) == (Outcome.CREATE_FAILED, True)


def test_an_image_without_a_healthcheck_is_never_ready_and_says_the_remedy(bed: Bed) -> None:
    bed.ready = "healthcheck"
    sample = run(bed, bed.cell(Tier.ABSENT))
    assert sample.outcome is Outcome.NEVER_READY
    assert "the image has no HEALTHCHECK" in (sample.reason or "")


def test_a_log_without_the_line_is_never_ready(bed: Bed) -> None:
    bed.ready = "log:no such words"
    bed.timeout_ns = 20_000_000
    sample = run(bed, bed.cell(Tier.ABSENT))
    assert (sample.outcome, "contains the text" in (sample.reason or "")) == (Outcome.NEVER_READY, True)


class Terse(FakeEngine):
    """An engine whose containers write blank lines only."""

    def output_tail(self, container_id: str, lines: int = 20) -> str:  # noqa: ARG002  the answer is the test's
        return "\n \n"


def test_a_container_that_wrote_blank_lines_only_has_exited_and_has_no_last_line(bed: Bed) -> None:
    bed.engine = Terse(delays=QUICK)
    sample = run(bed, bed.cell(variant="exits"))
    assert (sample.outcome, sample.output_tail) == (Outcome.EXITED, "\n \n")
    assert sample.reason == "it exited with code 3 before it was ready"


class Shared(FakeEngine):
    """An engine with network ``host``, on a machine where somebody may serve the port."""

    def __init__(self, port: int) -> None:
        super().__init__(delays=QUICK)
        self.port = port

    def host_endpoint(self, port: int) -> tuple[Path | None, tuple[str, int]] | None:  # noqa: ARG002  the test's own
        return None, ("127.0.0.1", self.port)


@pytest.mark.parametrize(("network", "outcome"), [(Network.HOST, Outcome.START_FAILED), (Network.BRIDGE, Outcome.OK)])
def test_with_network_host_a_port_that_somebody_serves_is_no_readiness(
    bed: Bed, network: Network, outcome: Outcome
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        bed.engine = Shared(server.getsockname()[1])
        sample = run(bed, bed.cell(network=network))
    assert sample.outcome is outcome
    assert outcome is Outcome.OK or "port 8080 of the host is served already" in (sample.reason or "")


def test_with_network_host_a_port_that_nobody_serves_is_the_apps(bed: Bed) -> None:
    bed.engine = Shared(1)
    assert run(bed, bed.cell(network=Network.HOST)).outcome is Outcome.OK


class Short(FakeEngine):
    """An engine whose containers have ended when one looks, though something answered."""

    def state(self, container_id: str) -> ContainerState:
        found = super().state(container_id)
        return msgspec.structs.replace(found, running=False, exit_code=98)


def test_an_answer_is_not_a_containers_that_has_ended(bed: Bed) -> None:
    bed.engine = Short(delays=QUICK)
    sample = run(bed, bed.cell())
    assert (sample.outcome, sample.exit_code) == (Outcome.EXITED, 98)
    assert (sample.reason or "").startswith("it exited with code 98 when something had answered at its port")


def test_a_job_may_have_ended_when_it_is_ready(bed: Bed) -> None:
    bed.engine = Short(delays=QUICK)
    bed.ready = "log:listening"
    assert run(bed, bed.cell()).outcome is Outcome.OK


class Lax(FakeEngine):
    """An engine that discards a limit."""

    def take_warnings(self) -> tuple[str, ...]:
        return ("Limitation discarded.", "Limitation discarded.")


@pytest.mark.parametrize("variant", ["alpine", "exits"])
def test_what_the_engine_warned_of_is_kept_with_the_sample(bed: Bed, variant: str) -> None:
    bed.engine = Lax(delays=QUICK)
    assert run(bed, bed.cell(variant=variant)).warnings == ("Limitation discarded.",)


def test_a_start_that_nothing_is_claimed_of_is_made_on_a_busy_machine_too(bed: Bed) -> None:
    bed.machine.waits.append(Wait(quiet=False, waited_ns=10_000_000_000, disturbance="the CPU was 90% busy"))
    told: list[str] = []
    cell = bed.cell()
    sample = Stage(bed.bench(on_busy=told.append)).run(make_trial(cell=cell))
    assert (sample.outcome, told) == (Outcome.OK, ["no quiet window within 10 s: the CPU was 90% busy"])
