"""What must be so before a leg may be queued: clocks that agree, a queue, and a start that is the only one.

What was found good is believed for a while; what was found bad is looked at again each time.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from time import monotonic

from blocks.cluster.api import Api
from blocks.cluster.errors import ForbiddenError, MissingError
from lowtide.errors import BadInputError
from lowtide.objects import part

_SKEW_MAX = timedelta(seconds=30)
_BELIEVED_S = 300.0
_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
_BINDINGS_MAX = 500


def check_clock(api: Api) -> None:
    """Refuse to start anything while the API server's clock and ours disagree.

    Raises:
        BadInputError: by more than 30 s; windows and limits could not be trusted.
    """
    if abs(api.skew) > _SKEW_MAX:
        msg = "the cluster's clock and this machine's disagree"
        raise BadInputError(
            msg,
            where=api.host,
            expected=f"at most {_SKEW_MAX.total_seconds():.0f} s apart",
            got=f"{api.skew.total_seconds():.0f} s",
            remedy="nothing was started; synchronise the clocks",
        )


def check_queue(api: Api, namespace: str, queue: str) -> None:
    """Refuse a queue that is not there: Kueue would let the leg wait for ever.

    Raises:
        BadInputError: there is no such LocalQueue, or no Kueue.
    """

    def look() -> None:
        path = f"/apis/kueue.x-k8s.io/v1beta1/namespaces/{namespace}/localqueues/{queue}"
        try:
            api.get(path)
        except MissingError as error:
            msg = "there is no such LocalQueue"
            remedy = "apply infra/kueue, or unset the queue to run without Kueue"
            raise BadInputError(
                msg, where=f"queue {queue!r} in namespace {namespace!r}", remedy=remedy
            ) from error

    _believe(api, namespace, queue, look=look)


def check_policies(api: Api, policies: Sequence[str]) -> None:
    """Refuse to queue a leg that the cluster might start twice, or too late: nothing would pay for it.

    Raises:
        BadInputError: an admission policy or its binding is missing, or does not deny.
    """
    for policy in policies:
        _believe(api, "", policy, look=lambda policy=policy: _check_policy(api, policy))


def _check_policy(api: Api, policy: str) -> None:
    reason = why_not_in_force(api, policy)
    if reason is not None:
        raise BadInputError(
            reason,
            where=f"admission policy {policy!r}",
            expected="a leg starts once and in time, whoever resumes its Job",
            remedy="nothing was started; let an administrator apply infra/kubernetes",
        )


def why_not_in_force(api: Api, policy: str) -> str | None:
    """Say why an admission policy would not stop anybody, None when it does."""
    try:
        found = api.get(f"{_ADMISSION}/validatingadmissionpolicies/{policy}")
        bindings = api.get(f"{_ADMISSION}/validatingadmissionpolicybindings", limit=_BINDINGS_MAX)
    except MissingError:
        return "there is no such policy"
    except ForbiddenError:
        return "we may not see whether it is there"
    if part(found, "spec").get("failurePolicy", "Fail") != "Fail":
        return "it lets everything pass when it fails"
    ours = [b for b in bindings["items"] if part(b, "spec").get("policyName") == policy]
    denies = any("Deny" in part(binding, "spec").get("validationActions", ()) for binding in ours)
    return None if denies else "no binding of it denies"


def _believe(api: Api, scope: str, name: str, *, look: Callable[[], None]) -> None:
    if monotonic() > api.believed.get((scope, name), 0.0):
        look()
        api.believed[scope, name] = monotonic() + _BELIEVED_S
