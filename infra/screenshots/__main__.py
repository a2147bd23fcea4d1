"""Takes the documents' pictures anew: `python -m infra.screenshots`, with `lowtide up` running.

It starts what the pictures show, by the API as anybody would: a run that trains, one that is
refused, one that waits for an approval. The browser is Debian's Chromium, without a window.
"""

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from playwright.sync_api import Page, sync_playwright
from prefect.client.orchestration import SyncPrefectClient, get_client

from blocks.scheduler import Scheduler

FOLDER = Path(__file__).parents[2] / "docs" / "images"
CHROMIUM = "/usr/bin/chromium"
_WAIT_S = 300.0
_WAIT_MS = 60_000
_SETTLE_MS = 2_500
JOB: dict[str, Any] = {
    "name": "digits",
    "command": ["python", "-m", "examples.digits.train"],
    "epochs": 20,
    "expected_epoch_s": 2,
    "budget": {"name": "research", "max_usd": 0.5},
    "params": {"copies": 25, "hidden": 256},
}
TOO_DEAR = {**JOB, "budget": {"name": "research", "max_usd": 0.001}}


def main() -> int:
    """Start the runs, take the pictures, and say where they are."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    asked_for = sys.argv[1:] or list(PICTURES)
    with get_client(sync_client=True) as client, sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(_WAIT_MS)
        for name in asked_for:
            with PICTURES[name](page, client):
                page.screenshot(path=FOLDER / f"{name}.png")
            print(FOLDER / f"{name}.png")
        browser.close()
    return 0


@contextmanager
def run_form(page: Page, client: SyncPrefectClient) -> Generator[None]:
    """Show the form that a run of the train deployment is asked for with, and a field's choices."""
    deployment = client.read_deployment_by_name("train/train")
    see(page, client, f"deployments/deployment/{deployment.id}/run")
    field = page.locator(".p-label", has_text="Policy").last
    field.scroll_into_view_if_needed()
    field.get_by_role("button").last.click()
    page.keyboard.press("ArrowDown")
    page.wait_for_timeout(_SETTLE_MS)
    yield


@contextmanager
def training(page: Page, client: SyncPrefectClient) -> Generator[None]:
    """Show a run that trains, with its progress."""
    flow_run = started(client, "shown", JOB)
    until(client, flow_run, "Running")
    give_up = time.monotonic() + _WAIT_S
    while time.monotonic() < give_up and not has_progress(client, flow_run):
        time.sleep(1)
    see(page, client, f"runs/flow-run/{flow_run}")
    turn_to(page, "Artifacts")
    yield


@contextmanager
def refused(page: Page, client: SyncPrefectClient) -> Generator[None]:
    """Show a run that was refused, and what is short."""
    flow_run = started(client, "refused", TOO_DEAR)
    until(client, flow_run, "Refused")
    see(page, client, f"runs/flow-run/{flow_run}")
    turn_to(page, "Details")
    page.get_by_text("State Message").last.scroll_into_view_if_needed()
    page.mouse.move(640, 700)
    page.mouse.wheel(0, 400)
    page.get_by_text("See More").first.click()
    page.wait_for_timeout(_SETTLE_MS)
    yield


@contextmanager
def approval(page: Page, client: SyncPrefectClient) -> Generator[None]:
    """Show the form that waits for an approval; it is then answered with no."""
    flow_run = started(client, "asked", {**TOO_DEAR, "on_refusal": "ask"})
    until(client, flow_run, "Suspended")
    see(page, client, f"runs/flow-run/{flow_run}")
    page.get_by_role("button", name="Resume").first.click()
    page.wait_for_timeout(_SETTLE_MS)
    yield
    no = {"approve": False, "limit_usd": 0.001, "reason": "only for a picture", "who": "a program"}
    Scheduler().answer(str(flow_run), no)


PICTURES = {
    "run-form": run_form,
    "refused": refused,
    "approval": approval,
    "training": training,
}


def started(client: SyncPrefectClient, what: str, job: dict[str, Any]) -> UUID:
    """Start a run of its own key, as anybody would."""
    # Not by `run_deployment`: beside a browser's event loop it gives back a promise.
    deployment = client.read_deployment_by_name("train/train")
    parameters = {"ask": {"job": job, "key": f"screenshot-{what}-{time.time_ns()}"}}
    return client.create_flow_run_from_deployment(deployment.id, parameters=parameters).id


def until(client: SyncPrefectClient, flow_run: UUID, state: str) -> None:
    """Wait until a flow run is in a state; give up when it cannot be any more."""
    give_up = time.monotonic() + _WAIT_S
    while time.monotonic() < give_up:
        found = client.read_flow_run(flow_run).state
        if found is not None and found.name == state:
            return
        time.sleep(1)
    msg = f"flow run {flow_run} did not become {state} in {_WAIT_S:.0f} s"
    raise TimeoutError(msg)


def has_progress(client: SyncPrefectClient, flow_run: UUID) -> bool:
    """Say whether the flow run has its progress artifact already."""
    asked = {"artifacts": {"flow_run_id": {"any_": [str(flow_run)]}}}
    found: list[dict[str, Any]] = client.request("POST", "/artifacts/filter", json=asked).json()
    return any(artifact["type"] == "progress" for artifact in found)


def see(page: Page, client: SyncPrefectClient, path: str) -> None:
    """Open a page of the UI, and wait until nothing moves on it."""
    page.goto(f"{str(client.api_url).removesuffix('/').removesuffix('/api')}/{path}")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(_SETTLE_MS)


def turn_to(page: Page, tab: str) -> None:
    """Turn to a tab of the page, and wait until nothing moves on it."""
    page.get_by_text(tab, exact=True).last.click()
    page.wait_for_timeout(_SETTLE_MS)


if __name__ == "__main__":
    sys.exit(main())
