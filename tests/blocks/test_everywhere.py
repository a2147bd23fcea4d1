"""One runner for all legs, and the settings that say where the cluster is."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from blocks.cluster.runner import KubernetesCluster
from blocks.everywhere import Everywhere
from blocks.ledger import Books, Lease
from blocks.settings import Settings
from blocks.world import open_cluster, open_runner
from lowtide.errors import BadInputError
from lowtide.job import Where
from lowtide.legs import LegSpec
from tests.blocks.ledger.acts import NOON, hold, open_run, set_tree
from tests.blocks.local.rigs import HandClock
from tests.fakes.runner import FakeRunner

RUN = "r-22be2a7c2553"


def leg_spec(leg: int) -> LegSpec:
    return LegSpec(
        run=RUN,
        leg=leg,
        command=("train",),
        env={},
        checkpoint_dir="/checkpoints",
        limit_s=60,
        start_by=NOON + timedelta(minutes=1),
        grace_s=1,
    )


@pytest.fixture
def books(tmp_path: Path) -> Books:
    """Books in which leg 1 runs on this machine, and leg 2 on Kubernetes."""
    books = Books(url=f"sqlite:///{tmp_path}/ledger.db")
    books.migrate()
    set_tree(books, {"name": "team", "limit_usd": 1, "period": "month", "zone": "UTC"})
    open_run(books, RUN, where="kubernetes")
    hold(books, RUN, 1)
    lease = books.take_lease(RUN, owner="test", now=NOON)
    assert isinstance(lease, Lease)
    for leg, where in enumerate(Where, start=1):
        books.open_leg(
            lease,
            leg=leg,
            where=where.value,
            flavor="t4",
            capacity="on-demand",
            price_version="2026-11",
            limit_s=60,
            start_by=NOON,
            now=NOON,
        )
    return books


def test_each_leg_is_started_watched_and_ended_where_the_ledger_says(books: Books) -> None:
    clock = HandClock()
    places = {where: FakeRunner(clock=clock) for where in Where}
    runner = Everywhere.of(places, ledger=books)

    for leg in (1, 2):
        runner.start(leg_spec(leg), now=NOON)
    runner.set_limit(RUN, 2, limit_s=5)
    clock.pause(8)

    assert [[spec.leg for spec in places[where].started] for where in Where] == [[1], [2]]
    assert [runner.status(RUN, leg, now=clock.now()).phase for leg in (1, 2)] == [
        "running",
        "ended",
    ]
    assert runner.legs() == ((RUN, 1), (RUN, 2))
    assert places[Where.KUBERNETES].legs() == ((RUN, 2),)
    runner.stop(RUN, 1)
    clock.pause(2)
    for leg in (1, 2):
        assert runner.logs(RUN, leg) == ()
        runner.forget(RUN, leg)
    assert runner.legs() == ()


def test_other_people_s_legs_in_the_same_namespace_are_not_listed(books: Books) -> None:
    theirs = FakeRunner(clock=HandClock())
    theirs.start(replace(leg_spec(1), run="r-0123456789ab"), now=NOON)
    places = {Where.LOCAL: FakeRunner(clock=HandClock()), Where.KUBERNETES: theirs}

    assert Everywhere.of(places, ledger=books).legs() == ()


def test_where_no_job_was_ever_sent_nobody_is_asked(tmp_path: Path) -> None:
    books = Books(url=f"sqlite:///{tmp_path}/empty.db")
    books.migrate()
    settings = Settings(home=tmp_path, cluster={"kubeconfig": str(tmp_path / "none")})

    assert open_runner(settings, ledger=books).legs() == ()


def test_a_leg_that_nobody_wrote_down_was_started_nowhere(books: Books) -> None:
    runner = Everywhere.of({where: FakeRunner(clock=HandClock()) for where in Where}, ledger=books)

    assert runner.status(RUN, 3, now=NOON).phase == "absent"


def test_the_cluster_is_the_one_that_the_settings_describe(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path,
        namespace="team-a",
        queue="",
        cluster={"spot_nodes": "gke", "checkpoint_claim": "models"},
    )

    cluster = open_cluster(settings)

    assert isinstance(cluster, KubernetesCluster)
    assert (cluster.namespace, cluster.site.queue, cluster.spot_nodes.value) == (
        "team-a",
        None,
        "gke",
    )
    assert cluster.site.claim == "models"


@pytest.mark.parametrize(
    ("cluster", "named"),
    [({"kubeconfg": "/etc/k"}, "kubeconfg"), ({"spot_nodes": "gce"}, "spot_nodes")],
)
def test_a_setting_of_the_cluster_that_cannot_be_used_is_named(
    tmp_path: Path, cluster: dict[str, str], named: str
) -> None:
    with pytest.raises(BadInputError, match=named):
        open_cluster(Settings(home=tmp_path, cluster=cluster))
