"""All settings, from the environment (`HEADWATER_…`) or the caller; read once, at the start."""

from __future__ import annotations

import getpass
import ipaddress
import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Where Headwater keeps things, where it listens, and who acts when nobody says."""

    model_config = SettingsConfigDict(env_prefix="HEADWATER_", frozen=True, extra="forbid")

    home: Path = Field(default=Path("var"), description="Folder of databases, models and keys")
    database_url: str = Field(
        default="", description="Records database; SQLite in `home` when empty"
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on")
    port: int = Field(default=8501, ge=0, le=65535, description="Port to listen on")
    tenant: str = Field(
        default="local",
        min_length=1,
        max_length=64,
        pattern=r"^[a-z0-9][a-z0-9_-]*$",
        description="Whose data, where nobody says",
    )
    user: str = Field(
        default_factory=getpass.getuser,
        min_length=1,
        max_length=128,
        description="Who acts, where nobody says; the login name when absent",
    )
    retention_days: int = Field(
        default=90,
        ge=1,
        description="Days until resolved alerts go to history and the folders of old jobs go",
    )
    sample_days: int = Field(
        default=90,
        ge=0,
        description="Days of measurements kept, back from the newest; 0 keeps them for ever",
    )
    loaded_models: int = Field(default=8, ge=1, description="Fitted models kept in memory")
    executor: str = Field(default="local", description="Where jobs run: local or dask")
    dask_scheduler: str = Field(default="", description="Address of the Dask scheduler")
    cpu_jobs: int = Field(default=1, ge=1, description="Jobs at once on the CPU; a GPU runs one")
    job_memory: int = Field(
        default=0, ge=0, description="Bytes a job may hold; three quarters of the machine's when 0"
    )
    job_minutes: float = Field(default=240.0, gt=0, description="Minutes a job may run")
    mlflow_tracking_uri: str = Field(
        default="", description="MLflow server that is told of trainings too; none when empty"
    )
    pagerduty_secrets: dict[str, Annotated[SecretStr, Field(min_length=16)]] = Field(
        default={},
        description="Signing secret of PagerDuty's webhook by tenant, as JSON; without one nothing is taken in",
    )

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def memory_of_a_job(self) -> int:
        """Bytes that a job's processes may hold together."""
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return self.job_memory or whole * 3 // 4

    @property
    def records_url(self) -> str:
        """The records database's URL."""
        return self.database_url or f"sqlite:///{self.home.resolve() / 'records.db'}"

    @property
    def address(self) -> str:
        """Where a process of this machine reaches the server."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::", "") else self.host  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"
