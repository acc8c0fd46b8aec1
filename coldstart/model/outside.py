"""What shows that a start needed another network: the kernel's count, or what the container wrote."""

from __future__ import annotations

import re

from coldstart.model.sample import Sample

# What musl, glibc, busybox, Go, Python, Node, Java, curl, Rust and PostgreSQL's clients write.
_WORDS = re.compile(
    r"name resolution|name or service not known|name does not resolve|bad address '|no such host|could not resolve|"
    r"couldn't resolve|could not translate host name|getaddrinfo|unknownhost|enotfound|eai_again|"
    r"network (?:is )?unreachable|enetunreach|no route to host|ehostunreach|dns error|failed to lookup address",
    re.IGNORECASE,
)


def tried_outside(sample: Sample) -> bool:
    """Whether something in the container tried to reach a network that it does not have."""
    if sample.conditions.refused_packets:
        return True
    return _WORDS.search(f"{sample.output_tail or ''}\n{sample.reason or ''}") is not None
