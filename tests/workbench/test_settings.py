from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from workbench.cli import main
from workbench.settings import Settings


def test_the_defaults_keep_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "HOST", "PORT", "TENANT"):
        monkeypatch.delenv(f"HEADWATER_{name}", raising=False)
    settings = Settings()
    assert settings.on_loopback
    assert settings.home == Path("var")
    assert (settings.address, settings.tenant) == ("http://127.0.0.1:8501", "local")
    assert settings.retention_days == settings.sample_days == 90


def test_the_environment_sets_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADWATER_HOME", str(tmp_path))
    monkeypatch.setenv("HEADWATER_PORT", "9000")
    monkeypatch.setenv("HEADWATER_DATABASE_URL", "postgresql+psycopg://db/headwater")
    settings = Settings()
    assert (settings.home, settings.port) == (tmp_path, 9000)
    assert settings.records_url == "postgresql+psycopg://db/headwater"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
    ],
)
def test_what_others_can_reach(host: str, loopback: bool) -> None:
    assert Settings(host=host).on_loopback is loopback


def test_a_server_on_every_address_is_reached_on_this_one() -> None:
    assert Settings(host="0.0.0.0", port=80).address == "http://127.0.0.1:80"
    assert Settings(host="::1", port=80).address == "http://[::1]:80"


@pytest.mark.parametrize(
    "wrong", [{"port": 70000}, {"tenant": "../x"}, {"tenant": ""}, {"prot": 1}]
)
def test_a_wrong_setting_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Settings(**wrong)  # type: ignore[arg-type]


def test_a_refused_secret_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADWATER_PAGERDUTY_SECRETS", '{"local": "too-short"}')
    monkeypatch.setattr("sys.argv", ["headwater", "incidents", "list"])
    with pytest.raises(SystemExit):
        main()
    told = capsys.readouterr().err
    assert "pagerduty_secrets" in told and "too-short" not in told
