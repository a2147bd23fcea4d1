"""`lowtide compare`: a table, one document, a picture; and what cannot be compared."""

import json
from pathlib import Path

import pytest

from apps.cli.main import run

TWO = '[{"epochs": 2, "batch_size": 64}, {"epochs": 2, "batch_size": 128}]'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOWTIDE_HOME", str(tmp_path / "home"))
    return tmp_path


BAD = {
    "that is empty": ("[]", "0 configurations"),
    "that is too long": (json.dumps([{"epochs": 1}] * 1001), "1001 configurations"),
    "with an unknown key": ('[{"epochs": 1}, {"epoch": 2}]', "configs: 1: epoch: unknown key"),
    "with a zero batch size": ('[{"batch_size": 0}]', "configs: 0: batch_size"),
    "with NaN": ('[{"epochs": NaN}]', "configs: 0: epochs"),
    "with an entry that is no configuration": ("[5]", "configs: 0"),
    "that is no list": ('{"epochs": 1}', "a list of 1 to 1000"),
    "that is no JSON": ("[{", "not JSON"),
    "that is no file": ("none.json", "none.json"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_list(fault: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, words = BAD[fault]

    code = run(["compare", text])

    captured = capsys.readouterr()
    assert home.exists()
    assert code == 2
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    assert words in captured.err


def test_a_picture_is_drawn_into_one_file_that_asks_nothing_of_any_network(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / "configs.html"

    code = run(["compare", TWO, "--plot", str(path), "--json"])

    captured = capsys.readouterr()
    assert code == 0
    assert len(json.loads(captured.out)["configs"]) == 2
    assert str(path) in captured.err
    page = path.read_text(encoding="utf-8")
    assert "batch_size 128" in page
    assert 'src="http' not in page


def test_a_picture_that_cannot_be_written_is_one_message(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["compare", TWO, "--plot", str(home / "nowhere" / "configs.html")])

    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert "the plot cannot be written" in captured.err


def test_nothing_priced_is_nothing_to_draw(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = home / "configs.html"

    code = run(["compare", '[{"flavor": "t5"}]', "--plot", str(path)])

    assert code == 2
    assert "nothing to draw" in capsys.readouterr().err
    assert not path.exists()
