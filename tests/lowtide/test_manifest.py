from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st

from lowtide.errors import BadInputError
from lowtide.job import Priority, parse_job
from lowtide.leg_causes import is_ending
from lowtide.legs import Capacity, LegSpec
from lowtide.manifest import (
    FINALIZER,
    MAX_EXEC_LABEL,
    QUEUE_LABEL,
    STOP_ANNOTATION,
    WORKLOAD_PRIORITY_LABEL,
    build_job,
    limit_of,
    start_by_of,
)
from lowtide.merge import strategic_merge
from lowtide.objects import time_of
from lowtide.site import KubernetesSettings, Site, SpotNodes

NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
SPEC = LegSpec(
    run="r-0123456789ab",
    leg=2,
    command=("python", "-m", "train"),
    env={"LOWTIDE_LEG": "2"},
    checkpoint_dir="/checkpoints",
    limit_s=600.5,
    start_by=NOW + timedelta(minutes=10),
    grace_s=30,
)
SETTINGS = KubernetesSettings(image="registry/train:1", gpus=1, cpus="2", memory_gib="4")
SITE = Site(namespace="ml-training", queue="training", background_queue="training-background")


def build(
    spec: LegSpec = SPEC, settings: KubernetesSettings = SETTINGS, site: Site = SITE
) -> dict[str, Any]:
    return build_job(spec, settings, site, work_digest="d" * 64)


def pod(**changes: Any) -> dict[str, Any]:
    template: dict[str, Any] = build(settings=SETTINGS.model_copy(update=changes))["spec"][
        "template"
    ]
    return template


def test_a_leg_starts_one_pod_at_most_and_fails_at_a_disruption() -> None:
    spec = build()["spec"]

    assert (spec["backoffLimit"], spec["completions"], spec["parallelism"]) == (0, 1, 1)
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert spec["podFailurePolicy"]["rules"] == [
        {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget"}]}
    ]


def test_the_limit_is_written_into_the_job_and_the_pod_is_held_until_it_is_billed() -> None:
    job = build()

    assert job["spec"]["activeDeadlineSeconds"] == 600
    assert limit_of(job) == 600.5
    assert start_by_of(job) == SPEC.start_by
    assert job["spec"]["template"]["metadata"]["finalizers"] == [FINALIZER]
    assert "ttlSecondsAfterFinished" not in job["spec"]


def test_a_queued_leg_waits_for_kueue_and_one_without_a_queue_does_not() -> None:
    queued, plain = build(), build(site=replace(SITE, queue=None, background_queue=None))

    assert queued["spec"]["suspend"] is True
    assert queued["metadata"]["labels"][QUEUE_LABEL] == "training"
    assert plain["spec"]["suspend"] is False
    assert QUEUE_LABEL not in plain["metadata"]["labels"]


def test_a_background_leg_waits_in_its_own_queue() -> None:
    background = SETTINGS.model_copy(update={"priority": Priority.BACKGROUND})

    assert build(settings=background)["metadata"]["labels"][QUEUE_LABEL] == "training-background"


def test_kueue_learns_the_leg_s_priority_and_its_run_s_bound() -> None:
    settings = SETTINGS.model_copy(update={"workload_priority": "deadline", "bound_s": 7200.2})

    labels = build(settings=settings)["metadata"]["labels"]

    assert labels[WORKLOAD_PRIORITY_LABEL] == "deadline"
    assert labels[MAX_EXEC_LABEL] == "7201"


def test_requests_are_what_is_paid_for_and_limits_are_the_same() -> None:
    container = pod()["spec"]["containers"][0]

    amounts = {"cpu": "2", "memory": "4Gi", "nvidia.com/gpu": "1"}
    assert container["resources"] == {"requests": amounts, "limits": amounts}


def test_a_leg_without_gpus_asks_for_none_and_tolerates_no_gpu_taint() -> None:
    spec = pod(gpus=0)["spec"]

    assert "nvidia.com/gpu" not in spec["containers"][0]["resources"]["requests"]
    assert spec["tolerations"] == []


def test_secrets_are_given_by_reference_only() -> None:
    settings = KubernetesSettings.model_validate(
        {**SETTINGS.document(), "secrets": [{"env": "TOKEN", "secret": "hub", "key": "token"}]}
    )

    env = build(settings=settings)["spec"]["template"]["spec"]["containers"][0]["env"]

    reference = {"secretKeyRef": {"name": "hub", "key": "token"}}
    assert {"name": "TOKEN", "valueFrom": reference} in env
    assert {"name": "LOWTIDE_LEG", "value": "2"} in env


PRESETS: dict[SpotNodes, tuple[dict[str, str], str | None, dict[str, str]]] = {
    SpotNodes.LOWTIDE: ({"lowtide.dev/capacity": "spot"}, "lowtide.dev/spot", {}),
    SpotNodes.GKE: ({"cloud.google.com/gke-spot": "true"}, "cloud.google.com/gke-spot", {}),
    SpotNodes.AKS: (
        {"kubernetes.azure.com/scalesetpriority": "spot"},
        "kubernetes.azure.com/scalesetpriority",
        {},
    ),
    SpotNodes.EKS: (
        {"eks.amazonaws.com/capacityType": "SPOT"},
        None,
        {"eks.amazonaws.com/capacityType": "ON_DEMAND"},
    ),
    SpotNodes.KARPENTER: (
        {"karpenter.sh/capacity-type": "spot"},
        None,
        {"karpenter.sh/capacity-type": "on-demand"},
    ),
}


@pytest.mark.parametrize("nodes", SpotNodes)
def test_spot_legs_find_the_provider_s_spot_nodes_and_others_keep_off_them(
    nodes: SpotNodes,
) -> None:
    selector, tolerated, on_demand = PRESETS[nodes]
    site = replace(SITE, spot_nodes=nodes)
    settings = SETTINGS.model_copy(update={"gpus": 0})

    spot = build(replace(SPEC, capacity=Capacity.SPOT), settings, site)["spec"]["template"]["spec"]
    other = build(SPEC, settings, site)["spec"]["template"]["spec"]

    assert spot["nodeSelector"] == selector
    assert [t["key"] for t in spot["tolerations"]] == ([tolerated] if tolerated else [])
    assert (other["nodeSelector"], other["tolerations"]) == (on_demand, [])


def volume_of(site: Site) -> tuple[dict[str, Any], dict[str, Any]]:
    spec = build(site=site)["spec"]["template"]["spec"]
    return spec["volumes"][0], spec["containers"][0]["volumeMounts"][0]


def test_checkpoints_go_to_a_claim_where_a_run_sees_only_its_own() -> None:
    volume, mount = volume_of(replace(SITE, claim="checkpoints"))

    assert volume["persistentVolumeClaim"] == {"claimName": "checkpoints"}
    assert (mount["mountPath"], mount["subPath"]) == ("/checkpoints", SPEC.run)


def test_checkpoints_may_go_to_a_folder_of_the_node_or_end_with_the_leg() -> None:
    folder, _ = volume_of(replace(SITE, host_path="/data"))
    nothing, mount = volume_of(SITE)

    assert folder["hostPath"]["path"] == "/data"
    assert nothing["emptyDir"] == {}
    assert "subPath" not in mount


def test_the_default_pod_is_what_a_restricted_namespace_accepts() -> None:
    spec = pod()["spec"]
    container = spec["containers"][0]

    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert spec["automountServiceAccountToken"] is False


def test_a_pod_template_adds_to_the_site_s_and_the_site_s_to_ours() -> None:
    site = replace(SITE, pod_template={"spec": {"hostNetwork": True, "priorityClassName": "mine"}})
    patch = {"spec": {"containers": [{"name": "train", "env": [{"name": "A", "value": "1"}]}]}}
    settings = SETTINGS.model_copy(update={"pod_template": patch})

    spec = build(settings=settings, site=site)["spec"]["template"]["spec"]

    assert (spec["hostNetwork"], spec["priorityClassName"]) == (True, "mine")
    assert {"name": "A", "value": "1"} in spec["containers"][0]["env"]
    assert {"name": "LOWTIDE_LEG", "value": "2"} in spec["containers"][0]["env"]


FORBIDDEN: dict[str, dict[str, Any]] = {
    "metadata.finalizers": {"metadata": {"finalizers": []}},
    "metadata.labels": {"metadata": {"labels": {"lowtide.dev/leg": "9"}}},
    "spec.restartPolicy": {"spec": {"restartPolicy": "OnFailure"}},
    "spec.terminationGracePeriodSeconds": {"spec": {"terminationGracePeriodSeconds": 3600}},
    "spec.containers.train.command": {
        "spec": {"containers": [{"name": "train", "command": ["sleep", "9"]}]}
    },
    "spec.containers.train.resources": {
        "spec": {"containers": [{"name": "train", "resources": {"limits": {"cpu": "9"}}}]}
    },
    "spec.containers.resources": {
        "spec": {"containers": [{"name": "more", "resources": {"limits": {"cpu": "9"}}}]}
    },
}


@pytest.mark.parametrize(("path", "patch"), FORBIDDEN.items())
def test_a_pod_template_cannot_make_a_leg_cost_more_than_its_hold(
    path: str, patch: dict[str, Any]
) -> None:
    with pytest.raises(BadInputError) as caught:
        build(settings=SETTINGS.model_copy(update={"pod_template": patch}))

    assert caught.value.where == f"leg {SPEC.name!r}: pod_template: {path}"


def test_a_job_s_own_settings_survive_the_way_through_a_leg() -> None:
    job = parse_job(
        {
            "name": "digits",
            "command": ["train"],
            "where": "kubernetes",
            "image": "r/i:1",
            "resources": {"gpus": 2, "cpus": 1.5, "memory_gib": 8},
            "priority": "urgent",
            "tags": {"team": "vision"},
            "secrets": [{"env": "TOKEN", "secret": "hub", "key": "token"}],
        }
    )
    settings = KubernetesSettings.of(job, bound_s=60)

    read = KubernetesSettings.read(replace(SPEC, settings=settings.document()))

    assert read == settings
    assert (read.gpus, read.cpus, read.memory_gib) == (2, "1.5", "8")


def test_settings_of_another_runner_are_refused_with_the_key() -> None:
    with pytest.raises(BadInputError, match="image"):
        KubernetesSettings.read(replace(SPEC, settings={"folder": "legs"}))


NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.recursive(
    st.integers(0, 3) | st.none(), lambda inner: st.dictionaries(NAMES, inner, max_size=3)
)
MAPPINGS = st.dictionaries(NAMES, VALUES, max_size=3)


@given(base=MAPPINGS, patch=MAPPINGS)
def test_merging_a_patch_twice_changes_nothing_more(
    base: dict[str, Any], patch: dict[str, Any]
) -> None:
    once = strategic_merge(base, patch)

    assert strategic_merge(once, patch) == once
    assert all(name not in once for name, value in patch.items() if value is None)


def test_named_things_merge_by_name_and_other_lists_are_replaced() -> None:
    base: dict[str, Any] = {
        "volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "emptyDir": {}}],
        "args": ["1", "2"],
    }
    patch: dict[str, Any] = {
        "volumes": [{"name": "a", "$patch": "delete"}, {"name": "c", "emptyDir": {}}],
        "args": ["3"],
    }

    assert strategic_merge(base, patch) == {
        "volumes": [{"name": "b", "emptyDir": {}}, {"name": "c", "emptyDir": {}}],
        "args": ["3"],
    }


def test_a_whole_mapping_can_be_replaced() -> None:
    base = {"securityContext": {"runAsUser": 1, "runAsNonRoot": True}}
    patch = {"securityContext": {"$patch": "replace", "runAsUser": 0}}

    assert strategic_merge(base, patch) == {"securityContext": {"runAsUser": 0}}


def test_times_are_read_as_kubernetes_writes_them() -> None:
    assert time_of("2026-11-23T20:00:00Z") == NOW
    assert time_of(None) is None


def test_a_job_of_whole_cores_asks_for_whole_cores() -> None:
    job = parse_job(
        {
            "name": "big",
            "command": ["t"],
            "image": "i",
            "resources": {"cpus": Decimal(100), "memory_gib": Decimal("0.5")},
        }
    )

    assert (KubernetesSettings.of(job).cpus, KubernetesSettings.of(job).memory_gib) == (
        "100",
        "0.5",
    )


def test_a_leg_may_choose_where_its_program_starts() -> None:
    container = build(replace(SPEC, workdir="/src"))["spec"]["template"]["spec"]["containers"][0]

    assert container["workingDir"] == "/src"


def test_without_a_queue_of_their_own_background_legs_wait_with_the_others() -> None:
    site = replace(SITE, background_queue=None)

    assert site.queue_of(Priority.BACKGROUND) == "training"


ENDINGS = {
    "asked for by us": ({"metadata": {"annotations": {STOP_ANNOTATION: "stop"}}}, True),
    "decided by its controller": (
        {"status": {"conditions": [{"type": "FailureTarget", "status": "True"}]}},
        True,
    ),
    "not in sight": ({"status": {"conditions": [{"type": "Suspended", "status": "True"}]}}, False),
}


@pytest.mark.parametrize(("job", "ends"), ENDINGS.values(), ids=ENDINGS)
def test_an_end_is_decided_once_it_is_asked_for_or_seen(job: dict[str, Any], ends: bool) -> None:
    assert is_ending(job) is ends
