"""What a program finds when it starts, and what is left of it to read."""

import sys
from pathlib import Path

import pytest

from lowtide.legs import LegEnd
from tests.blocks.local.rigs import LocalRig
from tests.fakes.runner_contract import RUN, Work


@pytest.fixture
def rig(tmp_path: Path) -> LocalRig:
    return LocalRig(tmp_path)


def lines_of(rig: LocalRig, *command: str, leg: int = 1) -> tuple[str, ...]:
    rig.start(Work(), leg=leg, command=command)
    rig.ended(leg)
    return rig.runner.logs(RUN, leg)


def test_a_program_sees_the_jobs_environment_and_little_of_ours(
    rig: LocalRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PREFECT_API_URL", "LOWTIDE_LEDGER_URL", "PYTHONPATH", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("LANG", "C.UTF-8")

    variables = dict(line.split("=", 1) for line in lines_of(rig, "env"))

    assert "secret" not in variables.values()
    assert variables["LOWTIDE_LEG"] == "1"
    assert variables["LANG"] == "C.UTF-8"


def test_python_means_the_interpreter_that_lowtide_runs_in(rig: LocalRig) -> None:
    lines = lines_of(rig, "python", "-c", "import sys; print(sys.executable, sys.argv[1:])", "a b")

    assert lines == (f"{sys.executable} ['a b']",)


def test_a_program_without_a_folder_of_its_own_starts_where_its_starter_is(
    rig: LocalRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = rig.home / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)

    rig.start(Work(), command=("pwd",), workdir=None)
    rig.ended()

    assert rig.runner.logs(RUN, 1) == (str(elsewhere),)


def test_a_signal_reaches_a_program_as_if_it_had_been_started_from_a_shell(rig: LocalRig) -> None:
    blocked = "import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))"

    assert lines_of(rig, "python", "-c", blocked) == ("set()",)


@pytest.mark.parametrize(
    ("command", "exit_code"),
    [(("no-such-program",), 127), (("/",), 126)],
    ids=["a program that is not there", "a program that is a folder"],
)
def test_a_program_that_cannot_be_started_has_failed_and_the_reason_names_it(
    rig: LocalRig, command: tuple[str, ...], exit_code: int
) -> None:
    rig.start(Work(), command=command)

    status = rig.ended()

    assert (status.end, status.exit_code) == (LegEnd.FAILED, exit_code)
    assert repr(command[0]) in status.reason


def test_a_folder_that_is_not_there_is_named_too(rig: LocalRig) -> None:
    rig.start(Work(), workdir="/nowhere")

    status = rig.ended()

    assert status.end is LegEnd.FAILED
    assert "'/nowhere'" in status.reason


def test_a_program_that_crashes_at_once_leaves_its_last_words(rig: LocalRig) -> None:
    lines = lines_of(rig, "python", "-c", "print('hello'); raise ValueError('no data')")

    assert lines[0] == "hello"
    assert lines[-1] == "ValueError: no data"
    assert rig.status().reason == "the program exited with 1"


def test_only_the_last_lines_are_shown_and_odd_bytes_do_no_harm(rig: LocalRig) -> None:
    lines_of(rig, "sh", "-c", r"seq 1000; printf '\377\n'")

    assert rig.runner.logs(RUN, 1, lines_max=2) == ("1000", "\N{REPLACEMENT CHARACTER}")
    assert rig.runner.logs(RUN, 1, lines_max=0) == ()


def test_a_program_ended_by_a_signal_says_which(rig: LocalRig) -> None:
    rig.start(Work(), command=("sh", "-c", "kill -9 $$"))

    status = rig.ended()

    assert (status.end, status.exit_code) == (LegEnd.FAILED, -9)
    assert status.reason == "the program was ended by SIGKILL"
