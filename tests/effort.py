"""How many examples a costly property is tried on."""

from hypothesis import settings


def at_most(examples: int) -> settings:
    """Return settings for a property of which so many examples are enough, or the profile's fewer."""
    return settings(max_examples=min(examples, settings().max_examples))
