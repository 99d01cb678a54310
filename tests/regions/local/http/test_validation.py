"""An embedded region refuses the jobs that real servers refuse, in their words. Their answers are recorded."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest

from jobs.nomad_json.problems import NEWEST, OLDEST
from tests.jobs.nomad_json.refused import CASES, RECORDED, comparable
from tests.regions.local.http.served import serve
from tests.regions.local.state.builders import config


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_the_region_refuses_what_real_servers_refuse(tmp_path: Path, version: str) -> None:
    answers = json.loads(RECORDED.read_text(encoding="utf-8"))
    differences = []
    with serve(config(tmp_path, version=version)) as api:
        for name, case in CASES.items():
            answer, job = answers[name][version], case.job | {"Region": None}
            reply = api.put("/v1/validate/job", {"Job": job})
            found = reply["ValidationErrors"] or []
            status, text = api.ask("PUT", "/v1/jobs", {"Job": job})
            api.ask("DELETE", f"/v1/job/{quote(job['ID'], safe='')}?purge=true")
            is_same = (
                comparable(answer)[0] in found if isinstance(answer, str) else comparable(found) == comparable(answer)
            )
            if not is_same or (status == 500) != bool(found) or (status == 500 and reply["Error"] not in str(text)):
                differences.append((name, answer, found, status, text))
    assert differences == []
