"""Asks the person at the terminal a question that is answered with yes or no."""


def said_yes(question: str) -> bool:
    """Ask, and return whether the answer was yes; an interrupt, or no answer at all, is a no.

    Not by `input`: it does not hear an interrupt that comes just before it reads. In a thread of its
    own, for the caller may run an event loop in this one.

    Args:
        question: Without the choices, which are added.
    """
    try:
        # Two tenths of a second that most commands can do without.
        from prompt_toolkit import PromptSession

        asked: PromptSession[str] = PromptSession()
        said = asked.prompt(f"{question} [y/N] ", in_thread=True)
    except (KeyboardInterrupt, EOFError):
        return False
    return said.strip().lower() in {"y", "yes"}
