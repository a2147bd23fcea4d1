"""The kinds of events that a run's log keeps, beside its legs and its money."""

from enum import StrEnum


class EventKind(StrEnum):
    """What an event of a run is. The values are stored: never rename one."""

    FLOW_RUN = "flow-run"
    """A flow run took the run over; its key is the flow run's id."""
    TRACKED = "tracked"
    """Its MLflow run was asked for: there may be one from now on, whoever died meanwhile."""
    DECISION = "decision"
    """Something was decided, with what was known then."""
    CHECKPOINT_EVERY = "checkpoint-every"
    """How often a leg was told to save, and why; its key is the leg."""
    DEFERRED = "deferred"
    """The run was put off; its key is the flow run that will go on with it."""
    APPROVAL = "approval"
    """A person answered whether the run may cost more."""
    ADOPTED = "adopted"
    """Nobody watched the run; its key is the flow run that was started to go on with it."""
    EPOCH = "epoch"
    """An epoch ended: the metric, the forecast, the money."""
    EPOCHS = "epochs"
    """All epochs' durations, once the run has ended: what the next forecast learns from."""
    ENOUGH = "enough"
    """The metric was good enough by the job's own rule; what the rest would have cost."""
    LATE = "late"
    """The upper forecast ends after the deadline: by how much, and what would still save it."""
    STOP_ASKED = "stop-asked"
    """Somebody asked for the run's end."""
    RECOMMENDED = "recommendations"
    REPORTED = "report"
