"""JSON Merge Patch (RFC 7396) as a pure function of JSON values."""

from typing import TypeAlias, cast

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"


def apply(target: Json, patch: Json) -> Json:
    """What this patch makes of this value, as section 2 has it: objects are merged, null removes, all else replaces.

    Neither is changed. The caller limits how deep a patch is nested.
    """
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else cast("dict[str, Json]", {})
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = apply(merged.get(name), value)
    return merged
