"""Published claims to compare with: what was said, under which conditions, and what was left unsaid."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from coldstart.model.cell import Tier


class Statistic(StrEnum):
    """What kind of number a claim is."""

    MEAN = "mean"
    MEDIAN = "median"
    RATIO = "ratio"  # of one cell to another, paired by block
    SIZE = "size"  # of one image: exact
    SIZE_RATIO = "size_ratio"  # of one image to another: exact


class Verdict(StrEnum):
    """How a claim fared here."""

    MET = "met"
    MISSED = "missed"
    UNDECIDED = "undecided"
    NOT_ALIKE = "not like for like"
    SHOWN = "shown without a verdict"
    NOT_MEASURED = "not measured"


class Conditions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which cells a claim is about; an empty field matches any level."""

    engine: str | None = None
    runtime: str | None = None
    workload: str | None = None
    variant: str | None = None
    tier: Tier | None = None


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One claim of a publication.

    ``limit`` is an upper bound: ns for times, bytes for memory, a plain ratio (0.75 = 25% less) for ratios;
    ``against`` is the denominator of a ratio. ``verdict = false`` shows figures beside the claim and judges nothing. In
    a file a limit may have its unit: ``"500ms"``, ``"60m"``, ``"75%"``.
    """

    id: str
    section: str = ""
    claim: str
    metric: str
    statistic: Statistic
    limit: float
    applies_to: Conditions = Conditions()
    against: Conditions | None = None
    verdict: bool = True
    unstated: str = ""


class Publication(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A targets file: the claims of one publication, in its order; ``about`` says what the claims' words are."""

    title: str
    about: str = ""
    target: tuple[Target, ...]
