"""JSON Merge Patch: how every partial change of a JSON object is read."""

from typing import Any, cast


def merge_patch(target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """RFC 7396, section 2."""
    merged = dict(target)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            old = merged.get(name)
            base = cast("dict[str, Any]", old) if isinstance(old, dict) else {}
            merged[name] = merge_patch(base, cast("dict[str, Any]", value))
        else:
            merged[name] = value
    return merged
