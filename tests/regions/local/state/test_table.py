from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from regions.local.state.table import Table

_KEYS = st.integers(0, 900).map(lambda number: f"{number:04d}")


@given(st.lists(st.tuples(_KEYS, st.booleans(), st.integers()), max_size=600))
def test_it_is_a_sorted_dictionary_whose_older_versions_stay(steps: list[tuple[str, bool, int]]) -> None:
    table, model = Table(), {}
    versions = []
    for key, is_put, value in steps:
        versions.append((table, dict(model)))
        if is_put:
            table, model[key] = table.put(key, value), value
        else:
            table = table.delete(key)
            model.pop(key, None)
    for version, expected in [*versions[::37], (table, model)]:
        assert list(version.items()) == sorted(expected.items())
        assert len(version) == len(expected)
    assert list(Table.of(sorted(model.items())).put("zzzz", 0).items()) == [*sorted(model.items()), ("zzzz", 0)]
    assert all(table.get(key) == model.get(key) and (key in table) == (key in model) for key, _, _ in steps)


def test_many_rising_keys_and_scans_by_prefix() -> None:
    table = Table()
    for number in range(2000):
        table = table.put(("ns", f"job-{number:05d}", "x"), number)
    assert [value for _, value in table.prefixed(("ns", "job-01234"))] == [1234]
    assert list(table.values(("ns", "job-01998"))) == [1998, 1999]
    assert list(table.prefixed(("other",))) == []
