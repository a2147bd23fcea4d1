"""Takes the documents' pictures anew: `python -m infra.screenshots`, with `lowtide up` running.

It starts what the pictures show, by the API as anybody would: a run that trains, one that is
refused, one that waits for an approval. The browser is Debian's Chromium, without a window.
"""

import sys
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from playwright.sync_api import Page, sync_playwright
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.deployments import run_deployment

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
    with get_client(sync_client=True) as client, sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(_WAIT_MS)
        for name, take in PICTURES.items():
            take(page, client)
            page.screenshot(path=FOLDER / f"{name}.png")
            print(FOLDER / f"{name}.png")
        browser.close()
    return 0


def run_form(page: Page, client: SyncPrefectClient) -> None:
    """Show the form that a run of the train deployment is asked for with."""
    deployment = client.read_deployment_by_name("train/train")
    see(page, client, f"deployments/deployment/{deployment.id}/run")


def training(page: Page, client: SyncPrefectClient) -> None:
    """Show a run that trains, with its progress."""
    flow_run = started("shown", JOB)
    until(client, flow_run, "Running")
    give_up = time.monotonic() + _WAIT_S
    while time.monotonic() < give_up and not has_progress(client, flow_run):
        time.sleep(1)
    see(page, client, f"runs/flow-run/{flow_run}?tab=Artifacts")


def refused(page: Page, client: SyncPrefectClient) -> None:
    """Show a run that was refused, and what is short."""
    flow_run = started("refused", TOO_DEAR)
    until(client, flow_run, "Refused")
    see(page, client, f"runs/flow-run/{flow_run}")


def approval(page: Page, client: SyncPrefectClient) -> None:
    """Show the form that waits for an approval; it is then answered with no."""
    flow_run = started("asked", {**TOO_DEAR, "on_refusal": "ask"})
    until(client, flow_run, "Suspended")
    see(page, client, f"runs/flow-run/{flow_run}")
    page.get_by_role("button", name="Resume").first.click()
    page.wait_for_timeout(_SETTLE_MS)


PICTURES = {
    "run-form": run_form,
    "refused": refused,
    "approval": approval,
    "training": training,
}


def started(what: str, job: dict[str, Any]) -> UUID:
    """Start a run of its own key, as anybody would."""
    parameters = {"ask": {"job": job, "key": f"screenshot-{what}-{time.time_ns()}"}}
    flow_run: Any = run_deployment(
        "train/train", parameters=parameters, timeout=0, as_subflow=False
    )
    return UUID(str(flow_run.id))


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


if __name__ == "__main__":
    sys.exit(main())
