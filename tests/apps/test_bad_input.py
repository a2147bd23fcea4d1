"""What cannot be used is refused with one sentence; nothing is held and nothing is started."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from apps.cli.main import run
from blocks.ledger import Books
from blocks.settings import Settings

GOOD: dict[str, Any] = {
    "name": "digits",
    "command": ["python", "-m", "examples.digits.train"],
    "epochs": 3,
    "budget": {"name": "research/vision", "max_usd": 0.5},
    "expected_epoch_s": 5,
}

BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "an unknown key": ({"epoch": 5}, "epoch", "unknown key"),
    "an unknown key inside a part": ({"budget": {"nme": "x"}}, "budget.nme", "unknown key"),
    "a naive deadline": ({"deadline": "2026-12-01T08:00:00"}, "deadline", "zone"),
    "a negative number": ({"expected_epoch_s": -1}, "expected_epoch_s", "> 0"),
    "a number that is not one": ({"expected_epoch_s": float("nan")}, "expected_epoch_s", "finite"),
    "an infinite one": ({"budget": {"max_usd": float("inf")}}, "budget.max_usd", "finite"),
    "yes for a number": ({"epochs": True}, "epochs", "true or false"),
    "no command": ({"command": None}, "command", ""),
    "an empty command": ({"command": []}, "command", "1"),
    "no epochs": ({"epochs": 0}, "epochs", ">= 1"),
    "an unknown flavor": ({"resources": {"flavor": "t5"}}, "t5", "t4"),
    "a budget that does not exist": (
        {"budget": {"name": "resaerch"}},
        "budget",
        "research/vision",
    ),
    "kubernetes without an image": ({"where": "kubernetes"}, "image", "required"),
    "impossible resources": ({"resources": {"gpus": 5000}}, "resources.gpus", "1024"),
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOWTIDE_HOME", str(tmp_path / "home"))
    return tmp_path


def train(path: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = run(["train", str(path), "--wait", *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("fault", BAD)
def test_a_job_with(fault: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, place, words = BAD[fault]
    path = home / "job.yaml"
    path.write_text(yaml.safe_dump({**GOOD, **change}), encoding="utf-8")

    code, out, err = train(path, capsys)

    assert code == 2
    assert out == ""
    assert err.count("\n") == 1, err
    assert place in err
    assert words in err
    assert_nothing_happened()


FILES = {
    "that is empty": ("", "nothing"),
    "that is a list": ("- name: digits\n", "a list"),
    "that is not YAML": ("name: [digits\n", "line"),
    "with a key twice": ("name: a\nname: b\n", "twice"),
    "that is not text": ("\x00\x01", "YAML"),
}


@pytest.mark.parametrize("fault", FILES)
def test_a_job_file(fault: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, words = FILES[fault]
    path = home / "job.yaml"
    path.write_text(text, encoding="utf-8")

    code, out, err = train(path, capsys)

    assert code == 2
    assert out == ""
    assert str(path) in err
    assert words in err
    assert_nothing_happened()


def test_a_file_that_is_not_there(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = train(home / "none.yaml", capsys)

    assert code == 2
    assert "none.yaml: there is no such file" in err


def test_a_program_gets_the_same_as_one_document(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / "job.yaml"
    path.write_text(yaml.safe_dump({**GOOD, "epochs": 0}), encoding="utf-8")

    code, out, err = train(path, capsys, "--json")

    assert code == 2
    assert err == ""
    document = json.loads(out)
    assert document["schema"] == "lowtide.error/1"
    error = document["error"]
    assert error["kind"] == "bad-input"
    assert error["where"].endswith("job.yaml: epochs")
    assert error["expected"] == ">= 1"
    assert error["got"] == "0"
    assert error["remedy"]


@pytest.mark.parametrize(
    "words", [["trian"], ["train", "--wiat"], ["jobs", "show", "r-000000000000"]]
)
def test_a_command_that_cannot_be_meant(
    words: list[str], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(words)

    err = capsys.readouterr().err
    assert home.exists()
    assert code == 2
    assert err.startswith("lowtide: ")
    assert "Traceback" not in err


@pytest.mark.parametrize("change", ["epochs", "=5", "epochs=[1"])
def test_a_change_that_cannot_be_read(
    change: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["train", "--set", change])

    assert home.exists()
    assert code == 2
    assert "--set" in capsys.readouterr().err


def test_a_change_of_a_key_inside_a_part_wins_over_the_file(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / "job.yaml"
    path.write_text(yaml.safe_dump(GOOD), encoding="utf-8")

    code, _, err = train(path, capsys, "--set", "resources.flavor=t6")

    assert code == 2
    assert "t6" in err


def assert_nothing_happened() -> None:
    settings = Settings()
    assert not list(settings.legs_folder.glob("*"))
    if (settings.home / "ledger.db").exists():
        books = Books(url=settings.ledger_address)
        assert books.runs() == ()
        books.close()
