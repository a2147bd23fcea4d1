"""YAML documents, read strictly: a key that is there twice is a mistake, not a choice."""

from typing import cast

import yaml

from lowtide.errors import BadInputError

# The one in C is ten times as fast, where PyYAML was built with it: every published wheel is.
_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_yaml(text: str, *, source: str) -> object:
    """Read a YAML document; a key that is there twice is refused, where YAML takes the last.

    Args:
        text: The document.
        source: Name of the file, for messages.

    Returns:
        What it holds.

    Raises:
        BadInputError: it is no YAML; with line and column.
    """
    try:
        loader = _LOADER(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _refuse_double_keys(node, source=source)
        return cast("object", loader.construct_document(node))  # pyright: ignore[reportUnknownMemberType] - no stub
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(error.problem or str(error), error.problem_mark, source=source) from None
    except yaml.YAMLError as error:
        raise _not_yaml(str(error), None, source=source) from None


def _refuse_double_keys(root: yaml.Node, *, source: str) -> None:
    waiting, seen = [root], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:  # an alias leads here again
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            for key, value in node.value:
                if names.count(key.value) > 1:
                    problem = f"the key {key.value!r} is there twice"
                    raise _not_yaml(problem, key.start_mark, source=source)
                waiting.append(value)


def _not_yaml(problem: str, mark: yaml.Mark | None, *, source: str) -> BadInputError:
    at = f": line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return BadInputError(
        f"the file is not YAML: {problem}", where=f"{source}{at}", remedy="correct the line"
    )
