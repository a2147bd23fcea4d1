"""`lowtide recommend`: what to change next time."""

import typer

from apps.cli.options import Json, Run


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(recommend)


def recommend(run: Run, *, json: Json = False) -> None:
    """Say what would have made a run cheaper, with the evidence."""
    from apps.output import emit  # noqa: PLC0415
    from apps.questions import advice_on  # noqa: PLC0415
    from lowtide.money import show_usd  # noqa: PLC0415

    advice = advice_on(run)
    if json:
        emit("recommend", advice.document())
        return
    print(f"{advice.run} cost {show_usd(advice.cost_usd)}")
    for number, item in enumerate(advice.recommendations, 1):
        saving = item.saving_usd
        print(
            f"{number}. {item.description}\n   saves {show_usd(saving.p50)} "
            f"({show_usd(saving.p10)} to {show_usd(saving.p90)}, {item.saving_pct:.0f} %), "
            f"confidence {item.confidence}: {item.confidence_reason}\n"
            f"   risk: {item.risk}\n   {item.action}"
        )
    combined = show_usd(advice.combined_saving_usd.p50)
    print(f"all together: {combined}" if advice.recommendations else "nothing to recommend")
    for note in advice.notes:
        print(f"note: {note}")
