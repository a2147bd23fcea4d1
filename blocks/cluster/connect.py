"""How this process reaches a cluster: one client for each, made once and kept.

The official client knows every way of proving who one is (certificates, tokens that expire, login
programs, a pod's own account), so it does that, and only that.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

from blocks.cluster.api import Api
from lowtide.errors import BadInputError

_CONNECTIONS_MAX = 16


@lru_cache(maxsize=16)
def connect(kubeconfig: Path | None = None, context: str | None = None) -> Api:
    """Return this process' client of a cluster.

    Args:
        kubeconfig: File; None: KUBECONFIG or its usual place, else the pod's own account.
        context: Context in it; None: its current one.

    Returns:
        The client, the same for the same arguments.

    Raises:
        BadInputError: there is no usable configuration.
    """
    from kubernetes.client import Configuration  # noqa: PLC0415 - takes a second
    from kubernetes.client.rest import RESTClientObject  # noqa: PLC0415 - takes a second

    settings: Any = Configuration()
    _load(settings, kubeconfig=kubeconfig, context=context)
    settings.connection_pool_maxsize = _CONNECTIONS_MAX

    def credentials() -> dict[str, str]:
        # Asked anew for each request: tokens expire, and the library then fetches another.
        found = settings.auth_settings().values()
        return {auth["key"]: auth["value"] for auth in found if auth["value"]}

    pool = RESTClientObject(settings).pool_manager
    return Api(host=settings.host.rstrip("/"), pool=pool, credentials=credentials)


def _load(settings: Any, *, kubeconfig: Path | None, context: str | None) -> None:  # noqa: ANN401
    from kubernetes import config as found  # noqa: PLC0415 - as above

    config: Any = found

    try:
        config.load_kube_config(
            config_file=None if kubeconfig is None else str(kubeconfig),
            context=context,
            client_configuration=settings,
        )
    except (config.ConfigException, OSError) as error:
        if kubeconfig is None and context is None and _load_own_account(settings):
            return
        msg = f"no usable access to a cluster: {error}"
        where = str(kubeconfig or "kubeconfig")
        raise BadInputError(msg, where=where, remedy="set KUBECONFIG") from error


def _load_own_account(settings: Any) -> bool:  # noqa: ANN401 - the library is untyped
    from kubernetes import config as found  # noqa: PLC0415 - as above

    config: Any = found

    try:
        config.load_incluster_config(client_configuration=settings)
    except config.ConfigException:
        return False
    return True
