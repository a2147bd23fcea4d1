"""Legs on a Kubernetes cluster.

The one hard idea: the Job is the record. It is made once under a name that anybody can compute, and
nothing of ours deletes it before its charge is booked: a stop is a note and a passed deadline, a
withdrawal a note and a seal. So whoever looks, now or after everything was killed, reads the same
answer from the same object; and the pod, held by a finalizer, keeps the measured times beside it.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from pydantic import Field, HttpUrl, PrivateAttr
from typing_extensions import override

from blocks.cluster import checks
from blocks.cluster.api import Api
from blocks.cluster.capacity import CapacityOfCluster
from blocks.cluster.connect import connect
from blocks.cluster.errors import InvalidObjectError, MissingError, ObjectConflictError
from blocks.cluster.look import look
from blocks.cluster.mirror import Pace
from blocks.cluster.view import Leg, View, jobs_path, pods_path, view_of, workloads_path
from blocks.runner import check_limit, check_spec, work_digest
from lowtide.errors import BadInputError, ConflictError, LowtideError, UnavailableError
from lowtide.identity import leg_name
from lowtide.leg_causes import is_ending
from lowtide.leg_state import HOPELESS, Evidence, LegState, State
from lowtide.legs import LegSpec, LegStatus, StopCause
from lowtide.manifest import (
    CONTAINER,
    DIGEST_ANNOTATION,
    FINALIZER,
    IN_TIME_POLICY,
    LEG_LABEL,
    LIMIT_ANNOTATION,
    ONCE_POLICY,
    RUN_LABEL,
    SETTLED_LABEL,
    build_job,
    due_deadline_s,
    limit_of,
    start_by_of,
    stop_patch,
    terms_in_force,
    withdrawn,
)
from lowtide.objects import Document, part, time_of
from lowtide.site import KubernetesSettings, Site, SpotNodes

T = TypeVar("T")
_TRIES = 5


class KubernetesCluster(CapacityOfCluster):
    """Runs legs as Jobs of a Kubernetes cluster, queued by Kueue where it is there.

    Examples:
        Load a saved cluster:
        ```python
        from blocks.cluster.runner import KubernetesCluster

        cluster = KubernetesCluster.load("BLOCK_NAME")
        ```
    """

    _block_type_slug: ClassVar[str | None] = "lowtide-kubernetes-cluster"
    _block_type_name: ClassVar[str | None] = "Lowtide Kubernetes Cluster"
    _description: ClassVar[str | None] = "Runs training legs as Jobs of a Kubernetes cluster."
    _documentation_url: ClassVar[HttpUrl | None] = HttpUrl(
        "https://example.invalid/lowtide/blocks"
    )

    namespace: str = Field(default="ml-training", description="Namespace of the legs.")
    queue: str | None = Field(
        default="training", description="Kueue LocalQueue of the legs; empty: no Kueue."
    )
    background_queue: str | None = Field(
        default="training-background", description="LocalQueue of background jobs."
    )
    kubeconfig: Path | None = Field(
        default=None, description="Access to the cluster; empty: KUBECONFIG, or the pod's account."
    )
    context: str | None = Field(default=None, description="Context in the kubeconfig.")
    spot_nodes: SpotNodes = Field(
        default=SpotNodes.LOWTIDE, description="How the provider marks spot nodes."
    )
    checkpoint_claim: str | None = Field(
        default=None, description="PersistentVolumeClaim that holds the checkpoints."
    )
    checkpoint_folder: str | None = Field(
        default=None, description="Folder of the node for checkpoints, without a claim."
    )
    gpu_resource: str = Field(default="nvidia.com/gpu", description="Name of the GPU resource.")
    pod_template: dict[str, Any] = Field(
        default_factory=dict, description="Strategic merge into every pod."
    )
    admission_policies: tuple[str, ...] = Field(
        default=(ONCE_POLICY, IN_TIME_POLICY),
        description="Policies without which no leg is queued: one start, and none too late.",
    )
    hopeless_after_s: float = Field(
        default=60.0,
        ge=0,
        description="Seconds after which a leg that cannot start has failed: no image, no secret.",
    )
    keep_ended_s: int = Field(
        default=86_400, ge=0, description="Seconds that a settled leg's Job and logs are kept."
    )

    _pace: Pace = PrivateAttr(default_factory=Pace)

    @override
    def start(self, spec: LegSpec, *, now: datetime) -> str:
        check_spec(spec)
        settings = KubernetesSettings.read(spec)
        job = build_job(spec, settings, self.site, work_digest=work_digest(spec))
        known = self._view.evidence((spec.run, spec.leg))
        if known.job is not None:
            return self._adopt(known.job, job)
        if known.pods:
            return self._handle(spec.name)
        checks.check_clock(self.api)
        if now >= spec.start_by:
            job = withdrawn(job, "start-by")
        elif (queue := self.site.queue_of(settings.priority)) is not None:
            checks.check_queue(self.api, self.namespace, queue)
            checks.check_policies(self.api, self.admission_policies)
        return self._create(job)

    @override
    def status(self, run: str, leg: int, *, now: datetime) -> LegStatus:
        state, evidence = look(self._view, (run, leg), now=now)
        # Upkeep: whoever asks next does it again, so a failure here is nobody's concern.
        with suppress(LowtideError):
            if state.phase == "ended":
                self._leave_queue(evidence)
            else:
                self._tend((run, leg), evidence, state, now=now)
        return LegStatus(
            phase=state.phase,
            reason=state.reason,
            started_at=state.started_at,
            ended_at=state.ended_at,
            exit_code=state.exit_code,
            end=state.end,
            measured=state.measured,
            no_node=state.state is State.UNSCHEDULABLE,
        )

    def config_map(self, namespace: str, name: str) -> Mapping[str, str]:
        """Return a ConfigMap's data, as `blocks.prices.Prices.reading_cluster` wants it.

        Args:
            namespace: Its namespace.
            name: Its name.

        Raises:
            MissingError: there is none.
        """
        found = self.api.get(f"/api/v1/namespaces/{namespace}/configmaps/{name}")
        return part(found, "data")

    def state(self, run: str, leg: int, *, now: datetime) -> LegState:
        """Return more than `status`: the exact state, the place in the queue, what is short.

        Args:
            run: Id of the run.
            leg: Number of the leg.
            now: The time.
        """
        return look(self._view, (run, leg), now=now)[0]

    @override
    def set_limit(self, run: str, leg: int, *, limit_s: float) -> float:
        check_limit(limit_s, where=leg_name(run, leg))

        def plan(state: LegState, job: Document | None) -> tuple[float, Document | None]:
            if state.phase == "absent":
                msg = "the cluster has no such leg"
                where = f"leg {leg_name(run, leg)!r}"
                raise BadInputError(msg, where=where, remedy="start it first")
            if job is None:
                return limit_s, None  # somebody deleted it: it is ending
            if state.phase == "ended" or is_ending(job):
                return limit_of(job), None
            return self._new_terms(job, state, limit_s)

        return self._amend((run, leg), plan)

    @override
    def stop(self, run: str, leg: int, *, cause: StopCause = "stop") -> None:
        def plan(state: LegState, job: Document | None) -> tuple[None, Document | None]:
            if job is None or state.phase == "ended" or is_ending(job):
                return None, None
            return None, stop_patch(job, cause)

        self._amend((run, leg), plan)

    @override
    def logs(self, run: str, leg: int, *, lines_max: int = 50) -> tuple[str, ...]:
        # Asked anew: a settled leg's pod is no longer followed, and keeps its log for a while.
        selector = f"{RUN_LABEL}={run},{LEG_LABEL}={leg}"
        pods = self.api.get(pods_path(self.namespace), labelSelector=selector)["items"]
        if not pods or lines_max < 1:
            return ()
        path = f"{pods_path(self.namespace)}/{pods[-1]['metadata']['name']}/log"
        try:
            text = self.api.text(path, container=CONTAINER, tailLines=lines_max)
        except (MissingError, InvalidObjectError):
            return ()
        return tuple(text.splitlines())

    @override
    def legs(self) -> tuple[tuple[str, int], ...]:
        return self._view.legs()

    @override
    def forget(self, run: str, leg: int) -> None:
        state, evidence = look(self._view, (run, leg), now=self.api.now())
        if state.phase == "absent":
            return
        if state.phase != "ended":
            msg = "the leg has not ended"
            raise ConflictError(msg, where=f"leg {leg_name(run, leg)!r}", remedy="stop it first")
        view = self._view
        for pod in evidence.pods:
            self._release(pod)
            view.pods.drop(pod["metadata"]["uid"])
        if evidence.job is not None:
            self._retire(evidence.job)
            view.jobs.drop(evidence.job["metadata"]["uid"])
        view.forget((run, leg))

    def at_pace(self, pace: Pace) -> Self:
        """Follow the cluster at another pace, and return this runner; the first one's pace counts."""
        self._pace = pace
        return self

    @property
    @override
    def api(self) -> Api:
        """This process' client of the cluster."""
        return connect(self.kubeconfig, self.context)

    @property
    def _view(self) -> View:
        return view_of(self.api, self.namespace, pace=self._pace)

    @property
    @override
    def site(self) -> Site:
        """How the cluster is, for all legs alike."""
        return Site(
            namespace=self.namespace,
            queue=self.queue or None,
            background_queue=self.background_queue or None,
            spot_nodes=self.spot_nodes,
            claim=self.checkpoint_claim,
            host_path=self.checkpoint_folder,
            gpu=self.gpu_resource,
            pod_template=self.pod_template,
        )

    def _handle(self, name: str) -> str:
        return f"{self.namespace}/{name}"

    def _job_path(self, name: str) -> str:
        return f"{jobs_path(self.namespace)}/{name}"

    def _create(self, job: Document) -> str:
        name: str = job["metadata"]["name"]
        try:
            made = self.api.create(jobs_path(self.namespace), job)
        except ObjectConflictError:
            return self._adopt(self.api.get(self._job_path(name)), job)
        self._view.jobs.put(made)
        return self._handle(name)

    def _adopt(self, found: Document, wanted: Document) -> str:
        """Take the Job that is there for the one that was asked for, if it does the same work."""
        name: str = wanted["metadata"]["name"]
        there, asked = (
            part(job, "metadata", "annotations").get(DIGEST_ANNOTATION, "none")
            for job in (found, wanted)
        )
        if there != asked:
            msg = "a leg of this name runs something else"
            raise ConflictError(
                msg,
                where=f"leg {name!r}",
                expected=f"work {there[:12]}",
                got=f"work {asked[:12]}",
                remedy="nothing was started; give the new work the next leg number",
            )
        return self._handle(name)

    def _tend(self, leg: Leg, evidence: Evidence, state: LegState, *, now: datetime) -> None:
        """Withdraw what would start too late, and keep the deadline where the program's limit is."""
        job = evidence.job
        if job is None or is_ending(job):
            return
        if state.phase == "waiting" and now >= start_by_of(job):
            self.stop(*leg, cause="start-by")
        elif state.state in HOPELESS and now >= self._gives_up_at(job, now):
            note = f"{state.state.value}: {state.reason}"
            self._patch_job(leg_name(*leg), stop_patch(job, "start-by", hopeless=note))
        elif not part(job, "spec").get("suspend") and state.state not in HOPELESS:
            due_s = due_deadline_s(job, started_at=state.started_at, now=now)
            if due_s != part(job, "spec")["activeDeadlineSeconds"]:
                version = part(job, "metadata")["resourceVersion"]
                body = {
                    "metadata": {"resourceVersion": version},
                    "spec": {"activeDeadlineSeconds": due_s},
                }
                self._patch_job(leg_name(*leg), body)

    def _gives_up_at(self, job: Document, now: datetime) -> datetime:
        """Return when a leg that cannot start counts as failed: a registry may only have hiccups."""
        started_at = time_of(part(job, "status").get("startTime")) or now
        return started_at + timedelta(seconds=self.hopeless_after_s)

    def _leave_queue(self, evidence: Evidence) -> None:
        """Give back the place in Kueue's queue of a leg that will not run any more."""
        workload = evidence.workload
        if workload is None or not part(evidence.job, "spec").get("suspend"):
            return
        if part(workload, "spec").get("active", True):
            path = f"{workloads_path(self.namespace)}/{workload['metadata']['name']}"
            self._view.workloads.put(self.api.patch(path, {"spec": {"active": False}}))

    def _amend(
        self, leg: Leg, plan: Callable[[LegState, Document | None], tuple[T, Document | None]]
    ) -> T:
        """Look, plan a change of the leg's Job, make it; look again if somebody was faster."""
        for _ in range(_TRIES):
            state, evidence = look(self._view, leg, now=self.api.now())
            answer, body = plan(state, evidence.job)
            if body is None:
                return answer
            try:
                self._patch_job(leg_name(*leg), body)
            except ObjectConflictError:
                self._read_again(leg_name(*leg))
            else:
                return answer
        msg = "the leg's Job keeps changing"
        raise UnavailableError(msg, where=f"leg {leg_name(*leg)!r}", remedy="ask again")

    def _new_terms(self, job: Document, state: LegState, limit_s: float) -> tuple[float, Document]:
        """Return the limit that the leg can still keep, and the patch that puts it in force."""
        metadata: dict[str, Any] = {"resourceVersion": job["metadata"]["resourceVersion"]}
        if part(job, "spec").get("suspend"):
            if limit_s < limit_of(job):
                return 0.0, stop_patch(job, "start-by")
            metadata["annotations"] = {LIMIT_ANNOTATION: f"{limit_s:g}"}
            return limit_s, {"metadata": metadata}
        now = self.api.now()
        started_at = state.started_at or now
        after = started_at - (time_of(part(job, "status").get("startTime")) or now)
        used_s = (now - started_at).total_seconds()
        due_s, in_force_s = terms_in_force(
            limit_s, used_s=used_s, started_after_s=after.total_seconds()
        )
        metadata["annotations"] = {LIMIT_ANNOTATION: f"{in_force_s:g}"}
        return in_force_s, {"metadata": metadata, "spec": {"activeDeadlineSeconds": due_s}}

    def _patch_job(self, name: str, body: Document) -> None:
        self._view.jobs.put(self.api.patch(self._job_path(name), body))

    def _read_again(self, name: str) -> None:
        with suppress(MissingError):
            self._view.jobs.put(self.api.get(self._job_path(name)))

    def _release(self, pod: Document) -> None:
        """Let a pod go: its times are in the journal."""
        body = {
            "metadata": {
                "labels": {SETTLED_LABEL: "true"},
                "$deleteFromPrimitiveList/finalizers": [FINALIZER],
            }
        }
        path = f"{pods_path(self.namespace)}/{pod['metadata']['name']}"
        with suppress(MissingError):
            self.api.patch(path, body, kind="strategic-merge")

    def _retire(self, job: Document) -> None:
        """Keep an ended Job and its logs for a while; remove a suspended one, which never ends."""
        path = self._job_path(job["metadata"]["name"])
        with suppress(MissingError):
            if part(job, "spec").get("suspend"):
                self.api.delete(path, uid=job["metadata"]["uid"])
            else:
                body = {
                    "metadata": {"labels": {SETTLED_LABEL: "true"}},
                    "spec": {"ttlSecondsAfterFinished": self.keep_ended_s},
                }
                self.api.patch(path, body)
