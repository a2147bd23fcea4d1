"""Writes the dashboards: `python -m infra.grafana`. A test fails when one was edited by hand."""

from pathlib import Path

from infra.grafana.build import DASHBOARDS, as_json

FOLDER = Path(__file__).parent / "dashboards"


def main() -> None:
    """Write every dashboard as JSON."""
    for name, make in DASHBOARDS.items():
        path = FOLDER / f"{name}.json"
        path.write_text(as_json(make()), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
