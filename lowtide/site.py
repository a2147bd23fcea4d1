"""What a leg asks of a cluster, and how the cluster is: the two halves of a leg's manifest."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from pydantic import Field, ValidationError

from lowtide.documents import Part, explain
from lowtide.job import Priority, Secret, TrainingJob
from lowtide.legs import Capacity, LegSpec

GPU = "nvidia.com/gpu"


class SpotNodes(StrEnum):
    """How a provider marks its spot nodes."""

    LOWTIDE = "lowtide"
    GKE = "gke"
    EKS = "eks"
    AKS = "aks"
    KARPENTER = "karpenter"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeMarks:
    """How a leg finds the nodes that it is to run on.

    Attributes:
        spot: Labels of spot nodes.
        on_demand: Labels of the others, where spot nodes are not tainted.
        toleration: What lets a pod onto tainted spot nodes.
    """

    spot: Mapping[str, str]
    on_demand: Mapping[str, str]
    toleration: Mapping[str, str] | None


def _taint(key: str, value: str) -> dict[str, str]:
    return {"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"}


_GKE = "cloud.google.com/gke-spot"
_AKS = "kubernetes.azure.com/scalesetpriority"
_EKS = "eks.amazonaws.com/capacityType"
_KARPENTER = "karpenter.sh/capacity-type"
# Where a provider taints its spot nodes by itself, an on-demand leg needs no selector to avoid them.
_MARKS: Mapping[SpotNodes, NodeMarks] = {
    SpotNodes.LOWTIDE: NodeMarks(
        spot={"lowtide.dev/capacity": "spot"},
        on_demand={},
        toleration={"key": "lowtide.dev/spot", "operator": "Exists", "effect": "NoSchedule"},
    ),
    SpotNodes.GKE: NodeMarks(spot={_GKE: "true"}, on_demand={}, toleration=_taint(_GKE, "true")),
    SpotNodes.AKS: NodeMarks(spot={_AKS: "spot"}, on_demand={}, toleration=_taint(_AKS, "spot")),
    SpotNodes.EKS: NodeMarks(spot={_EKS: "SPOT"}, on_demand={_EKS: "ON_DEMAND"}, toleration=None),
    SpotNodes.KARPENTER: NodeMarks(
        spot={_KARPENTER: "spot"}, on_demand={_KARPENTER: "on-demand"}, toleration=None
    ),
}


class KubernetesSettings(Part):
    """What a leg asks of a cluster beyond its program: `LegSpec.settings` of a Kubernetes leg.

    Examples:
        >>> job = TrainingJob(name="digits", command=["train"], where="kubernetes", image="r/i:1")
        >>> settings = KubernetesSettings.of(job)
        >>> settings.image, settings.priority.value, settings.memory_gib
        ('r/i:1', 'normal', '2')
    """

    image: str = Field(min_length=1, description="Container image.")
    gpus: int = Field(default=0, ge=0, description="GPUs.")
    cpus: str = Field(default="1", description="CPU cores.")
    memory_gib: str = Field(default="1", description="Memory, GiB.")
    priority: Priority = Field(default=Priority.NORMAL, description="PriorityClass of the pod.")
    workload_priority: str | None = Field(
        default=None, description="Kueue WorkloadPriorityClass, where it differs."
    )
    bound_s: float | None = Field(
        default=None, gt=0, description="No leg of the run can need more seconds than this."
    )
    secrets: tuple[Secret, ...] = Field(default=(), description="Secret values, by reference.")
    pod_template: dict[str, Any] = Field(
        default_factory=dict, description="Strategic merge into the pod."
    )
    tags: dict[str, str] = Field(default_factory=dict, description="Written as annotations.")

    @classmethod
    def of(
        cls,
        job: TrainingJob,
        *,
        workload_priority: str | None = None,
        bound_s: float | None = None,
    ) -> Self:
        """Return what a job asks for.

        Args:
            job: The job, with an image.
            workload_priority: Kueue's class for a leg in the safety net of its deadline.
            bound_s: Seconds that no leg of the run can exceed; the same for each of its calls.

        Returns:
            The settings.
        """
        return cls(
            image=job.image or "",
            gpus=job.resources.gpus,
            cpus=f"{job.resources.cpus.normalize():f}",
            memory_gib=f"{job.resources.memory_gib.normalize():f}",
            priority=job.priority,
            workload_priority=workload_priority,
            bound_s=bound_s,
            secrets=job.secrets,
            pod_template=job.pod_template,
            tags=job.tags,
        )

    @classmethod
    def read(cls, spec: LegSpec) -> Self:
        """Return the settings of a leg.

        Raises:
            BadInputError: they are not those of a Kubernetes leg.
        """
        try:
            return cls.model_validate(dict(spec.settings))
        except ValidationError as error:
            raise explain(error, source=f"leg {spec.name!r}: settings", schema="job") from None

    def document(self) -> dict[str, Any]:
        """Return the settings as a JSON document that `read` takes back."""
        return self.model_dump(mode="json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """How the cluster is, for all legs alike.

    Attributes:
        namespace: Where the Jobs live.
        queue: Kueue LocalQueue; None: no Kueue.
        background_queue: LocalQueue of background jobs; None: the same queue.
        spot_nodes: How spot nodes are marked.
        claim: PersistentVolumeClaim of the checkpoints.
        host_path: Folder of the node for the checkpoints, where there is no claim.
        gpu: Name of the GPU resource.
        pod_template: Strategic merge into every pod, before the job's own.
    """

    namespace: str
    queue: str | None = None
    background_queue: str | None = None
    spot_nodes: SpotNodes = SpotNodes.LOWTIDE
    claim: str | None = None
    host_path: str | None = None
    gpu: str = GPU
    pod_template: Mapping[str, Any] | None = None

    def nodes_of(self, capacity: Capacity) -> tuple[dict[str, str], list[dict[str, str]]]:
        """Return the node selector and the tolerations of a leg."""
        marks = _MARKS[self.spot_nodes]
        if capacity is Capacity.ON_DEMAND:
            return dict(marks.on_demand), []
        return dict(marks.spot), [dict(marks.toleration)] if marks.toleration else []

    def queue_of(self, priority: Priority) -> str | None:
        """Return the queue in which a leg waits."""
        if priority is Priority.BACKGROUND and self.background_queue is not None:
            return self.background_queue
        return self.queue
