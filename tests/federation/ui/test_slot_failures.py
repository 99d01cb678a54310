"""Failed slots are named by their parameters and grouped by reason."""

from __future__ import annotations

from federation.ui.slot_failures import failure_lines, failures_document, slot_label

OOM, EXIT = "task train: killed for its memory (OOM)", "task train: Exit Code: 1"


def test_a_slot_is_named_by_its_parameters() -> None:
    assert slot_label(9, {"lr": 0.1, "depth": 5, "augment": True}) == "slot 9 (lr=0.1, depth=5, augment=true)"
    assert slot_label(9, {}) == "slot 9"


def test_long_values_are_cut() -> None:
    label = slot_label(9, {"layers": "x" * 10_000, **{f"p{n}": n for n in range(100)}})
    assert label.startswith("slot 9 (layers=xxx")
    assert len(label) < 150


def test_one_failure_is_one_line() -> None:
    assert [*failure_lines({9: EXIT}, {9: {"lr": 0.1, "depth": 5}})] == [f"slot 9 (lr=0.1, depth=5): {EXIT}"]


def test_failures_are_grouped_by_reason_with_what_they_share() -> None:
    params = {1: {"lr": 0.1, "depth": 5}, 4: {"lr": 0.01, "depth": 5}, 2: {"lr": 0.1, "depth": 3}}
    assert [*failure_lines({2: EXIT, 1: OOM, 4: OOM}, params)] == [
        f"2 slots, all with depth=5: {OOM}",
        "  slot 1 (lr=0.1, depth=5)",
        "  slot 4 (lr=0.01, depth=5)",
        f"slot 2 (lr=0.1, depth=3): {EXIT}",
    ]


def test_values_of_different_types_are_not_shared() -> None:
    lines = [*failure_lines({0: EXIT, 1: EXIT}, {0: {"a": 1, "b": 2}, 1: {"a": "1", "c": 2}})]
    assert lines[0] == f"2 slots: {EXIT}"


def test_slots_that_do_not_differ_are_numbers() -> None:
    assert [*failure_lines(dict.fromkeys(range(3), EXIT), {})] == [f"3 slots: {EXIT}", "  slots 0, 1, 2"]


def test_many_failures_stay_few_lines() -> None:
    params = {number: {"lr": number} for number in range(5000)}
    assert len([*failure_lines(dict.fromkeys(params, EXIT), params)]) == 12
    lines = [*failure_lines({number: f"reason {number}" for number in params}, params)]
    assert len(lines) == 11
    assert lines[-1] == "… and 4,990 slots for 4,990 other reasons"


def test_the_document_has_each_slot_with_typed_parameters() -> None:
    assert failures_document({9: EXIT, 3: EXIT}, {9: {"lr": 0.1}}) == [
        {"reason": EXIT, "slots": [{"slot": 3, "params": {}}, {"slot": 9, "params": {"lr": 0.1}}]}
    ]
