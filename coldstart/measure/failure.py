"""A trial's end before its time: raised where it happens, stored as the sample's outcome."""

from __future__ import annotations

from coldstart.model.sample import Outcome, Sample


class TrialFailure(Exception):  # noqa: N818  it is an outcome; errors are what users meet
    """The outcome and, for people, the reason; with what the container left behind where it ended."""

    def __init__(
        self, outcome: Outcome, reason: str, *, exit_code: int | None = None, output_tail: str | None = None
    ) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason
        self.exit_code = exit_code
        self.output_tail = output_tail


class TrialCrashError(Exception):
    """A trial ended with an exception that nobody foresaw: its ``cause``. The ``sample`` says so, and can be stored."""

    def __init__(self, sample: Sample, cause: Exception) -> None:
        super().__init__(str(cause))
        self.sample = sample
        self.cause = cause
