"""The shipped manifests on a real cluster: what they make, what they refuse, and Terraform's twin."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from blocks.cluster.errors import InvalidObjectError, QuotaExceededError
from blocks.cluster.view import jobs_path, pods_path
from blocks.prices import Prices
from blocks.runner import work_digest
from infra.testcluster import launcher
from infra.testcluster.build import CannotBuildError, find_program
from lowtide.manifest import build_job
from lowtide.site import KubernetesSettings
from tests.cluster.sandbox import (
    INFRA,
    Bed,
    Sandbox,
    moved,
    open_bed,
    open_sandbox,
    shipped,
    wait_for,
)

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

NAMESPACE = "ml-training"


def gpu_pod(name: str, *, gpus: int, priority: str | None = None) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "containers": [
            {
                "name": "c",
                "image": "none",
                "resources": {"limits": {"nvidia.com/gpu": str(gpus)}},
            }
        ],
        "schedulingGates": [{"name": "tests/never"}],  # admitted and counted, never run
    }
    if priority:
        spec["priorityClassName"] = priority
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": spec,
    }


@pytest.fixture
def limited(sandbox: Sandbox) -> Sandbox:
    """A namespace with the shipped quotas and limits."""
    names = ("kubernetes/quotas.yaml", "kubernetes/limit-range.yaml")
    sandbox.apply(*moved(shipped(*names), to=sandbox.namespace))
    _wait_for_quotas(sandbox)
    return sandbox


def _wait_for_quotas(sandbox: Sandbox) -> None:
    # A quota refuses everything until its controller has counted once.
    wait_for(
        lambda: sandbox.api.get(f"/api/v1/namespaces/{sandbox.namespace}/resourcequotas")["items"],
        lambda quotas: all("used" in quota.get("status", {}) for quota in quotas),
    )


def make(sandbox: Sandbox, pod: Mapping[str, Any]) -> Mapping[str, Any]:
    return sandbox.api.create(pods_path(sandbox.namespace), pod)


def test_a_pod_of_three_gpus_is_refused_by_the_limit_range(limited: Sandbox) -> None:
    with pytest.raises(InvalidObjectError, match=r"maximum nvidia\.com/gpu usage per Pod is 1"):
        make(limited, gpu_pod("three", gpus=3))


def test_of_three_pods_of_one_gpu_the_third_exceeds_the_quota(limited: Sandbox) -> None:
    make(limited, gpu_pod("one", gpus=1))
    make(limited, gpu_pod("two", gpus=1))

    with pytest.raises(QuotaExceededError) as caught:
        make(limited, gpu_pod("three", gpus=1))

    (shortage,) = caught.value.shortages
    assert (shortage.quota, shortage.resource) == ("training", "requests.nvidia.com/gpu")
    assert (shortage.asked, shortage.used, shortage.limit) == ("1", "2", "2")


def test_with_the_quota_alone_a_pod_of_three_gpus_exceeds_the_quota(sandbox: Sandbox) -> None:
    sandbox.apply(*moved(shipped("kubernetes/quotas.yaml"), to=sandbox.namespace))
    _wait_for_quotas(sandbox)
    pod = gpu_pod("three", gpus=3)
    pod["spec"]["containers"][0]["resources"]["requests"] = {"cpu": "1", "memory": "1Gi"}

    with pytest.raises(QuotaExceededError) as caught:
        make(sandbox, pod)

    (shortage,) = caught.value.shortages
    assert (shortage.asked, shortage.used, shortage.limit) == ("3", "0", "2")


def test_background_pods_have_a_quota_of_their_own(limited: Sandbox) -> None:
    make(limited, gpu_pod("one", gpus=1, priority="background"))

    with pytest.raises(QuotaExceededError) as caught:
        make(limited, gpu_pod("two", gpus=1, priority="background"))

    assert [shortage.quota for shortage in caught.value.shortages] == ["training-background"]
    make(limited, gpu_pod("normal", gpus=1))


def test_a_container_that_asks_for_nothing_gets_the_defaults(limited: Sandbox) -> None:
    pod = gpu_pod("plain", gpus=0)
    del pod["spec"]["containers"][0]["resources"]

    made = make(limited, pod)

    amounts = {"cpu": "500m", "memory": "256Mi", "nvidia.com/gpu": "0"}
    assert made["spec"]["containers"][0]["resources"] == {"limits": amounts, "requests": amounts}
    assert made["spec"]["priorityClassName"] == "normal"


def test_the_default_leg_is_accepted_by_a_restricted_namespace_and_a_host_s_is_not(
    bed: Bed,
) -> None:
    with open_sandbox(bed, labels={"pod-security.kubernetes.io/enforce": "restricted"}) as place:
        spec = place.spec("true", gpus=1)
        settings = KubernetesSettings.read(spec)
        job = build_job(spec, settings, place.runner().site, work_digest=work_digest(spec))
        template = job["spec"]["template"]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "dry", "annotations": template["metadata"]["annotations"]},
            "spec": template["spec"],
        }
        host = {**pod, "spec": {**template["spec"], "hostNetwork": True}}

        place.api.create(pods_path(place.namespace), pod, dryRun="All")
        place.api.create(jobs_path(place.namespace), job, dryRun="All")
        with pytest.raises(InvalidObjectError, match="hostNetwork"):
            place.api.create(pods_path(place.namespace), host, dryRun="All")


def test_what_flows_may_do_in_the_cluster_is_enough_for_a_leg_and_no_more(
    sandbox: Sandbox,
) -> None:
    sandbox.apply(*moved(shipped("kubernetes/flows.yaml"), to=sandbox.namespace)[:3])

    def can(verb: str, what: str) -> bool:
        account = f"--as=system:serviceaccount:{sandbox.namespace}:lowtide-flows"
        return sandbox.kubectl("auth", "can-i", verb, what, account).stdout.strip() == "yes"

    needed = ["create jobs", "patch jobs", "delete jobs", "watch pods", "patch pods"]
    assert all(can(*ask.split()) for ask in needed)
    refused = ["create pods", "delete pods", "get secrets", "create configmaps", "delete nodes"]
    assert not any(can(*ask.split()) for ask in refused)
    assert can("get", "pods/log")


@pytest.fixture(scope="module")
def bare() -> Iterator[Bed]:
    """A control plane of its own: what all namespaces share is changed here."""
    name = f"bare-{os.getpid()}"
    try:
        with launcher.cluster(name, node=False) as cluster:
            yield open_bed(cluster.kubeconfig, is_own=True, cannot=cluster.cannot)
    except CannotBuildError as error:
        pytest.skip(str(error))


SHOWN = "priorityclass,quota,limitrange,configmap"


def test_one_command_makes_what_the_specification_shows(bare: Bed) -> None:
    done = bare.kubectl("apply", "-k", str(INFRA / "kubernetes"))
    shown = bare.kubectl("-n", NAMESPACE, "get", SHOWN, "-o", "name").stdout.split()
    classes = {
        item["metadata"]["name"]: (item["value"], item.get("globalDefault", False))
        for item in bare.api.get("/apis/scheduling.k8s.io/v1/priorityclasses")["items"]
        if not item["metadata"]["name"].startswith("system-")
    }

    assert done.returncode == 0, done.stderr
    assert classes == {"urgent": (1000, False), "normal": (100, True), "background": (10, False)}
    assert {name.rpartition("/")[2] for name in shown} >= {
        "training",
        "training-background",
        "cost-model",
        "scheduling-policies",
    }
    again = bare.kubectl("diff", "-k", str(INFRA / "kubernetes"))
    assert again.returncode == 0, again.stdout


def test_prices_can_be_read_back_from_the_cluster(bare: Bed) -> None:
    bare.kubectl("apply", "-k", str(INFRA / "kubernetes"))
    sandbox = Sandbox(bed=bare, namespace=NAMESPACE)
    prices = Prices(source=f"configmap:{NAMESPACE}/cost-model")

    book = prices.reading_cluster(sandbox.runner().config_map).book()

    assert book.sheets[0].version == "specification-1"
    assert book.sheets[0].multipliers == Prices().book().sheets[-1].multipliers


@pytest.fixture
def terraform(bare: Bed, tmp_path: Path) -> "Terraform":
    """The shipped module with the provider that was built for it."""
    try:
        program = find_program("terraform")
        provider = find_program("terraform-provider-kubernetes")
    except CannotBuildError as error:
        pytest.skip(str(error))
    config = tmp_path / "terraform.rc"
    config.write_text(
        'provider_installation {\n  dev_overrides {\n    "hashicorp/kubernetes" = "'
        f'{provider.parent}"\n  }}\n  direct {{}}\n}}\n'
    )
    folder = tmp_path / "module"
    shutil.copytree(INFRA / "terraform", folder)
    return Terraform(str(program), folder=folder, config=config, kubeconfig=bare.kubeconfig)


class Terraform:
    """Runs Terraform on a copy of the module, with no registry and no `init`."""

    def __init__(self, program: str, *, folder: Path, config: Path, kubeconfig: Path) -> None:
        self.program = program
        self.folder = folder
        self.environment = {
            **os.environ,
            "TF_CLI_CONFIG_FILE": str(config),
            "KUBE_LOAD_CONFIG_FILE": "true",
            "KUBECONFIG": str(kubeconfig),
            "KUBE_CONFIG_PATH": str(kubeconfig),
            "CHECKPOINT_DISABLE": "1",
        }

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self.program, *arguments, "-no-color"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )


def objects(bed: Bed) -> dict[str, Any]:
    """The objects that both ways make, without what the API server adds."""
    paths = {
        "quota": f"/api/v1/namespaces/{NAMESPACE}/resourcequotas/training",
        "limits": f"/api/v1/namespaces/{NAMESPACE}/limitranges/training",
        "cost": f"/api/v1/namespaces/{NAMESPACE}/configmaps/cost-model",
        "policies": f"/api/v1/namespaces/{NAMESPACE}/configmaps/scheduling-policies",
        "role": f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/roles/lowtide-flows",
        "cluster-role": "/apis/rbac.authorization.k8s.io/v1/clusterroles/lowtide-flows",
        "network": f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies/training",
        **{
            name: f"/apis/scheduling.k8s.io/v1/priorityclasses/{name}"
            for name in ("urgent", "normal", "background")
        },
    }
    kept = ("spec", "data", "value", "globalDefault", "description")
    found = {name: bed.api.get(path) for name, path in paths.items()}
    return {
        name: {key: document[key] for key in kept if document.get(key)}
        | {"rules": [_rule(rule) for rule in document.get("rules", [])]}
        for name, document in found.items()
    }


def _rule(rule: Mapping[str, Any]) -> dict[str, set[str]]:
    """A rule's verbs are a set, and Terraform writes them in an order of its own."""
    return {key: set(values) for key, values in rule.items()}


def test_terraform_makes_the_same_objects_and_then_finds_nothing_to_change(
    bare: Bed, terraform: Terraform
) -> None:
    bare.kubectl("apply", "-k", str(INFRA / "kubernetes"))
    by_kubectl = objects(bare)
    bare.kubectl("delete", "-k", str(INFRA / "kubernetes"), "--wait=true")

    applied = terraform.run("apply", "-auto-approve")
    by_terraform = objects(bare)
    planned = terraform.run("plan", "-detailed-exitcode")

    assert applied.returncode == 0, applied.stderr
    assert by_terraform == by_kubectl
    assert planned.returncode == 0, planned.stdout
    assert terraform.run("destroy", "-auto-approve").returncode == 0


def test_the_quota_that_only_newer_providers_know_says_the_same_as_ours() -> None:
    text = (INFRA / "terraform" / "newer-providers" / "main.tf").read_text()
    (ours,) = [
        document
        for document in shipped("kubernetes/quotas.yaml")
        if document["metadata"]["name"] == "training-background"
    ]

    for resource, amount in ours["spec"]["hard"].items():
        assert f'"{resource}"' in text
        assert json.dumps(amount) in text
    (term,) = ours["spec"]["scopeSelector"]["matchExpressions"]
    assert f'scope_name = "{term["scopeName"]}"' in text
    assert json.dumps(term["values"]) in text


def test_the_rendered_files_are_what_the_price_book_says() -> None:
    from infra.render import rendered  # noqa: PLC0415 - needs the price book, as only this test does

    for path, text in rendered().items():
        assert path.read_text() == text, f"{path}: run `python -m infra.render`"


def test_the_clock_of_the_cluster_is_known_from_its_answers(sandbox: Sandbox) -> None:
    sandbox.api.get("/version")

    assert abs((sandbox.api.now() - datetime.now(UTC)).total_seconds()) < 5
