"""Compares two canonical jobs in the shape that `nomad plan` prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jobs.nomad_json.canonical import SERVER_FIELDS
from jobs.nomad_json.inherited import Record

_ORDER = {"Added": 1, "Deleted": 2, "Edited": 3, "None": 0}
_NOT_DIFFED = (*SERVER_FIELDS, "ID", "NomadTokenID", "Payload", "Update", "VaultToken")
_MAPS = ("Env", "GetterHeaders", "GetterOptions", "Meta")
_IN_PLACE = ("Service", "Constraint")


def job_diff(old: Record | None, new: Record, updates: dict[str, dict[str, int]]) -> Record:
    """Returns Nomad's JobDiff, annotated with `updates` (group → DesiredUpdates)."""
    diff: Record = {"ID": new["ID"], "Type": "None" if old else "Added"}
    diff["Fields"] = _fields(_flat(old, _NOT_DIFFED), _flat(new, _NOT_DIFFED), False)
    before = old or {}
    objects = [_string_set("Datacenters", before.get("Datacenters"), new["Datacenters"])]
    objects += _placement_rules(before, new)
    objects.append(_parameterized(before.get("ParameterizedJob"), new["ParameterizedJob"]))
    diff["Objects"] = _changed(objects)
    groups = _pairs(_by_name(before.get("TaskGroups")), _by_name(new["TaskGroups"]))
    diff["TaskGroups"] = [_group_diff(*pair, updates.get(name, {})) for name, pair in groups] or None
    if old and (diff["Fields"] or diff["Objects"] or any(g["Type"] != "None" for g in diff["TaskGroups"] or ())):
        diff["Type"] = "Edited"
    return diff


def _group_diff(old: Record | None, new: Record | None, updates: dict[str, int]) -> Record:
    before, after = old or {}, new or {}
    diff: Record = {"Name": (new or before)["Name"], "Type": _type(old, new)}
    diff["Fields"] = _fields(_flat(old, ("Name",)), _flat(new, ("Name",)), False)
    objects = _placement_rules(before, after)
    for field in ("RestartPolicy", "ReschedulePolicy", "EphemeralDisk"):
        objects.append(_object(field, before.get(field), after.get(field)))
    objects += [_whole("Volume", *pair) for _, pair in _pairs(before.get("Volumes") or {}, after.get("Volumes") or {})]
    diff["Objects"] = _changed(objects)
    tasks = _pairs(_by_name(before.get("Tasks")), _by_name(after.get("Tasks")))
    diff["Tasks"] = [_task_diff(*pair, diff["Type"]) for _, pair in tasks] or None
    words = {
        "Ignore": "ignore",
        "Place": "create",
        "Migrate": "migrate",
        "Stop": "destroy",
        "Canary": "canary",
        "InPlaceUpdate": "in-place update",
        "DestructiveUpdate": "create/destroy update",
    }
    diff["Updates"] = {word: updates[name] for name, word in words.items() if updates.get(name)} if updates else None
    for field in diff["Fields"] or ():
        if field["Name"] == "Count":
            grows = int(field["Old"] or 0) < int(field["New"] or 0)
            field["Annotations"] = ["forces create" if grows else "forces destroy"]
    return diff


def _task_diff(old: Record | None, new: Record | None, group_type: str) -> Record:
    before, after = old or {}, new or {}
    diff: Record = {"Annotations": None, "Name": (new or before)["Name"], "Type": _type(old, new)}
    skip = ("Name", "Config")
    diff["Fields"] = _fields(_flat(old, skip), _flat(new, skip), False)
    objects = _placement_rules(before, after)
    objects.append(_config(before.get("Config"), after.get("Config")))
    objects.append(_resources(before.get("Resources"), after.get("Resources")))
    for field in ("LogConfig", "DispatchPayload"):
        objects.append(_object(field, before.get(field), after.get(field)))
    objects += _object_set("Artifact", before.get("Artifacts"), after.get("Artifacts"))
    objects += _templates(before.get("Templates") or [], after.get("Templates") or [])
    objects.append(_identity(before.get("Identity"), after.get("Identity")))
    diff["Objects"] = _changed(objects)
    if diff["Type"] != "None":
        diff["Annotations"] = [_annotation(diff, group_type)]
    return diff


def _annotation(diff: Record, group_type: str) -> str:
    if group_type in ("Added", "Deleted") and diff["Type"] in ("Added", "Deleted"):
        return "forces create" if diff["Type"] == "Added" else "forces destroy"
    if any(field["Name"] != "KillTimeout" for field in diff["Fields"] or ()):
        return "forces create/destroy update"
    for one in diff["Objects"] or ():
        harmless = one["Name"] in _IN_PLACE or (
            one["Name"] == "LogConfig" and all(f["Name"] != "Disabled" or f["Type"] == "None" for f in one["Fields"])
        )
        if not harmless:
            return "forces create/destroy update"
    return "forces in-place update"


def _type(old: Any, new: Any) -> str:
    if old is None:
        return "Added"
    if new is None:
        return "Deleted"
    return "None" if old == new else "Edited"


def _by_name(items: list[Record] | None) -> dict[str, Record]:
    return {item["Name"]: item for item in items or ()}


def _pairs(
    old: Mapping[str, Record], new: Mapping[str, Record]
) -> Iterator[tuple[str, tuple[Record | None, Record | None]]]:
    """Yields (name, (old, new)) in order of names."""
    return ((name, (old.get(name), new.get(name))) for name in sorted({**old, **new}))


def _changed(objects: Iterable[Record | None]) -> list[Record] | None:
    return [change for change in objects if change] or None


def _placement_rules(old: Record, new: Record) -> list[Record | None]:
    constraints = _object_set("Constraint", old.get("Constraints"), new.get("Constraints"))
    return constraints + _object_set("Affinity", old.get("Affinities"), new.get("Affinities"))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _flat(record: Record | None, skip: tuple[str, ...] = ()) -> dict[str, str]:
    """Flattens a record's own primitive fields and string maps."""
    flat: dict[str, str] = {}
    for name, value in (record or {}).items():
        if name in skip:
            continue
        if name in _MAPS and not isinstance(value, bool):  # an identity's Env is a flag
            flat |= {f"{name}[{key}]": item for key, item in (value or {}).items()}
        elif isinstance(value, str | int | float):
            flat[name] = _text(value)
    return flat


def _fields(old: dict[str, str], new: dict[str, str], contextual: bool) -> list[Record] | None:
    found = []
    for name in sorted({**old, **new}):
        before, after = old.get(name, ""), new.get(name, "")
        if before == after and not contextual:
            continue
        kind = "None" if before == after else "Added" if not before else "Deleted" if not after else "Edited"
        found.append({"Annotations": None, "Name": name, "New": after, "Old": before, "Type": kind})
    return found or None


def _object(name: str, old: Record | None, new: Record | None) -> Record | None:
    """Compares an object field by field. None where nothing differs."""
    fields = _fields(_flat(old), _flat(new), True)
    kinds = {field["Type"] for field in fields or ()} - {"None"}
    if not kinds:
        return None
    kind = "Edited" if len(kinds) > 1 else kinds.pop()
    return {"Fields": fields, "Name": name, "Objects": None, "Type": kind}


def _whole(name: str, old: Record | None, new: Record | None) -> Record | None:
    """Compares an object as a whole."""
    if old == new:
        return None
    fields = _fields(_flat(old), _flat(new), True)
    return {"Fields": fields, "Name": name, "Objects": None, "Type": _type(old, new)}


def _object_set(name: str, old: list[Record] | None, new: list[Record] | None) -> list[Record | None]:
    gone = [_object(name, item, None) for item in old or () if item not in (new or ())]
    fresh = [_object(name, None, one) for one in new or () if one not in (old or ())]
    return sorted([*gone, *fresh], key=_sort_key)


def _string_set(name: str, old: list[str] | None, new: list[str] | None) -> Record | None:
    before, after = set(old or ()), set(new or ())
    if before == after:
        return None
    fields = []
    for value in sorted(before | after):
        kind = "None" if value in before and value in after else "Added" if value in after else "Deleted"
        fields.append(
            {
                "Annotations": None,
                "Name": name,
                "New": value if value in after else "",
                "Old": value if value in before else "",
                "Type": kind,
            }
        )
    kinds = {field["Type"] for field in fields} - {"None"}
    return {"Fields": fields, "Name": name, "Objects": None, "Type": "Edited" if len(kinds) > 1 else kinds.pop()}


def _parameterized(old: Record | None, new: Record | None) -> Record | None:
    diff = _whole("ParameterizedJob", old, new)
    if diff:
        before, after = old or {}, new or {}
        sets = [_string_set(name, before.get(name), after.get(name)) for name in ("MetaOptional", "MetaRequired")]
        diff["Objects"] = _changed(sets)
    return diff


def _resources(old: Record | None, new: Record | None) -> Record | None:
    diff = _whole("Resources", old, new)
    if diff:
        before, after = (_by_name((side or {}).get("Devices")) for side in (old, new))
        diff["Objects"] = _changed(_whole("Device", *pair) for _, pair in _pairs(before, after))
    return diff


def _identity(old: Record | None, new: Record | None) -> Record | None:
    diff = _object("Identity", old, new)
    audience = _string_set("Audience", *((side or {}).get("Audience") for side in (old, new)))
    if diff is None and audience:
        diff = {"Fields": None, "Name": "Identity", "Objects": None, "Type": "Edited"}
    if diff:
        diff["Objects"] = _changed([audience])
    return diff


def _config(old: Record | None, new: Record | None) -> Record | None:
    if (old or {}) == (new or {}):
        return None
    kind = "Added" if not old else "Deleted" if not new else "Edited"
    return {"Fields": _fields(_flat_any(old), _flat_any(new), True), "Name": "Config", "Objects": None, "Type": kind}


def _flat_any(value: Any, path: str = "") -> dict[str, str]:
    if isinstance(value, dict):
        return {
            k: v for key, item in value.items() for k, v in _flat_any(item, f"{path}[{key}]" if path else key).items()
        }
    if isinstance(value, list):
        return {k: v for at, item in enumerate(value) for k, v in _flat_any(item, f"{path}[{at}]").items()}
    return {} if value is None else {path: _text(value)}


def _templates(old: list[Record], new: list[Record]) -> list[Record | None]:
    if len(old) == len(new) == 1:
        return [_whole("Template", old[0], new[0])]
    before, after = ({one["DestPath"]: one for one in side} for side in (old, new))
    pairs = [(before.get(path), after.get(path)) for path in {**before, **after}]
    return sorted((_whole("Template", one, other) for one, other in pairs if one != other), key=_sort_key)


def _sort_key(diff: Record | None) -> tuple[int, str]:
    return (_ORDER[diff["Type"]], str(diff["Fields"])) if diff else (0, "")
