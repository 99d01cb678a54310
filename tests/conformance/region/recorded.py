"""What an engine said enters, the same without IDs, times, indexes and addresses leaves: to be held against recordings."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("cli_sessions")
IS_RECORDING = bool(os.environ.get("FEDML_RECORD"))
_PATTERNS = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<id>"),
    (r"dispatch-\d+-[0-9a-f]{8}", "dispatch-<n>"),
    (r"\b(?=[0-9a-f]*\d)[0-9a-f]{8}\b", "<id8>"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)", "<time>"),
    (r"\b\d+[hms]\d*[ms]?\d*s? ago", "<ago>"),
    (r"(Index:?\"?[:=]? *|-check-index )\d+", r"\1<index>"),
    (r"v1:\d+", "<class>"),
    (r"\b\d{19}\b", "<time>"),
    (r"127\.0\.0\.1( +|:)\d+", "<address>"),
    (r"\b(us|eu)-\w+\.", "<server>."),
    (r"\d+(\.\d+)?( [KM]?i?B)?/(\d+(\.\d+)? ([MG]Hz|[KMG]iB))", r"<used>/\3"),
    (r"index \(\d+\)|check-index=\d+", "<index>"),
    (r"/\S+/(?=nothing.nomad)", ""),
    (r'("args": \[\s+"600"\s+\]),\s+("command": "/bin/sleep")', r"\2,\n \1"),
)
KNOWN = {
    "NetworkStatus": "no bridge networks",
    "SigningKeyID": "no workload identities",
    "IdentitySigningKeyID": "no workload identities",
    "LastAllocUpdateIndex": "the servers' own bookkeeping",
}
"""Fields that real Nomad has and the embedded region leaves out, by reason: the list that the docs tell of."""
_VARYING = re.compile(r"(Index|Time|CreateTime|ModifyTime|SubmitTime|AllocationTime|StartedAt|FinishedAt)$")


def plain(text: str) -> str:
    for pattern, replacement in _PATTERNS:
        text = re.sub(pattern, replacement, text)
    lines = (re.sub(r"(  +|\t)", " ", line).rstrip() for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def shape(value: Any, name: str = "") -> Any:
    """The value without what differs from run to run."""
    if isinstance(value, dict):
        if name == "ClassEligibility":
            return sorted(value.values())
        if name == "Scores":
            return sorted(value)
        return {key: shape(item, key) for key, item in sorted(value.items()) if key not in KNOWN}
    if isinstance(value, list):
        return [shape(item) for item in value]
    if isinstance(value, str):
        return plain(value)
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and (_VARYING.search(name) or name == "NormScore")
    ):
        return f"<{name}>"
    return value


def lines(value: Any) -> list[str]:
    """A value's text, so that a difference is told by its lines."""
    return json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True).splitlines()
