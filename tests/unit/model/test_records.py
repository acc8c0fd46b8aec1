"""The small promises of the records: keys, sizes of the unknown, outcomes that are tried again."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

from coldstart.model.cell import Network, Tier
from coldstart.model.image import Image, Layer
from coldstart.model.run import RunManifest
from coldstart.model.sample import Outcome, Phase, Sample
from tests.unit.factories import make_cell, make_image, make_manifest, make_sample, make_span


def test_a_cells_key_has_every_factor() -> None:
    assert make_cell().key == "docker/runc/hello/alpine/absent/bridge"


def test_cells_that_differ_in_one_factor_have_different_keys() -> None:
    keys = [
        make_cell(engine=engine, runtime=runtime, workload=workload, variant=variant, tier=tier, network=network).key
        for engine, runtime, workload, variant, tier, network in itertools.product(
            ("docker", "fake"), ("runc", "crun"), ("hello", "x"), ("alpine", "y"), Tier, Network
        )
    ]
    assert len(keys) == len(set(keys))


def test_a_cells_image_is_its_workload_and_variant() -> None:
    assert make_cell(workload="w", variant="v").image_key == ("w", "v")


def test_a_spans_length_is_end_minus_start() -> None:
    assert make_span(Phase.PULL, 3, 10).length_ns == 7


def test_only_what_no_treatment_caused_is_tried_again() -> None:
    requeued = {outcome for outcome in Outcome if outcome.is_requeued}
    spoilt = {Outcome.NOT_COLD, Outcome.NOT_QUIET, Outcome.THROTTLED, Outcome.CLOCK_MOVED}
    assert requeued == spoilt | {Outcome.REGISTRY_LOST, Outcome.ENGINE_LOST}


def test_only_what_was_started_can_fail() -> None:
    others = {outcome for outcome in Outcome if not outcome.is_failure and not outcome.is_requeued}
    assert others == {Outcome.OK, Outcome.UNOBSERVED, Outcome.HARNESS_FAILED}
    assert not any(outcome.is_failure and outcome.is_requeued for outcome in Outcome)
    assert {outcome for outcome in Outcome if outcome.is_unseen} == {Outcome.UNOBSERVED, Outcome.HARNESS_FAILED}


def test_an_images_sizes_are_its_layers() -> None:
    image = make_image()
    assert (image.compressed_bytes, image.unpacked_bytes, image.files) == (3_000_000, 7_000_000, 42)


def with_an_unseen_layer() -> Image:
    image = make_image()
    return msgspec.structs.replace(
        image, layers=(*image.layers, Layer(digest="sha256:x", diff_id="sha256:y", compressed_bytes=1))
    )


def test_one_unseen_layer_makes_the_unpacked_size_unknown() -> None:
    assert with_an_unseen_layer().unpacked_bytes is None


def test_one_unseen_layer_makes_the_number_of_files_unknown() -> None:
    assert with_an_unseen_layer().files is None


@pytest.mark.parametrize("size", ["unpacked_bytes", "files"])
def test_an_image_whose_layers_nobody_listed_has_unknown_sizes(size: str) -> None:
    assert getattr(make_image(layers=()), size) is None


def test_an_image_that_was_never_in_a_registry_has_no_compressed_size() -> None:
    assert make_image(digest=None).compressed_bytes is None


def of_an_unread_registry(**fields: Any) -> Image:
    """An image as an engine of somebody's own shows it: layers by diff ID alone."""
    layers = tuple(Layer(digest=None, diff_id=f"sha256:{c * 64}", compressed_bytes=None) for c in "12")
    return make_image(layers=layers, config_bytes=None, **fields)


def test_an_image_can_be_pulled_if_some_registry_has_it() -> None:
    assert [make_image(digest=digest).can_be_pulled for digest in ("sha256:1", None)] == [True, False]


def test_an_image_can_be_pulled_though_its_layers_blobs_are_unknown() -> None:
    assert of_an_unread_registry().can_be_pulled


@pytest.mark.parametrize("size", ["compressed_bytes", "unpacked_bytes", "files", "blob_bytes"])
def test_an_image_whose_manifest_nobody_read_has_unknown_sizes(size: str) -> None:
    assert getattr(of_an_unread_registry(), size) is None


def test_one_layer_of_unknown_size_makes_the_compressed_size_unknown() -> None:
    known = make_image()
    unknown = Layer(digest="sha256:x", diff_id="sha256:y", compressed_bytes=None)
    assert msgspec.structs.replace(known, layers=(*known.layers, unknown)).compressed_bytes is None


def test_a_full_pull_moves_layers_and_configuration() -> None:
    assert make_image().blob_bytes == 3_000_000 + 1500


def test_an_image_that_was_never_in_a_registry_moves_no_known_bytes() -> None:
    assert make_image(digest=None).blob_bytes is None


def test_a_sample_survives_json() -> None:
    sample = make_sample()
    assert msgspec.json.decode(msgspec.json.encode(sample), type=Sample) == sample


def test_a_manifest_survives_json() -> None:
    manifest = make_manifest()
    assert msgspec.json.decode(msgspec.json.encode(manifest), type=RunManifest) == manifest
