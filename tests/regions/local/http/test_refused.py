"""What Nomad does and the embedded region refuses: the table of the documentation is what the region says.

`python -m tests.regions.local.http.test_refused` writes it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from regions.local.http.refused import ENTERPRISE, LATER, NOT_SUPPORTED
from tests.regions.local.http.served import Api, serve
from tests.regions.local.http.test_jobs import job
from tests.regions.local.state.builders import config

PAGE = Path(__file__).parents[4] / "docs" / "explanation" / "embedded-region.md"
DIFFERENCES = PAGE.parents[1] / "reference" / "embedded-region-differences.md"
BEGIN, END = "<!-- refused: begin -->\n", "<!-- refused: end -->"
NOBODY = "11111111-1111-1111-1111-111111111111"


def with_group(**fields: Any) -> dict[str, Any]:
    made = job()
    made["TaskGroups"][0] |= fields
    return made


def with_task(**fields: Any) -> dict[str, Any]:
    made = job()
    made["TaskGroups"][0]["Tasks"][0] |= fields
    return made


CSI = {"AccessMode": "single-node-writer", "AttachmentMode": "file-system"}
JOBS: dict[str, dict[str, Any]] = {
    '`type = "service"`': job(Type="service"),
    '`type = "system"`': job(Type="system"),
    '`type = "sysbatch"`': job(Type="sysbatch"),
    "`periodic`": job(Periodic={"Enabled": True, "Spec": "* * * * *", "SpecType": "cron"}),
    "`all_at_once`": job(AllAtOnce=True),
    "`scaling` of a group": with_group(Scaling={"Min": 1, "Max": 2, "Enabled": True}),
    "`service` of a group": with_group(Services=[{"Name": "s"}]),
    "`max_client_disconnect`": with_group(MaxClientDisconnect=10**9),
    "`stop_after_client_disconnect`": with_group(StopAfterClientDisconnect=10**9),
    '`volume` with `type = "csi"`': with_group(Volumes={"v": {"Name": "v", "Type": "csi", "Source": "v", **CSI}}),
    "`service` of a task": with_task(Services=[{"Name": "s"}]),
    "`csi_plugin`": with_task(CSIPluginConfig={"ID": "p", "Type": "node"}),
    "`scaling` of a task": with_task(ScalingPolicies=[{"Type": "vertical_cpu", "Max": 100, "Enabled": True}]),
    "`network` of a task's resources": with_task(Resources={"CPU": 20, "MemoryMB": 10, "Networks": [{"MBits": 1}]}),
    "`identity` with `env` or `file`": with_task(Identity={"Env": True}),
    "`identity` with a name": with_task(Identities=[{"Name": "aws", "Audience": ["x"]}]),
    "`secret`": with_task(Secrets=[{"Name": "s", "Provider": "nomad", "Path": "p"}]),
    "`disconnect`": with_group(Disconnect={"LostAfter": 10**9}),
    "`prevent_reschedule_on_lost`": with_group(PreventRescheduleOnLost=True),
}


def refusal(apis: tuple[Api, ...], wanted: dict[str, Any]) -> str:
    """What a region says that refuses the job by name, the oldest first; nothing where none does."""
    for api in apis:
        status, said = api.ask("PUT", "/v1/jobs", {"Job": wanted | {"ID": "refused"}})
        if status == 501:
            return str(said.partition(":")[0])
    return ""


def table(apis: tuple[Api, ...]) -> str:
    """Every job of these that is refused by name; whatever isn't any more is left out."""
    told = ((name, refusal(apis, wanted)) for name, wanted in JOBS.items())
    jobs = [f"| {name} | `{said}` |" for name, said in told if said]
    head = "| in a job | the region says (501) |\n| --- | --- |\n"
    return head + "\n".join(jobs) + "\n"


def _shown(methods: str) -> str:
    return "every method" if methods == "*" else methods.replace(" ", ", ")


def paths() -> str:
    """Every path that is refused, as the region's own table has it."""
    rows = [(path, _shown(methods), "") for path, methods in NOT_SUPPORTED.items()]
    rows += [
        (path, _shown(methods), "since " + ".".join(str(number) for number in since))
        for path, (methods, since) in LATER.items()
    ]
    rows += [(path, "every method", "Nomad Enterprise only endpoint") for path in ENTERPRISE]
    lines = [f"| `{path.replace('*', ':id')}` | {methods} | {note} |" for path, methods, note in sorted(rows)]
    return "| path | methods | |\n| --- | --- | --- |\n" + "\n".join(lines) + "\n"


@contextmanager
def served_versions(folder: Path) -> Iterator[tuple[Api, ...]]:
    """An old version, one between and the newest: each drops in silence what it doesn't know."""
    with ExitStack() as stack:
        yield tuple(
            stack.enter_context(serve(config(folder / version, version=version)))
            for version in ("1.6.3", "1.8.0", "2.0.5")
        )


def test_all_of_these_are_refused_and_the_page_tells_them(tmp_path: Path) -> None:
    with served_versions(tmp_path) as apis:
        assert [name for name, wanted in JOBS.items() if not refusal(apis, wanted)] == []
        told = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
        assert told == table(apis), "run: python -m tests.regions.local.http.test_refused"


def test_the_page_tells_each_path_that_is_refused() -> None:
    told = DIFFERENCES.read_text().partition(BEGIN)[2].partition(END)[0]
    assert told == paths(), "run: python -m tests.regions.local.http.test_refused"


@pytest.mark.parametrize("version", ["1.6.3", "1.11.2", "2.0.5"])
def test_each_path_in_the_table_is_refused_by_name_and_no_other(tmp_path: Path, version: str) -> None:
    with serve(config(tmp_path, version=version)) as api:
        later = {path: methods for path, (methods, since) in LATER.items() if api.context.config.answers_as >= since}
        for path, methods in {**NOT_SUPPORTED, **later}.items():
            asked = path.replace("*", NOBODY)
            for method in ("GET", "PUT", "DELETE", "POST", "PATCH"):
                status, said = api.ask(method, asked, {} if method in ("PUT", "POST", "PATCH") else None)
                is_refused = status == 501 and said == f"{asked} is not supported by this development engine"
                if methods == "*" or method in methods.split():
                    assert is_refused, (method, path, status, said)
                elif method != "POST":  # which PUT stands for, but for a few paths
                    assert not is_refused, (method, path)
        for path in ENTERPRISE:
            asked = path.replace("*", "x")
            assert api.ask("GET", asked, token=None) == (501, "Nomad Enterprise only endpoint")
            assert api.ask("PUT", asked, {}) == (501, "Nomad Enterprise only endpoint")


def _write(page: Path, text: str) -> None:
    before, _, rest = page.read_text().partition(BEGIN)
    page.write_text(before + BEGIN + text + END + rest.partition(END)[2])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, served_versions(Path(folder)) as served:
        _write(PAGE, table(served))
    _write(DIFFERENCES, paths())
