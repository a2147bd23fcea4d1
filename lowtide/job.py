"""The job: what somebody asks lowtide to train, checked before anything is held or started.

A job file is data from outside, so it is a pydantic model: the same model checks a YAML file, draws
the form in Prefect's UI and is published as a JSON Schema. `parse_job` turns pydantic's findings
into one sentence that a person can act on.
"""

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    AwareDatetime,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from lowtide.documents import Amount, Count, Part, Seconds, explain, refuse
from lowtide.errors import BadInputError
from lowtide.identity import digest
from lowtide.policy_names import PolicyName

_Name: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$")
]
_EnvName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
_BudgetName: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9][-a-z0-9_.]*(/[a-z0-9][-a-z0-9_.]*)*$")
]
_Scalar: TypeAlias = bool | int | float | str


class Priority(StrEnum):
    """How urgent the job is; it decides the order in the queue and multiplies the price."""

    URGENT = "urgent"
    NORMAL = "normal"
    BACKGROUND = "background"


class Where(StrEnum):
    """What runs the legs."""

    LOCAL = "local"
    KUBERNETES = "kubernetes"


class CapacityAsk(StrEnum):
    """Which capacity the job accepts."""

    ON_DEMAND = "on-demand"
    SPOT = "spot"
    ANY = "any"


class OnRefusal(StrEnum):
    """What happens when a budget says no."""

    REFUSE = "refuse"
    ASK = "ask"
    DEFER = "defer"


class Metric(Part):
    """The number that says how good the model is."""

    name: str = Field(
        default="val_accuracy",
        min_length=1,
        max_length=250,
        title="Metric",
        description="Name under which the program logs the metric to MLflow, once an epoch.",
    )
    goal: Literal["maximize", "minimize"] = Field(
        default="maximize", title="Goal", description="Whether more or less of it is better."
    )
    target: float | None = Field(
        default=None, title="Target", description="A value that is good enough, if there is one."
    )


class Resources(Part):
    """What one leg asks for."""

    flavor: str = Field(
        default="t4",
        min_length=1,
        title="Flavor",
        description="Kind of capacity, as the price book names it.",
    )
    gpus: Count = Field(default=1, ge=0, le=1024, title="GPUs", description="GPUs of one leg.")
    cpus: Amount = Field(
        default=Decimal(1), gt=0, le=4096, title="CPU cores", description="CPU cores of one leg."
    )
    memory_gib: Amount = Field(
        default=Decimal(2), gt=0, le=65536, title="Memory, GiB", description="Memory of one leg."
    )


class BudgetAsk(Part):
    """Who pays, and the most this run may cost."""

    name: _BudgetName = Field(
        default="default", title="Budget", description="Budget that pays, as in research/vision."
    )
    max_usd: Amount | None = Field(
        default=None,
        gt=0,
        title="At most, USD",
        description="The most that this one run may cost; empty: only the budget's own limit.",
    )


class Checkpoint(Part):
    """How often the program saves its state, and how long it may take to do so when stopped."""

    interval: Literal["auto"] | Annotated[Seconds, Field(gt=0)] = Field(
        default="auto",
        title="Interval",
        description="Seconds between two checkpoints, or auto: from their cost and spot lifetimes.",
    )
    grace_s: Seconds = Field(
        default=30.0,
        ge=0,
        le=3600,
        title="Grace, s",
        description="Seconds between SIGTERM and SIGKILL; time to save a checkpoint.",
    )


class EarlyStopping(Part):
    """When to stop before the last epoch, at a checkpoint; whichever comes first."""

    patience: Count | None = Field(
        default=None,
        ge=1,
        title="Patience",
        description="Epochs without improvement before it stops; empty: however many.",
    )
    min_delta: float = Field(
        default=0.0, ge=0, title="Least gain", description="A smaller gain is no improvement."
    )
    target: float | None = Field(
        default=None,
        title="Target",
        description="A value of the metric at which it stops; empty: none.",
    )

    @model_validator(mode="after")
    def _something_stops_it(self) -> Self:
        if self.patience is None and self.target is None:
            refuse(
                "nothing here says when to stop",
                expected="patience, target, or both",
                remedy="give one of them, as in early_stopping: {patience: 5, min_delta: 0.001}",
            )
        return self


class Secret(Part):
    """One secret value, by reference: lowtide never sees it."""

    env: _EnvName = Field(title="Variable", description="Environment variable of the program.")
    secret: _Name = Field(title="Secret", description="Name of the Kubernetes Secret.")
    key: str = Field(min_length=1, title="Key", description="Key within that Secret.")


class TrainingJob(Part):
    """What is to be trained, with which money, by when.

    Frozen, and closed: an unknown key is refused, so that a misspelt limit never means no limit.

    Examples:
        >>> job = TrainingJob(name="digits", command=["python", "-m", "examples.digits.train"])
        >>> job.priority, job.resources.flavor, job.epochs
        (<Priority.NORMAL: 'normal'>, 't4', 1)
    """

    name: _Name = Field(title="Name", description="Short name, lowercase letters, digits, dashes.")
    command: tuple[Annotated[str, StringConstraints(min_length=1)], ...] = Field(
        min_length=1, title="Command", description="The training program and its arguments."
    )
    epochs: Count = Field(
        default=1, ge=1, le=1_000_000, title="Epochs", description="Epochs to train."
    )
    batch_size: Count = Field(
        default=64, ge=1, le=10_000_000, title="Batch size", description="Samples in one step."
    )
    metric: Metric = Field(
        default_factory=Metric, title="Metric", description="The number that says how good it is."
    )
    resources: Resources = Field(
        default_factory=Resources, title="Resources", description="What one leg asks for."
    )
    priority: Priority = Field(
        default=Priority.NORMAL, title="Priority", description="Order in the queue, and its price."
    )
    budget: BudgetAsk = Field(
        default_factory=BudgetAsk,
        title="Budget",
        description="Who pays, and the most it may cost.",
    )
    where: Where = Field(
        default=Where.LOCAL, title="Where", description="This machine, or a Kubernetes cluster."
    )
    image: str | None = Field(
        default=None, title="Image", description="Container image; required on Kubernetes."
    )
    deadline: AwareDatetime | None = Field(
        default=None, title="Deadline", description="Finish by then; a time with its zone."
    )
    capacity: CapacityAsk = Field(
        default=CapacityAsk.ANY, title="Capacity", description="On demand, spot, or either."
    )
    policy: PolicyName = Field(
        default=PolicyName.RUN_NOW, title="Policy", description="Rule that decides when it runs."
    )
    expected_epoch_s: Seconds | None = Field(
        default=None,
        gt=0,
        le=31_536_000,
        title="Expected epoch, s",
        description="Seconds of one epoch, until one was measured or history exists.",
    )
    checkpoint: Checkpoint = Field(
        default_factory=Checkpoint, title="Checkpoint", description="How often state is saved."
    )
    early_stopping: EarlyStopping | None = Field(
        default=None, title="Early stopping", description="Stop before the last epoch, if asked."
    )
    on_refusal: OnRefusal = Field(
        default=OnRefusal.REFUSE, title="When refused", description="Refuse, ask a person, defer."
    )
    max_failures: Count = Field(
        default=1,
        ge=0,
        le=100,
        title="Failures",
        description="Times the program may fail and retry.",
    )
    params: dict[_EnvName, _Scalar] = Field(
        default_factory=dict, title="Parameters", description="The program's own parameters."
    )
    env: dict[_EnvName, str] = Field(
        default_factory=dict, title="Environment", description="Further environment variables."
    )
    secrets: tuple[Secret, ...] = Field(
        default=(), title="Secrets", description="Secret values, by reference (Kubernetes only)."
    )
    pod_template: dict[str, Any] = Field(
        default_factory=dict, title="Pod template", description="Strategic merge into the pod."
    )
    tags: dict[str, str] = Field(
        default_factory=dict, title="Tags", description="Labels for reports, as team or project."
    )

    @model_validator(mode="after")
    def _kubernetes_needs_an_image(self) -> Self:
        if self.where is Where.KUBERNETES and not self.image:
            msg = "image is required where the job runs on kubernetes"
            raise ValueError(msg)
        return self

    @property
    def spec_hash(self) -> str:
        """Content hash of the job; the same job has the same hash on any machine."""
        return digest(self.document())

    def document(self) -> dict[str, Any]:
        """Return the job as a JSON document that `parse_job` reads back unchanged."""
        return self.model_dump(mode="json")


def parse_job(document: object, *, source: str = "job") -> TrainingJob:
    """Read a job from a parsed document, or say what is wrong with which key.

    Args:
        document: What the YAML or JSON file held.
        source: Name of the file or caller, for messages.

    Returns:
        The job.

    Raises:
        BadInputError: the first finding, with the number of the others.

    Examples:
        >>> parse_job({"name": "digits", "command": ["train"], "epochs": 0}, source="job.yaml")
        Traceback (most recent call last):
        lowtide.errors.BadInputError: job.yaml: epochs: Input should be greater than or equal to 1
        (expected >= 1, got 0); change the key; `lowtide schema job` prints every key
    """
    if not isinstance(document, Mapping):
        msg = "a job is a mapping of keys"
        raise BadInputError(
            msg,
            where=source,
            expected="a mapping with at least name and command",
            got="nothing" if document is None else f"a {type(document).__name__}",
            remedy="start from examples/digits/job.yaml",
        )
    try:
        return TrainingJob.model_validate(document)
    except ValidationError as error:
        raise explain(error, source=source, schema="job") from None
