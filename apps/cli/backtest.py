"""`lowtide backtest`: what each policy would have cost on recorded spot capacity."""

from pathlib import Path
from typing import Annotated

import typer

from apps.cli.options import Json
from lowtide.policy_names import PolicyName

_HOUR_S = 3600.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(backtest)


def backtest(
    *,
    traces: Annotated[Path, typer.Option(help="Folder of recordings, or one; JSON files.")],
    policy: Annotated[list[PolicyName], typer.Option(help="A policy; may be repeated.")],
    work_hours: Annotated[float, typer.Option(help="Hours of training.")],
    deadline_hours: Annotated[float, typer.Option(help="Hours from the start to the deadline.")],
    changeover_hours: Annotated[float, typer.Option(min=0, help="Hours that each new leg loses.")],
    values: Annotated[
        str | None,
        typer.Option(
            help="What the numbers mean, where a file does not say: available or preempted."
        ),
    ] = None,
    prices: Annotated[
        str | None, typer.Option(help="A price book, for its rates and tariff windows.")
    ] = None,
    flavor: Annotated[str, typer.Option(help="Flavor in the price book.")] = "t4",
    on_demand_usd: Annotated[
        float | None, typer.Option(help="Price on demand, US dollars per hour.")
    ] = None,
    spot_usd: Annotated[
        float | None,
        typer.Option(help="Price on spot; default: the recording's own, tick by tick."),
    ] = None,
    windows: Annotated[
        Path | None, typer.Option(help="JSON file of windows; default: drawn at random.")
    ] = None,
    starts: Annotated[int, typer.Option(min=1, help="Windows to draw for each trace.")] = 300,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the drawn windows.")] = 0,
    nodes: Annotated[int, typer.Option(min=1, help="Nodes that must be there at once.")] = 1,
    estimate_error: Annotated[
        float, typer.Option(min=-99, help="Error of the forecast of the work, per cent.")
    ] = 0.0,
    corrected_at: Annotated[
        float | None,
        typer.Option(
            min=0, max=100, help="Per cent of the work after which the forecast is right."
        ),
    ] = None,
    fit: Annotated[
        Path | None,
        typer.Option(help="Recordings that adaptive learns from; default: the shipped prior."),
    ] = None,
    optimum: Annotated[
        bool, typer.Option("--optimum", help="Add the cheapest cost in hindsight.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Write a chart of the savings: .png, .svg or .pdf.")
    ] = None,
    json: Json = False,
) -> None:
    """Replay recorded spot capacity through the policies, and compare what they cost."""
    from apps import backtests
    from apps.output import emit, refuse
    from lowtide.backtest import Ask
    from lowtide.verdict import Refused

    backtests.check_positive(work_hours, "--work-hours")
    backtests.check_positive(deadline_hours, "--deadline-hours")
    replay = backtests.Replay(
        traces=traces,
        values=backtests.meaning_of(values),
        nodes=nodes,
        windows=windows,
        starts=starts,
        seed=seed,
        fit=fit,
        rates=backtests.Rates(
            book=prices, flavor=flavor, on_demand_usd=on_demand_usd, spot_usd=spot_usd
        ),
        ask=Ask(
            work_s=work_hours * _HOUR_S,
            deadline_s=deadline_hours * _HOUR_S,
            changeover_s=changeover_hours * _HOUR_S,
            estimate_error=estimate_error / 100,
            corrected_at=None if corrected_at is None else corrected_at / 100,
        ),
        policies=policy,
        optimum=optimum,
    )
    scores = replay.run()
    if isinstance(scores, Refused):
        raise typer.Exit(refuse(scores, as_json=json))
    if plot is not None:
        backtests.plot(scores, plot)
    if json:
        emit("backtest", scores.document())
    else:
        backtests.show(scores)
