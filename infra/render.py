"""Writes the manifests that follow from the price book: `python -m infra.render`.

The two ConfigMaps tell people and programs in the cluster what training costs. They are derived, so
they are written by this command and never by hand, and a test fails when they differ from the book.
Terraform reads the same data from `cost-model.json` and `scheduling-policies.json`.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

from blocks.price_books import DEFAULT_BOOK
from blocks.prices import Prices
from lowtide.prices.configmaps import (
    COST_MODEL,
    SCHEDULING_POLICIES,
    cost_model_data,
    policies_for,
    scheduling_policies_data,
)

INFRA = Path(__file__).parent
NAMESPACE = "ml-training"
_HEADER = f"""\
# Written by `python -m infra.render` from the price book {DEFAULT_BOOK!r}. Change that, not this.
"""


class _Quoted(str):
    """A text that stays one: unquoted, some readers of YAML take 06:00 for the number 360."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Writes quoted texts with their quotes."""


def _represent(_dumper: yaml.SafeDumper, text: _Quoted) -> yaml.ScalarNode:
    return yaml.ScalarNode("tag:yaml.org,2002:str", str(text), style='"')


_Dumper.add_representer(_Quoted, _represent)


def rendered() -> dict[Path, str]:
    """Return the content of every derived file, by its path."""
    data = config_map_data()
    maps = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "data": {key: _Quoted(value) for key, value in values.items()},
        }
        for name, values in data.items()
    ]
    files = {
        INFRA / "kubernetes" / "config-maps.yaml": _HEADER
        + yaml.dump_all(maps, Dumper=_Dumper, sort_keys=False),
    }
    for name, values in data.items():
        text = json.dumps(values, indent=2) + "\n"
        files[INFRA / "terraform" / f"{name}.json"] = text
    return files


def config_map_data() -> dict[str, Mapping[str, str]]:
    """Return the data of each ConfigMap, by its name."""
    book = Prices(source=DEFAULT_BOOK).book()
    return {
        SCHEDULING_POLICIES: scheduling_policies_data(policies_for(book)),
        COST_MODEL: cost_model_data(book),
    }


def main() -> int:
    """Write what differs, and name it."""
    for path, text in rendered().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
