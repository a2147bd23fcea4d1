"""Kubernetes' strategic merge, as far as pod templates need it: how a job's `pod_template` is applied.

Mappings merge key by key, and a null removes a key. A list of named things (containers, variables,
volumes) merges by name, so one variable can be added without repeating the others; every other list
is replaced. An element with `$patch: delete` removes its namesake.

Source:
    Kubernetes API conventions, "Strategic Merge Patch"; the merge keys are those of core/v1.
"""

from collections.abc import Mapping
from typing import Any, TypeGuard, cast

_MERGE_KEYS: Mapping[str, str] = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "ports": "containerPort",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
}
_DIRECTIVE = "$patch"


def strategic_merge(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document with a patch applied; neither is changed.

    Args:
        base: The document.
        patch: What to add, replace and remove.

    Returns:
        The merged document.

    Examples:
        >>> base = {"spec": {"containers": [{"name": "train", "image": "a", "tty": True}]}}
        >>> patch = {"spec": {"containers": [{"name": "train", "tty": None}, {"name": "more"}]}}
        >>> strategic_merge(base, patch)
        {'spec': {'containers': [{'name': 'train', 'image': 'a'}, {'name': 'more'}]}}
    """
    if patch.get(_DIRECTIVE) == "replace":
        return {key: value for key, value in patch.items() if key != _DIRECTIVE}
    merged = dict(base)
    for key, change in patch.items():
        if change is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(key, merged.get(key), change)
    return merged


def _merged(key: str, before: object, change: object) -> object:
    if _is_mapping(change):
        return strategic_merge(before if _is_mapping(before) else {}, change)
    if key in _MERGE_KEYS and _is_list_of_mappings(change):
        return _merged_list(
            before if _is_list_of_mappings(before) else [], change, _MERGE_KEYS[key]
        )
    return change


def _merged_list(
    before: list[Mapping[str, Any]], change: list[Mapping[str, Any]], by: str
) -> list[dict[str, Any]]:
    merged = {element.get(by): dict(element) for element in before}
    for element in change:
        if element.get(_DIRECTIVE) == "delete":
            merged.pop(element.get(by), None)
        else:
            merged[element.get(by)] = strategic_merge(merged.get(element.get(by), {}), element)
    return list(merged.values())


def _is_mapping(value: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping)


def _is_list_of_mappings(value: object) -> TypeGuard[list[Mapping[str, Any]]]:
    return isinstance(value, list) and all(
        _is_mapping(element) for element in cast("list[object]", value)
    )
