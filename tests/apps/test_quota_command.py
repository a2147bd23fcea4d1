"""`lowtide quota`: workflow 3 of the specification, and what cannot be answered."""

import json
from pathlib import Path
from typing import Any

import pytest

from apps.cli.main import run
from blocks.ledger import Books
from blocks.settings import Settings
from lowtide.job import TrainingJob
from tests.blocks.ledger.acts import NOON, hold, open_leg

LLM = "examples/llm/four-gpu-hours.yaml"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without a stack and without a cluster."""
    monkeypatch.setenv("LOWTIDE_HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("LOWTIDE_WHERE", raising=False)
    return tmp_path


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    code = run(["quota", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_ten_language_models_at_once_cost_ten_dollars_and_eight_of_them_wait(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, found = answer(capsys, "--jobs", "10", LLM)

    assert (code, found["schema"]) == (0, "lowtide.quota/1")
    asked = found["answer"]
    assert (asked["asked"], asked["now"], asked["waiting"], asked["short"]) == (10, 2, 8, "gpus")
    assert (asked["cost_usd"]["p50"], asked["now_cost_usd"]["p50"]) == ("10.000000", "2.000000")
    assert asked["ways_out"][0]["kind"] == "one-after-another"
    assert asked["finish"]["p50"] < asked["finish"]["p90"]
    [gpus] = [row for row in found["resources"] if row["name"] == "gpus"]
    assert (gpus["capacity"], gpus["used"], gpus["free"], gpus["queued"]) == (2, 0, 2, 0)

    assert run(["quota", "--jobs", "10", LLM]) == 0
    told = capsys.readouterr().out
    assert "2 of 10 run now for $2.00, 8 wait: gpus are short; all 10 cost $10.00" in told


def test_what_runs_here_is_taken_off_and_background_jobs_have_a_quota_of_their_own(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    assert run(["quota"]) == 0
    books = Books(url=Settings(home=home).ledger_address)
    job = TrainingJob(name="digits", command=("train",))
    books.open_run(
        run="r-22be2a7c2553",
        key="k",
        job=job.document(),
        spec_hash=job.spec_hash,
        name=job.name,
        budget="research/vision",
        priority=job.priority.value,
        flavor="t4",
        tags={},
        now=NOON,
    )
    hold(books, "r-22be2a7c2553", 1, budget="research/vision")
    open_leg(books, "r-22be2a7c2553")
    capsys.readouterr()

    _, all_of_it = answer(capsys)
    _, background = answer(
        capsys,
        "--jobs",
        "3",
        LLM,
        "--set",
        "priority=background",
        "--set",
        "resources.memory_gib=2",
    )

    free = {row["name"]: row["free"] for row in all_of_it["resources"]}
    assert (free, all_of_it["answer"]) == ({"gpus": 1, "cpus": 15, "memory_gib": 30}, None)
    assert background["answer"]["now"] == 1


def test_a_job_that_never_fits_is_refused_and_a_number_that_is_none_is_bad_input(
    capsys: pytest.CaptureFixture[str],
) -> None:
    refused, why = answer(capsys, LLM, "--set", "resources.gpus=3")
    bad, what = answer(capsys, "--jobs", "0")

    assert (refused, why["error"]["kind"]) == (3, "refused-quota")
    assert "ResourceQuota training has 2 in all" in why["error"]["message"]
    assert (bad, what["error"]["got"]) == (2, "0")


def test_without_access_to_the_cluster_it_says_what_to_set(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOWTIDE_WHERE", "kubernetes")

    code, found = answer(capsys)

    assert code == 2
    assert found["error"]["remedy"] == "set KUBECONFIG"


def test_the_doctor_names_what_keeps_legs_from_the_cluster_where_they_are_to_run_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def looked_at() -> list[dict[str, Any]]:
        run(["doctor", "--json"])
        found = json.loads(capsys.readouterr().out)["findings"]
        return [finding for finding in found if finding["what"] == "cluster"]

    here = looked_at()[-1]
    monkeypatch.setenv("LOWTIDE_WHERE", "kubernetes")
    there = looked_at()[-1]

    assert (here["ok"], there["ok"]) == (True, False)
    assert "set KUBECONFIG" in there["told"]
