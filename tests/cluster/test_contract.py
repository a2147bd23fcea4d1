"""The promises of every runner, kept by a real cluster."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typing_extensions import override

from lowtide.legs import LegEnd, LegSpec, LegStatus
from tests.cluster.sandbox import Sandbox
from tests.fakes.runner_contract import LONG_S, RUN, Rig, RunnerContract, Work, used_s

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.usefixtures("pods")]

POD_S = 8.0
"""What a pod takes to start and to be reported, on a machine that is busy."""


class ClusterRig(Rig):
    """Legs in real pods, which leave a line in a folder of the node each time one starts."""

    seen_after_s = POD_S

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        folder.chmod(0o777)  # the pods' user is nobody here
        self.folder = folder
        self.sandbox = sandbox
        self.runner = sandbox.runner(checkpoint_folder=str(folder))

    @override
    def now(self) -> datetime:
        return datetime.now(UTC)

    @override
    def let_pass(self, duration_s: float) -> None:
        time.sleep(duration_s)

    @override
    def spec(self, work: Work, *, leg: int = 1) -> LegSpec:
        on_sigterm = "exit 143" if work.heeds_sigterm else ":"
        # `wait` is interrupted by a signal, `sleep` is not: the loop goes on for those who ignore it.
        script = (
            f"trap '{on_sigterm}' TERM; echo started >> /checkpoints/started-{leg}; "
            f"sleep {work.works_s} & while kill -0 $! 2>/dev/null; do wait $!; done; "
            f"exit {work.exit_code}"
        )
        return replace(self.sandbox.spec(script, run=RUN), leg=leg, grace_s=1)

    @override
    def ended(self, leg: int = 1, *, within_s: float = LONG_S) -> LegStatus:
        return super().ended(leg, within_s=within_s + POD_S)

    @override
    def programs_started(self, leg: int = 1) -> int:
        path = self.folder / RUN / f"started-{leg}"
        return len(path.read_text().splitlines()) if path.exists() else 0


class TestKubernetesCluster(RunnerContract):
    @override
    @pytest.fixture
    def rig(self, sandbox: Sandbox, tmp_path: Path) -> Rig:
        return ClusterRig(sandbox, tmp_path)

    @override
    def test_a_leg_that_works_to_its_end_is_completed_and_measured(self, rig: Rig) -> None:
        """Kubernetes measures in whole seconds."""
        rig.start(Work(works_s=2))

        status = rig.ended()

        assert (status.end, status.exit_code, status.measured) == (LegEnd.COMPLETED, 0, True)
        assert 1 <= used_s(status) <= 3
