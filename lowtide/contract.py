"""The training contract: what a program finds in its environment. There is no SDK.

A program reads these variables, logs its metric with step = epoch, saves a checkpoint on SIGTERM
and exits with 143. `examples/digits/train.py` is a program that does all of it.
"""

from collections.abc import Mapping

from lowtide.job import TrainingJob

# Training goes on through an outage of the tracking server: it is told to wait little and to log
# behind its own back.
_TRACKING_PATIENCE: Mapping[str, str] = {
    "MLFLOW_ENABLE_ASYNC_LOGGING": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


def training_environment(
    job: TrainingJob,
    *,
    run: str,
    leg: int,
    tracking_uri: str,
    mlflow_run: str,
    checkpoint_dir: str,
    checkpoint_every_s: float,
) -> dict[str, str]:
    """Return the variables that a leg's program starts with.

    The contract's own variables win over the job's `env`: a job cannot log into another run.

    Args:
        job: What is trained.
        run: Id of the run.
        leg: Number of the leg, from 1.
        tracking_uri: Address of the MLflow server.
        mlflow_run: Id of the MLflow run.
        checkpoint_dir: Folder that outlives the leg.
        checkpoint_every_s: Seconds between two checkpoints, > 0.

    Returns:
        Names and values.

    Source:
        Design §5.

    Examples:
        >>> job = TrainingJob(name="digits", command=["train"], epochs=3, params={"hidden": 256})
        >>> env = training_environment(
        ...     job,
        ...     run="r-22be2a7c2553",
        ...     leg=1,
        ...     tracking_uri="http://127.0.0.1:5000",
        ...     mlflow_run="m1",
        ...     checkpoint_dir="/checkpoints",
        ...     checkpoint_every_s=60,
        ... )
        >>> env["LOWTIDE_EPOCHS"], env["LOWTIDE_PARAM_HIDDEN"], env["LOWTIDE_CHECKPOINT_EVERY_S"]
        ('3', '256', '60')
    """
    return {
        **_TRACKING_PATIENCE,
        **job.env,
        **{f"LOWTIDE_PARAM_{name.upper()}": _text(value) for name, value in job.params.items()},
        "MLFLOW_TRACKING_URI": tracking_uri,
        "MLFLOW_RUN_ID": mlflow_run,
        "LOWTIDE_JOB": job.name,
        "LOWTIDE_RUN": run,
        "LOWTIDE_LEG": str(leg),
        "LOWTIDE_EPOCHS": str(job.epochs),
        "LOWTIDE_BATCH_SIZE": str(job.batch_size),
        "LOWTIDE_METRIC": job.metric.name,
        "LOWTIDE_CHECKPOINT_DIR": checkpoint_dir,
        "LOWTIDE_CHECKPOINT_EVERY_S": f"{checkpoint_every_s:g}",
    }


def tracked_params(job: TrainingJob) -> dict[str, str]:
    """Return the parameters under which the run is compared with others in MLflow."""
    return {
        "epochs": str(job.epochs),
        "batch_size": str(job.batch_size),
        "flavor": job.resources.flavor,
        "gpus": str(job.resources.gpus),
        "priority": job.priority.value,
        **{name: _text(value) for name, value in job.params.items()},
    }


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
