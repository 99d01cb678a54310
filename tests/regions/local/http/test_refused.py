"""What Nomad does and the embedded region refuses: the table of the documentation is what the region says.

`python -m tests.regions.local.http.test_refused` writes it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.regions.local.http.served import Api, serve
from tests.regions.local.http.test_jobs import job
from tests.regions.local.state.builders import config

PAGE = Path(__file__).parents[4] / "docs" / "explanation" / "embedded-region.md"
BEGIN, END = "<!-- refused: begin -->\n", "<!-- refused: end -->"
VERSION, OLDER = "1.11.2", "1.9.0"
NOBODY = "11111111-1111-1111-1111-111111111111"


def with_group(**fields: Any) -> dict[str, Any]:
    made = job()
    made["TaskGroups"][0] |= fields
    return made


def with_task(**fields: Any) -> dict[str, Any]:
    made = job()
    made["TaskGroups"][0]["Tasks"][0] |= fields
    return made


JOBS: dict[str, dict[str, Any]] = {
    '`type = "service"`': job(Type="service"),
    '`type = "system"`': job(Type="system"),
    '`type = "sysbatch"`': job(Type="sysbatch"),
    "`periodic`": job(Periodic={"Enabled": True, "Spec": "* * * * *", "SpecType": "cron"}),
    "`all_at_once`": job(AllAtOnce=True),
    "`scaling` of a group": with_group(Scaling={"Min": 1, "Max": 2, "Enabled": True}),
    "`service` of a group": with_group(Services=[{"Name": "s"}]),
    '`volume` with `type = "csi"`': with_group(
        Volumes={
            "v": {
                "Name": "v",
                "Type": "csi",
                "Source": "v",
                "AccessMode": "single-node-writer",
                "AttachmentMode": "file-system",
            }
        }
    ),
    "`service` of a task": with_task(Services=[{"Name": "s"}]),
    "`csi_plugin`": with_task(CSIPluginConfig={"ID": "p", "Type": "node"}),
    '`kind = "connect-…"`': with_task(Kind="connect-native:s"),
    "`scaling` of a task": with_task(ScalingPolicies=[{"Type": "vertical_cpu", "Max": 100, "Enabled": True}]),
    "`network` of a task's resources": with_task(Resources={"CPU": 20, "MemoryMB": 10, "Networks": [{"MBits": 1}]}),
    "`identity` with `env` or `file`": with_task(Identity={"Env": True}),
    "`identity` with a name": with_task(Identities=[{"Name": "aws", "Audience": ["x"]}]),
    "`secret`": with_task(Secrets=[{"Name": "s", "Provider": "nomad", "Path": "p"}]),
    "`disconnect`": with_group(Disconnect={"LostAfter": 10**9}),
}
OLDER_JOBS = {
    "`max_client_disconnect`": with_group(MaxClientDisconnect=10**9),
    "`stop_after_client_disconnect`": with_group(StopAfterClientDisconnect=10**9),
    "`prevent_reschedule_on_lost`": with_group(PreventRescheduleOnLost=True),
}
"""What servers drop in silence from 1.10 on."""
PATHS = (
    ("PUT", "/v1/job/train/scale"),
    ("PUT", "/v1/job/train/revert"),
    ("PUT", "/v1/job/train/stable"),
    ("PUT", "/v1/job/train/periodic/force"),
    ("GET", "/v1/job/train/services"),
    ("PUT", f"/v1/node/{NOBODY}/purge"),
    ("PUT", f"/v1/node/{NOBODY}/evaluate"),
    ("PUT", f"/v1/client/allocation/{NOBODY}/signal"),
    ("GET", f"/v1/client/allocation/{NOBODY}/exec"),
    ("GET", f"/v1/deployment/{NOBODY}"),
    ("PUT", "/v1/namespace/ml"),
    ("GET", "/v1/acl/policies"),
    ("PUT", "/v1/acl/bootstrap"),
    ("GET", "/v1/acl/tokens"),
    ("GET", "/v1/metrics"),
    ("GET", "/v1/operator/raft/configuration"),
    ("GET", "/v1/operator/snapshot"),
    ("GET", "/v1/volume/csi/v"),
    ("GET", "/v1/plugin/csi/p"),
    ("GET", "/v1/service/s"),
    ("GET", "/v1/scaling/policy/p"),
    ("PUT", "/v1/system/reconcile/summaries"),
)


def table(api: Api, older: Api) -> str:
    """Everything of these that is answered with 501; whatever isn't any more is left out."""
    jobs = []
    for region, asked in ((api, JOBS), (older, OLDER_JOBS)):
        for name, wanted in asked.items():
            status, said = region.ask("PUT", "/v1/jobs", {"Job": wanted | {"ID": "refused"}})
            if status == 501:
                jobs.append(f"| {name} | `{said.partition(':')[0]}` |")
    paths = [
        f"`{method} {path.replace(NOBODY, ':id').replace('/train', '/:id')}`"
        for method, path in PATHS
        if api.ask(method, path, {} if method == "PUT" else None)[0] == 501
    ]
    head = "| in a job | the region says (501) |\n| --- | --- |\n"
    return head + "\n".join(jobs) + "\n\nOf the API: " + ", ".join(paths) + ".\n"


@pytest.fixture
def newest(tmp_path: Path) -> Iterator[Api]:
    """A region that knows all of the job specification: older ones drop what they don't know in silence."""
    with serve(config(tmp_path, version=VERSION)) as served:
        yield served


@pytest.fixture
def older(tmp_path: Path) -> Iterator[Api]:
    with serve(config(tmp_path / "older", version=OLDER)) as served:
        yield served


def test_all_of_these_are_refused(newest: Api, older: Api) -> None:
    for region, asked in ((newest, JOBS), (older, OLDER_JOBS)):
        for name, wanted in asked.items():
            answer = region.ask("PUT", "/v1/jobs", {"Job": wanted | {"ID": "refused"}})
            assert answer[0] == 501, (name, answer)


def test_the_page_tells_what_the_region_refuses(newest: Api, older: Api) -> None:
    told = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
    assert told == table(newest, older), "run: python -m tests.regions.local.http.test_refused"


if __name__ == "__main__":
    with (
        tempfile.TemporaryDirectory() as folder,
        serve(config(Path(folder, "newest"), version=VERSION)) as served,
        serve(config(Path(folder, "older"), version=OLDER)) as served_older,
    ):
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(before + BEGIN + table(served, served_older) + END + rest.partition(END)[2])
