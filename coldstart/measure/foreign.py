"""Images of another platform than the engine's: failures are explained by it, and what is emulated is never timed."""

from __future__ import annotations

from coldstart.images import platforms
from coldstart.model.sample import Outcome

_FAILED_BY_IT = {Outcome.CREATE_FAILED, Outcome.START_FAILED, Outcome.EXITED}
_CANNOT_RUN = "exec format error"  # how runtimes and shells word ENOEXEC


def with_platform(
    outcome: Outcome, reason: str | None, *, image: str, engine: str | None, emulator: str | None
) -> tuple[Outcome, str | None]:
    """The outcome and reason of a trial, once the platforms of image and engine (``None``: unknown) are looked at.

    ``emulator`` is what runs the image's programs where the CPU does not. A 32-bit image on a 64-bit engine may run or
    not, by its CPU and kernel: there only the kernel's own words make a failure the platform's.
    """
    engine = engine and platforms.of_facts(engine)
    if engine is None or image == engine:
        return outcome, reason
    for_another = f"the image is for {image}, this engine is {engine}"
    if outcome is Outcome.OK:
        if emulator is None:
            return outcome, reason
        return Outcome.WRONG_PLATFORM, f"{for_another}: {emulator} emulated it, so its time is no cold start of either"
    certain = not platforms.runs_natively(image, engine) or _CANNOT_RUN in (reason or "").lower()
    if certain and outcome in _FAILED_BY_IT:
        return Outcome.WRONG_PLATFORM, f"{for_another}: {reason}"
    return outcome, reason
