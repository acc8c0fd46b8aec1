"""The command line's words in place of the experiment's own."""

from __future__ import annotations

import pytest

from coldstart.errors import UsageError
from coldstart.model.cell import Network, Tier
from coldstart.model.options import ContainerOptions
from coldstart.model.probe import ProbeSpec
from coldstart.plan.overrides import Overrides, ad_hoc, narrow, with_image
from coldstart.plan.schedule import cells
from tests.unit.factories import make_experiment

HTTP = ProbeSpec(kind="http", port=8080, argument="/")


def test_nothing_said_changes_nothing() -> None:
    assert narrow(make_experiment(), Overrides()) == make_experiment()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("engine", ("fake",)),
        ("runtime", ("crun", "runsc")),
        ("workload", ("other",)),
        ("variant", ("scratch",)),
        ("tier", (Tier.WARM,)),
        ("network", (Network.HOST, Network.NONE)),
        ("runs", 7),
        ("warmup", 0),
        ("ready", HTTP),
        ("timeout_ns", 1),
        ("egress", True),
    ],
)
def test_what_is_said_replaces_the_experiments_own(field: str, value: object) -> None:
    narrowed = narrow(make_experiment(warmup=3), Overrides(**{field: value}))  # type: ignore[arg-type]  # as listed
    assert narrowed == make_experiment(**{"warmup": 3, field: value})


def test_options_are_merged_field_by_field() -> None:
    experiment = make_experiment(options=ContainerOptions(memory_bytes=100, env=("A=1",)))
    narrowed = narrow(experiment, Overrides(options=ContainerOptions(memory_bytes=200, cpus=0.5)))
    assert narrowed.options == ContainerOptions(memory_bytes=200, cpus=0.5, env=("A=1",))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (Overrides(runs=0), "0 runs cannot be measured"),
        (Overrides(warmup=-1), "-1 warm-up blocks"),
        (Overrides(timeout_ns=0), "timeout of nothing"),
        (Overrides(runtime=("runc", "runc")), "runtime 'runc' is given twice"),
        (Overrides(variant=()), "no variant is given"),
        (Overrides(image="x:1", ready=HTTP, workload=("hello",)), "--image and --workload exclude each other"),
        (Overrides(image="x:1", ready=HTTP, variant=("alpine",)), "--image and --variant exclude each other"),
        (Overrides(image="", ready=HTTP), "--image needs a reference"),
        (Overrides(image="x:1"), "--image x:1 needs --ready"),
    ],
)
def test_what_cannot_be_measured_is_refused(overrides: Overrides, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        narrow(make_experiment(), overrides)


def test_an_image_takes_the_place_of_workload_and_variant() -> None:
    narrowed = narrow(make_experiment(), Overrides(image="x:1", ready=HTTP))
    assert (narrowed.image, narrowed.workload, narrowed.variant) == ("x:1", (), ())


def test_an_image_may_use_the_experiments_own_probe() -> None:
    assert narrow(make_experiment(ready=HTTP), Overrides(image="x:1")).ready == HTTP


def test_an_ad_hoc_run_is_every_tier_with_runc_twenty_times() -> None:
    experiment = ad_hoc("x:1", HTTP)
    assert (experiment.tier, experiment.runtime, experiment.runs) == (tuple(Tier), ("runc",), 20)


def test_an_ad_hoc_run_has_no_targets() -> None:
    assert ad_hoc("x:1", HTTP).targets == ()


def test_an_ad_hoc_run_is_narrowed_like_any_other() -> None:
    experiment = ad_hoc("x:1", HTTP, Overrides(runtime=("runc", "crun"), runs=3, tier=(Tier.WARM,)))
    assert (experiment.image, experiment.runtime, experiment.runs, experiment.tier) == (
        "x:1",
        ("runc", "crun"),
        3,
        (Tier.WARM,),
    )


def test_an_ad_hoc_run_that_nothing_says_is_ready_is_refused() -> None:
    with pytest.raises(UsageError, match="--image x:1 needs --ready, since nothing says when it is ready: http:PORT"):
        ad_hoc("x:1", None)


def test_an_ad_hoc_run_has_no_cells_before_its_image_is_taken_in() -> None:
    with pytest.raises(UsageError, match="experiment 'ad-hoc' has no workload"):
        cells(ad_hoc("x:1", HTTP))


def test_the_image_taken_in_names_workload_and_variant() -> None:
    experiment = with_image(ad_hoc("x:1", HTTP, Overrides(tier=(Tier.WARM,))), workload="x", variant="1")
    assert [cell.image_key for cell in cells(experiment)] == [("x", "1")]


def test_another_workload_brings_its_own_folder() -> None:
    experiment = make_experiment(folders={"app": "/app"})
    narrowed = narrow(experiment, Overrides(workload=("other",), folders={"other": "/other"}))
    assert narrowed.folders == {"other": "/other"}


def test_without_another_workload_the_folders_stay() -> None:
    assert narrow(make_experiment(folders={"app": "/app"}), Overrides(runs=1)).folders == {"app": "/app"}


def test_an_image_has_no_folders() -> None:
    assert narrow(make_experiment(folders={"app": "/app"}), Overrides(image="x:1", ready=HTTP)).folders == {}
