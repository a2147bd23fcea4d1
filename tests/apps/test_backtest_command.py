"""`lowtide backtest` on recordings: the policies beside each other and beside hindsight."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.cli.main import run

DATA = Path(os.environ.get("LOWTIDE_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
RECORDINGS = DATA / "spot_traces" / "availability" / "1-node" / "aws-10-26-2022"
ALL = ("run-now", "off-peak", "greedy", "uniform-progress", "adaptive")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOWTIDE_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Two zones of capacity that comes and goes by the hour, made by a seeded generator."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    random = np.random.default_rng(7)
    for zone, mean_ticks in (("zone-a_v100_1", 30), ("zone-b_v100_1", 9)):
        data: list[int] = []
        while len(data) < 1500:
            up, down = random.geometric(1 / mean_ticks, size=2)
            data += [1] * int(up) + [0] * int(down)
        body = {"metadata": {"gap_seconds": 600}, "data": data[:1500]}
        (folder / f"{zone}.json").write_text(json.dumps(body), encoding="utf-8")
    return folder


def backtest(
    capsys: pytest.CaptureFixture[str], folder: Path, *words: str, policies: tuple[str, ...] = ALL
) -> tuple[int, Any]:
    capsys.readouterr()
    chosen = [word for policy in policies for word in ("--policy", policy)]
    prices = ["--on-demand-usd", "3.06", "--spot-usd", "0.9731"]
    hours = ["--work-hours", "12", "--deadline-hours", "16", "--changeover-hours", "0.2"]
    words = words or ("--values", "available", "--starts", "6", "--seed", "0")
    code = run(["backtest", "--traces", str(folder), *prices, *hours, *chosen, *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_no_policy_is_late_and_hindsight_is_never_dearer(
    recordings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--values", "available", "--starts", "6", "--seed", "0", "--optimum")

    code, found = backtest(capsys, recordings, *words)

    assert code == 0
    assert found["schema"] == "lowtide.backtest/1"
    assert {cell["policy"] for cell in found["cells"]} == set(ALL)
    for cell in found["cells"]:
        assert cell["missed"] == 0, cell
        assert float(cell["optimum_cost_mean"]) <= float(cell["cost_mean"]) * 1.015, cell
    total = {row["policy"]: row["saving_pct"] for row in found["totals"]}
    assert float(total["uniform-progress"]) > float(total["run-now"])


def test_the_same_seed_gives_the_same_answer(
    recordings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, first = backtest(capsys, recordings, policies=("greedy",))
    _, second = backtest(capsys, recordings, policies=("greedy",))

    assert first["cells"] == second["cells"]


def test_a_person_gets_a_table_and_a_plot(
    recordings: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["backtest", "--traces", str(recordings), "--values", "available", "--starts", "2"]
    words += ["--seed", "0", "--on-demand-usd", "3", "--spot-usd", "1", "--policy", "greedy"]
    words += ["--work-hours", "12", "--deadline-hours", "16", "--changeover-hours", "0.2"]
    plot = home / "plot.png"

    code = run([*words, "--plot", str(plot)])

    assert code == 0
    assert "greedy" in capsys.readouterr().out
    assert plot.stat().st_size > 1000


@pytest.mark.parametrize(
    "change",
    [
        {"data": [1, -1]},
        {"data": []},
        {"metadata": {"gap_seconds": 0}},
        {"data": "ones"},
    ],
)
def test_a_recording_that_cannot_be_is_bad_input(
    change: dict[str, Any], recordings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recordings / "zone-a_v100_1.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**document, **change}), encoding="utf-8")

    code, found = backtest(capsys, recordings, policies=("greedy",))

    assert code == 2
    assert "zone-a" in found["error"]["where"]


def test_what_its_numbers_mean_is_never_guessed(
    recordings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = backtest(
        capsys, recordings, "--starts", "2", "--seed", "0", policies=("greedy",)
    )

    assert code == 2
    assert "values" in json.dumps(found["error"])


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the public recordings are not there")
def test_the_known_policies_reach_their_known_bars_on_public_recordings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["backtest", "--traces", str(RECORDINGS), "--values", "available", "--json"]
    words += ["--windows", str(DATA / "cant_be_late_frontiercs" / "windows.json")]
    words += ["--on-demand-usd", "3.06", "--spot-usd", "0.9731", "--work-hours", "48"]
    words += ["--deadline-hours", "60", "--changeover-hours", "0.2"]
    words += ["--policy", "greedy", "--policy", "uniform-progress"]

    code = run(words)

    found = json.loads(capsys.readouterr().out)
    assert code == 0
    saving = {row["policy"]: row["saving_pct"] for row in found["totals"]}
    assert saving["greedy"] == pytest.approx(21.3, abs=0.2)
    assert saving["uniform-progress"] == pytest.approx(27.3, abs=0.2)
    assert sum(cell["missed"] for cell in found["cells"]) == 0
