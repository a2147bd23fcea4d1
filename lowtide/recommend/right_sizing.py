"""Right-sizing: CPU, memory and GPUs that were asked for and not used."""

import math
from collections.abc import Iterator
from decimal import Decimal

from lowtide.advice import AdviceKind
from lowtide.recommend.case import Case, Proposal
from lowtide.recommend.shape import Shape

_HEADROOM = 1.25
_WORTH_SHARE = 0.75
_GPU_TARGET = 0.7


def propose(case: Case) -> Iterator[Proposal]:
    """Yield a smaller request where the measured use leaves room for one."""
    if "resources" in case.record.assumed:
        return
    asked, usage = case.record.job.resources, case.record.usage
    cpus = _smaller(asked.cpus, usage.cpus, step=Decimal("0.5"))
    memory_gib = _smaller(asked.memory_gib, usage.memory_gib, step=Decimal(1))
    gpus = _fewer_gpus(case)
    sizes = {"cpus": cpus, "memory_gib": memory_gib, "gpus": gpus}
    changes = {name: size for name, size in sizes.items() if size is not None}
    if not changes:
        return

    def smaller(shape: Shape) -> Shape:
        return shape.asking(cpus=cpus, memory_gib=memory_gib, gpus=gpus)

    def smaller_but_gpus(shape: Shape) -> Shape:
        return shape.asking(cpus=cpus, memory_gib=memory_gib)

    yield Proposal(
        kind=AdviceKind.RIGHT_SIZING,
        description=(
            "Ask for what it uses: "
            + ", ".join(
                f"{name} {size} of {getattr(asked, name)}" for name, size in changes.items()
            )
            + "; what the price book does not charge for frees quota all the same."
        ),
        likely=smaller,
        cautious=smaller_but_gpus,
        hopeful=smaller,
        confidence="medium" if gpus is None else "low",
        confidence_reason=(
            f"the most that was used, and {100 * (_HEADROOM - 1):.0f} % more"
            if gpus is None
            else "how the program scales over fewer GPUs was not measured"
        ),
        evidence={
            "asked": {name: float(getattr(asked, name)) for name in sizes},
            "used_max": {"cpus": usage.cpus, "memory_gib": usage.memory_gib},
            "gpu_utilization": case.every_epoch_busy,
        },
        risk="a larger batch or data set may need what is given back; too little memory ends it",
        action=case.command(**{f"resources__{name}": size for name, size in changes.items()}),
        saves_unknown=True,
    )


def _smaller(asked: Decimal, used: float | None, *, step: Decimal) -> Decimal | None:
    """Return a request that holds the use with headroom; None if it is hardly smaller."""
    if used is None:
        return None
    needed = max(step, step * math.ceil(Decimal(used * _HEADROOM) / step))
    return needed if needed <= asked * Decimal(_WORTH_SHARE) else None


def _fewer_gpus(case: Case) -> int | None:
    """Return how many GPUs would be busy enough; None if that is all, or any epoch is unknown."""
    gpus, busy = case.record.job.resources.gpus, case.every_epoch_busy
    if busy is None:
        return None
    needed = max(1, math.ceil(gpus * max(busy) / _GPU_TARGET))
    return needed if needed < gpus else None
