"""Where lowtide's parts are: the environment first, then `lowtide.toml`, then defaults that work.

The one hard idea: `lowtide up` writes the addresses of the servers it started to `stack.json` in
the home folder, so every later command finds them with no variable set; a variable still wins.
"""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from typing_extensions import override

from lowtide.job import Where

EXAMPLES = Path(__file__).parent.parent / "examples"


class Settings(BaseSettings):
    """All settings of design §8, read once per process.

    Examples:
        >>> from pathlib import Path
        >>> Settings(home=Path("/tmp/h"), ledger_url=None).ledger_address
        'sqlite:////tmp/h/ledger.db'
    """

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix="LOWTIDE_", toml_file="lowtide.toml", extra="ignore", frozen=True
    )

    home: Path = Field(
        default_factory=lambda: Path.home() / ".local" / "state" / "lowtide",
        description="State, logs and legs.",
    )
    ledger_url: str | None = Field(default=None, description="Database of the ledger.")
    prices: str = Field(
        default="specification", description="Price book: file, name or ConfigMap."
    )
    budgets: Path = Field(default=EXAMPLES / "budgets.yaml", description="Budgets set by `up`.")
    where: Where = Field(
        default=Where.LOCAL, description="What runs legs when a job says nothing."
    )
    namespace: str = Field(default="ml-training", description="Kubernetes namespace of the legs.")
    queue: str = Field(
        default="training", description="Kueue LocalQueue of the legs; empty: no Kueue."
    )
    cluster: dict[str, Any] = Field(
        default_factory=dict, description="Further settings of the cluster, as docs/cluster.md."
    )
    spot_trace: Path | None = Field(
        default=None, description="Recording of spot capacity that local spot legs live by."
    )
    spot_values: str | None = Field(
        default=None, description="What its numbers mean: available or preempted."
    )
    spot_speed: float = Field(
        default=1.0, gt=0, description="Recorded seconds that pass in a second."
    )
    job_file: Path = Field(
        default=EXAMPLES / "digits" / "job.yaml", description="The job when none is named."
    )
    jobs: Path = Field(default=EXAMPLES, description="Where job names are looked up.")
    mlflow_tracking_uri: str | None = Field(
        default=None, validation_alias="MLFLOW_TRACKING_URI", description="MLflow server."
    )
    prefect_api_url: str | None = Field(
        default=None, validation_alias="PREFECT_API_URL", description="Prefect server."
    )

    confirm_above_usd: Decimal = Field(
        default=Decimal(1),
        ge=0,
        description="A training that an agent asks for and that may hold more needs a person's yes.",
    )
    mcp_token: str | None = Field(
        default=None, min_length=16, repr=False, description="What MCP clients present over HTTP."
    )
    model: str | None = Field(
        default=None, description="Language model of the agent, as provider:name."
    )
    chat_limit_usd: Decimal = Field(
        default=Decimal(5), ge=0, description="The most that one conversation may set aside."
    )

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def ledger_address(self) -> str:
        """URL of the ledger's database; by default a file in the home folder."""
        return self.ledger_url or f"sqlite:///{self.home / 'ledger.db'}"

    @property
    def legs_folder(self) -> Path:
        """Where local legs keep their files."""
        return self.home / "legs"

    @property
    def checkpoints_folder(self) -> Path:
        """Where local runs keep their checkpoints."""
        return self.home / "checkpoints"

    @property
    def reports_folder(self) -> Path:
        """Where runs' reports are written."""
        return self.home / "reports"

    @property
    def stack_file(self) -> Path:
        """What `lowtide up` started."""
        return self.home / "stack.json"

    def stack(self) -> dict[str, Any]:
        """Return what `lowtide up` wrote, empty when nothing is up."""
        try:
            found: dict[str, Any] = json.loads(self.stack_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return found

    @property
    def tracking_address(self) -> str | None:
        """MLflow server's address; None when neither a variable nor the stack names one."""
        return self.mlflow_tracking_uri or self.stack().get("mlflow", {}).get("url")

    @property
    def prefect_address(self) -> str | None:
        """Prefect API's address; None when neither a variable nor the stack names one."""
        return self.prefect_api_url or self.stack().get("prefect", {}).get("api_url")
