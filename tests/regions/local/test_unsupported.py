from __future__ import annotations

from regions.local.unsupported import misplaced, unsupported
from tests.regions.local.state.builders import job


def test_what_the_region_does_not_have_is_said_in_nomads_words() -> None:
    assert misplaced(job(), ("default",), ("default",)) == []
    assert misplaced({**job(), "Namespace": "other", "NodePool": "gpu"}, ("default",), ("default",)) == [
        'job "train" is in nonexistent namespace "other"',
        'job "train" is in nonexistent node pool "gpu"',
    ]


def test_what_the_engine_does_not_do_is_named() -> None:
    assert unsupported(job()) is None
    assert unsupported({**job(), "Type": "service"}) == "job type service"
    assert unsupported({**job(), "Type": "sysbatch"}) == "job type sysbatch"
    assert unsupported({**job(), "Periodic": {"Spec": "* * * * *"}}) == "periodic jobs"
    served = job()
    served["TaskGroups"][0]["Services"] = [{"Name": "web"}]
    assert unsupported(served) == "services"
