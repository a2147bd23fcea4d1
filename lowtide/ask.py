"""A request to train, as it comes through any door."""

from pydantic import BaseModel, ConfigDict, Field

from lowtide.job import TrainingJob


class TrainAsk(BaseModel):
    """One request to train, as a person, a schedule or a program sends it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: TrainingJob = Field(title="Job", description="What is to be trained.")
    key: str | None = Field(
        default=None,
        max_length=500,
        title="Key",
        description="Your own name for this run; the same key twice is the same run.",
    )
    new: bool = Field(
        default=False,
        title="Always a new run",
        description="Do not go on with an unfinished run of the same job.",
    )
