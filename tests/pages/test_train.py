"""The Train page: with nothing there, with every algorithm, through links, and in every state a job can be in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit import config as streamlit_config
from streamlit.testing.v1 import AppTest

from data import job_store
from models.progress import Progress
from tests.conftest import TENANT
from tests.pages.test_pages import press, visit, words
from tests.workbench import small_account
from workbench import context as contexts
from workbench.context import Context
from workbench.services import jobs, training
from workbench.ui.state import Key

FIRST, LAST = date(2026, 1, 27), date(2026, 3, 14)


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    st.cache_resource.clear()


@pytest.fixture
def here(open_home: Callable[[Path], Context], detected: Path) -> Iterator[Context]:
    """An account that was checked; nobody carries out its jobs."""
    with shown(open_home(detected)) as context:
        yield context


@contextmanager
def shown(context: Context) -> Iterator[Context]:
    """Make a context the process's own."""
    streamlit_config.set_option("server.address", "127.0.0.1")
    contexts._shared.append(context)
    yield context
    contexts._shared.remove(context)
    streamlit_config.set_option("server.address", None)


def queued(context: Context, algorithm: str = "lstm-autoencoder", **asked: Any) -> str:
    """A training that waits; returns its number."""
    job = training.start(context, TENANT, domain="ads", algorithm=algorithm, actor="ana", **asked)
    return job.id


def claimed(context: Context, job: str, device: str = "cpu") -> dict[str, Any]:
    """The job in a runner's hands; returns what names its claim."""
    call = partial(job_store.claim, tenant=TENANT, job_id=job, owner="runner", device=device)
    row = context.records.write(TENANT, call)
    assert row is not None
    return {"tenant": TENANT, "job_id": job, "fence": row.fence}


def settled(context: Context, job: str, state: str, **how: str) -> None:
    """The job at its end."""
    call = partial(job_store.finish, **claimed(context, job), state=state, actor="runner", **how)
    context.records.write(TENANT, call)


def learn(context: Context, job: str, first: int, last: int, *, attempt: int = 1) -> None:
    """What the job's worker tells of these epochs, of 24."""
    folder = jobs.folder(context, job)
    folder.mkdir(parents=True, exist_ok=True)
    told = Progress(folder, attempt)
    for epoch in range(first, last + 1):
        numbers = {"train": 1 / epoch, "validation": 0.2 + 1 / epoch, "epoch": epoch, "epochs": 24}
        speed = {"rows_per_second": 12_345.0, "device_memory": 0.0, "resumed": 0.0}
        told.on_step("lstm-autoencoder: train", epoch / 24, {**numbers, **speed})
    (folder / "log.txt").write_text(f"epoch {last} is done\n")


def button(test: AppTest, label: str) -> Any:
    (found,) = [button for button in test.button if button.label == label]
    return found


def metrics(test: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in test.metric}


# ── nothing there ────────────────────────────────────────────────────────────────────────────────


def test_without_data_there_is_nothing_to_learn_from(tmp_path: Path) -> None:
    with small_account.opened(tmp_path, data=False):
        test = visit("train")
    assert "No data yet. Import report files to begin." in words(test)
    assert not [button for button in test.button if button.label == "Start training"]


def test_before_the_first_training_the_form_is_ready(here: Context) -> None:
    test = visit("train")
    assert "Nothing was trained here yet." in words(test)
    assert test.selectbox(Key.ALGORITHM).value == "ensemble"
    assert (test.date_input(Key.FROM).value, test.date_input(Key.TO).value) == (FIRST, LAST)
    auto, cpu, *_ = test.selectbox(Key.DEVICE).options
    assert auto == "Auto" and cpu.startswith("CPU")
    assert "About " in words(test) and "of memory" in words(test)
    assert not button(test, "Start training").disabled


# ── the form ─────────────────────────────────────────────────────────────────────────────────────


def test_every_algorithm_has_its_form(here: Context) -> None:
    test = visit("train")
    for form in training.forms(here, TENANT, domain="ads"):
        test.selectbox(Key.ALGORITHM).set_value(form.name).run()
        assert not test.exception and not test.error, form.name
        assert form.summary in words(test)
        drawn = {widget.key.rpartition(":")[2] for widget in parameters(test, form.name)}
        assert drawn == set(form.params.__dataclass_fields__), form.name
        assert button(test, "Start training").disabled is not form.installed, form.name


def parameters(test: AppTest, name: str) -> list[Any]:
    every = (*test.number_input, *test.selectbox, *test.text_input, *test.toggle)
    return [widget for widget in every if str(widget.key).startswith(f"{name}:")]


def test_a_preset_fills_the_parameters_and_a_training_is_started_with_them(here: Context) -> None:
    test = visit("train", algorithm="lstm-autoencoder")
    preset = next(choice for choice in test.segmented_control if choice.label == "Preset")
    preset.set_value("quick").run()
    assert test.number_input("lstm-autoencoder:quick:epochs").value == 6
    test.number_input("lstm-autoencoder:quick:hidden").set_value(16)
    test.toggle(f"{Key.SWAP}:lstm-autoencoder").set_value(False).run()
    press(test, "Start training")
    (job,) = jobs.listing(here, TENANT)
    assert test.query_params[Key.JOB] == job.id
    assert job.payload | {"deadline_minutes": 0, "device": ""} == {
        "algorithm": "lstm-autoencoder",
        "params": {"epochs": 6, "windows": 2000, "hidden": 16},
        "from": str(FIRST),
        "to": str(LAST),
        "part": False,
        "proposal": None,
        "deadline_minutes": 0,
        "device": "",
    }
    assert test.toast[0].value == "The training is in the queue."
    assert "Queued**] lstm-autoencoder" in words(test)


def test_one_click_is_one_training_however_often_it_arrives(here: Context) -> None:
    test = visit("train")
    once = test.session_state[Key.ONCE]
    press(test, "Start training")
    test.session_state[Key.ONCE] = once
    press(test.run(), "Start training")
    assert len(jobs.listing(here, TENANT)) == 1


def test_a_link_fills_the_form(here: Context) -> None:
    link = {"algorithm": "half-space-trees", "from": "2026-01-29", "to": "2026-03-12"}
    test = visit("train", **link, proposal="12")
    assert test.selectbox(Key.ALGORITHM).value == "half-space-trees"
    assert test.date_input(Key.FROM).value == date(2026, 1, 29)
    assert test.date_input(Key.TO).value == date(2026, 3, 12)
    assert "For drift proposal 12" in words(test)
    press(test, "Start training")
    assert jobs.listing(here, TENANT)[0].payload["proposal"] == 12


def test_a_link_that_asks_for_days_without_an_expectation_is_told_which_there_are(
    here: Context,
) -> None:
    test = visit("train", **{"from": "2025-12-24", "to": "2026-03-12"})
    assert test.date_input(Key.FROM).value == FIRST
    assert (
        f"2025-12-24 to 2026-03-12 was asked for, but only {FIRST} to 2026-03-12 can be learned from."
        in words(test)
    )


def test_a_window_that_ends_before_it_starts_is_refused_with_its_cure(here: Context) -> None:
    link = {"algorithm": "half-space-trees", "from": "2026-03-10", "to": "2026-02-01"}
    test = visit("train", **link)
    assert button(test, "Start training").disabled
    assert ":red[**▲**]" in words(test)


@pytest.mark.parametrize(
    "link",
    [
        {"job": "999"},
        {"job": "../../etc/passwd"},
        {"job": "' or 1=1 --"},
        {"job": "ü" * 500},
        {"algorithm": "galaxy", "domain": "space", "from": "tomorrow", "to": "9999-12-31"},
        {"from": "0001-01-01", "to": "2026-13-45", "proposal": "-1"},
        {"clone": "nobody"},
    ],
    ids=lambda link: next(iter(link)),
)
def test_a_bad_link_is_told_or_ignored(here: Context, link: dict[str, str]) -> None:
    test = visit("train", **link)
    assert test.selectbox(Key.ALGORITHM).value == "ensemble"
    assert (test.date_input(Key.FROM).value, test.date_input(Key.TO).value) == (FIRST, LAST)
    told = [error.value for error in test.error]
    assert told == ([f"Job {link['job'][:64]} not found."] if "job" in link else [])


# ── a job on its way ─────────────────────────────────────────────────────────────────────────────


def test_a_waiting_job_says_its_place_in_the_queue(here: Context) -> None:
    queued(here, "robust-z")
    test = visit("train", job=queued(here, "ewma"))
    assert "Queued**] ewma" in words(test)
    told = list(test.dataframe[0].value["What came of it"])
    assert told == ["2nd in the queue", "1st in the queue"]


def test_a_running_job_shows_curve_numbers_log_and_can_be_cancelled(here: Context) -> None:
    job = queued(here)
    about = claimed(here, job)
    learn(here, job, 1, 7)
    beat = partial(job_store.beat, **about, progress=7 / 24, progress_text="epoch 7 of 24")
    here.records.write(TENANT, beat)
    test = visit("train")
    assert "Running**] lstm-autoencoder" in words(test)
    assert metrics(test) == {
        "Epoch": "7 of 24",
        "Validation loss": "0.3429",
        "Rows per second": "12,345",
        "Device memory": "–",
        "Learning for": "0 s",
    }
    assert [code.value for code in test.code] == ["epoch 7 is done"]
    press(test, "Cancel")
    assert jobs.get(here, TENANT, job).state == "cancelling"
    assert "Cancelling**] lstm-autoencoder" in words(test)
    assert "Cancel" not in [button.label for button in test.button]


def test_the_curve_goes_on_after_a_resume(here: Context) -> None:
    job = queued(here)
    learn(here, job, 1, 5)
    settled(here, job, "cancelled")
    test = visit("train", job=job)
    assert "Cancelled; nothing was published." in words(test)
    press(test, "Resume")
    assert jobs.get(here, TENANT, job).state == "queued"
    learn(here, job, 6, 9, attempt=2)
    next(choice for choice in test.segmented_control if choice.options == ["Table"]).set_value(
        "Table"
    ).run()
    assert list(test.dataframe[0].value["Epoch"]) == list(range(9, 0, -1))


FAILURES = (
    ("DivergedError", "The loss is no longer a number", "Lower the learning rate."),
    ("MemoryLimitError", "Out of memory", "Take fewer entities."),
    ("DeadlineError", "Out of time", "Give it more minutes."),
    ("DeviceError", "No such device", "Clone it for one of those."),
    ("InvalidInputError", "It could not start", "Take another window."),
    ("ZeroDivisionError", "The training failed", "The job's log has the trace."),
)


@pytest.mark.parametrize(("error", "title", "hint"), FAILURES, ids=[row[0] for row in FAILURES])
def test_each_failure_says_what_happened_and_what_to_do(
    here: Context, error: str, title: str, hint: str
) -> None:
    job = queued(here)
    settled(here, job, "failed", error_class=error, error_text="It said so.", error_hint=hint)
    test = visit("train")
    assert [box.value for box in test.error] == [f"**{title}.** It said so.\n\n{hint}"]
    assert list(test.dataframe[0].value["What came of it"]) == [title]
    assert {"Resume", "Clone"} <= {button.label for button in test.button}


def test_a_gpu_without_room_is_told_while_the_job_goes_on(here: Context) -> None:
    job = queued(here)
    claimed(here, job)
    learn(here, job, 1, 2)
    told = Progress(jobs.folder(here, job), 1)
    told.on_step("out of memory on cuda:0, goes on on cpu", 0.0, {})
    (warning,) = visit("train").warning
    assert warning.value == "Out of memory on cuda:0, goes on on cpu."


def test_a_lost_job_can_be_resumed(here: Context) -> None:
    settled(here, queued(here), "lost")
    test = visit("train")
    assert "Resume goes on from its last checkpoint." in test.warning[0].value
    press(test, "Resume")
    assert jobs.listing(here, TENANT)[0].state == "queued"


def test_a_clone_starts_from_what_the_job_was_started_with(here: Context) -> None:
    params = {"epochs": 3, "hidden": 16}
    window = {"start": date(2026, 1, 29), "end": date(2026, 3, 12)}
    job = queued(here, params=params, part=True, **window)
    test = press(visit("train", job=job), "Clone")
    assert test.selectbox(Key.ALGORITHM).value == "lstm-autoencoder"
    assert test.date_input(Key.FROM).value == date(2026, 1, 29)
    assert test.number_input(f"lstm-autoencoder:{job}:epochs").value == 3
    press(test, "Start training")
    cloned = jobs.listing(here, TENANT)[0]
    assert (cloned.parent, cloned.payload["params"]) == (job, params)
    assert cloned.payload | {"device": ""} == jobs.get(here, TENANT, job).payload | {"device": ""}


def test_every_page_tells_what_runs(here: Context) -> None:
    job = queued(here)
    claimed(here, job)
    assert pills(visit("data")) == ["lstm-autoencoder 0 %"]
    queued(here, "ewma")
    assert pills(visit("data")) == ["lstm-autoencoder 0 % · 1 more"]


def test_without_a_link_what_runs_is_watched_else_what_was_started_last(here: Context) -> None:
    claimed(here, queued(here))
    queued(here, "ewma")
    assert "Running**] lstm-autoencoder" in words(visit("train"))
    settled(here, jobs.listing(here, TENANT)[0].id, "failed", error_text="It said so.")
    for job in jobs.listing(here, TENANT, active=True):
        ended = {"tenant": TENANT, "job_id": job.id, "fence": 1, "actor": "runner"}
        here.records.write(TENANT, partial(job_store.finish, **ended, state="cancelled"))
    assert "Failed**] ewma" in words(visit("train"))


def test_nothing_is_told_once_nothing_runs(here: Context) -> None:
    settled(here, queued(here), "cancelled")
    assert pills(visit("data")) == []


def pills(test: AppTest) -> list[str]:
    links = [link.proto for link in test.get("page_link")]
    return [link.label for link in links if link.page == "train"]


def test_another_tenant_of_the_home_can_be_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = [("agency", "ads"), (TENANT, "ads")]
    monkeypatch.setattr(small_account.Arrays, "holdings", lambda self: held)
    with small_account.opened(tmp_path) as context, shown(context):
        test = visit("train", algorithm="ewma")
        assert test.selectbox(Key.TENANT_CHOICE).options == ["agency", TENANT]
        test.selectbox(Key.TENANT_CHOICE).set_value("agency").run()
        test.selectbox(Key.ALGORITHM).set_value("ewma").run()
        press(test, "Start training")
        assert [len(jobs.listing(context, tenant)) for tenant, _ in held] == [1, 0]
        assert pills(test) == ["ewma 1st in the queue"]
