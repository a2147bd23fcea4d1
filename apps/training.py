"""What `lowtide train` does: checks the job, starts or finds its run, watches it, answers."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from apps import stack
from apps.answers import EXIT_BY_STATE, run_document
from apps.books import check_job, open_ledger
from apps.files import read_job
from apps.output import EXIT_DONE, EXIT_FAILED, emit, notice
from apps.watch import Watch
from apps.yes_no import said_yes
from blocks.ledger import Books
from blocks.owner import is_dead
from blocks.settings import Settings
from lowtide.ask import TrainAsk
from lowtide.errors import LowtideError, UnavailableError
from lowtide.identity import run_id
from lowtide.ledger.records import RunRow, RunState
from lowtide.money import show_usd
from tasks.stop import ask_stop

_DEPLOYMENT = "train/train"


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One call of `lowtide train`, its job checked.

    Attributes:
        settings: Where everything is.
        ledger: The books.
        ask: What was asked for; its key is always set.
    """

    settings: Settings
    ledger: Books
    ask: TrainAsk

    @property
    def run(self) -> str:
        """Id of the run that is meant."""
        return run_id(self.ask.key or "")

    @classmethod
    def asked(
        cls, named: str | None, *, changes: Sequence[str], key: str | None, new: bool
    ) -> "Training":
        """Check what was asked, and find the run that it means; nothing is started yet.

        Args:
            named: A job file or a job's name; None: the default job.
            changes: `--set` pairs.
            key: The caller's key.
            new: Whether an unfinished run of the same job is to be left alone.

        Raises:
            BadInputError: the job cannot be used.
        """
        settings = Settings()
        job = read_job(named, changes=changes, settings=settings)
        ledger = open_ledger(settings)
        check_job(job, settings=settings, ledger=ledger)
        if key is None and not new:
            unfinished = ledger.unfinished_run(name=job.name, spec_hash=job.spec_hash)
            key = None if unfinished is None else unfinished.key
        ask = TrainAsk(job=job, key=key or str(uuid4()), new=new)
        return cls(settings=settings, ledger=ledger, ask=ask)

    def wait(self, *, as_json: bool) -> int:
        """Run the flow in a process of its own, and show it until the run has ended."""
        owner = self._live_owner()
        if owner is not None:
            notice(f"run {self.run} is already under way; showing it (owner {owner})")
            return self._show(alive=lambda: False, as_json=as_json, log=None)
        log = self.settings.home / "logs" / f"{self.run}.log"
        process = self._start(log)
        notice(f"run {self.run} of {self.ask.job.name}; the flow's log is {log}")
        return self._show(alive=lambda: process.poll() is None, as_json=as_json, log=log)

    def hand_over(self) -> dict[str, Any]:
        """Let the worker run the flow, and return at once.

        Returns:
            The beginning of a `train` document: the run, the flow run, the state "submitted".

        Raises:
            UnavailableError: Prefect or MLflow is not running.
        """
        from prefect.deployments import run_deployment  # needs the API's address

        self._use_stack()
        flow_run: Any = run_deployment(
            _DEPLOYMENT,
            parameters={"ask": self.ask.model_dump(mode="json")},
            timeout=0,
            as_subflow=False,
            idempotency_key=f"{self.run}:{self._attempt()}",
            work_queue_name=self.ask.job.priority.value,
        )
        return {"run": self.run, "flow_run_id": str(flow_run.id), "state": "submitted"}

    def _attempt(self) -> int:
        """Return how often the run was taken over when this request is first made.

        Asking again about a run that somebody works on is the same request; about one that was
        left alone it is a new one, which adopts it.
        """
        row = self.ledger.run(self.run)
        if row is None:
            return 0
        return row.fencing - 1 if self._live_owner() is not None else row.fencing

    def _live_owner(self) -> str | None:
        row = self.ledger.run(self.run)
        owner = None if row is None else row.live_owner(now=datetime.now(UTC))
        return None if owner is None or is_dead(owner) else owner

    def _use_stack(self) -> None:
        address = self.settings.prefect_address
        if address is None or self.settings.tracking_address is None:
            msg = "Prefect and MLflow are not running"
            raise UnavailableError(msg, where="train", remedy="run `lowtide up` first")
        for name, value in stack.environment(self.settings, stack.running(self.settings)).items():
            os.environ.setdefault(name, value)
        os.environ.setdefault("PREFECT_API_URL", address)

    def _start(self, log: Path) -> subprocess.Popen[bytes]:
        self._use_stack()
        log.parent.mkdir(parents=True, exist_ok=True)
        ask = log.with_suffix(".ask.json")
        ask.write_text(self.ask.model_dump_json(), encoding="utf-8")
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", "apps.train_process", str(ask)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return stack.detach(process)

    def _show(self, *, alive: Callable[[], bool], as_json: bool, log: Path | None) -> int:
        watch = Watch(ledger=self.ledger, run=self.run, alive=alive)
        while True:
            try:
                row = watch.to_the_end()
            except KeyboardInterrupt:
                if not (sys.stdin.isatty() and said_yes("\nStop the training too?")):
                    notice(f"it goes on.  look: lowtide jobs show {self.run}")
                    notice(f"              stop: lowtide jobs stop {self.run}")
                    return EXIT_DONE
                ask_stop(self.ledger, self.run, reason="Ctrl-C", now=datetime.now(UTC))
                notice("ending the training at its next checkpoint")
                continue
            return self._answer(row, as_json=as_json, log=log)

    def _answer(self, row: RunRow | None, *, as_json: bool, log: Path | None) -> int:
        if row is not None and row.state is RunState.DEFERRED:
            return self._deferred(row, as_json=as_json)
        if row is None or row.state.unfinished:
            where = f"read {log}" if log is not None else f"see `lowtide jobs show {self.run}`"
            msg = f"the flow ended and left run {self.run} unfinished"
            remedy = f"{where}; the same command again goes on with it"
            raise LowtideError(msg, where="train", remedy=remedy)
        document = run_document(self.ledger, row, settings=self.settings)
        code = EXIT_BY_STATE.get(row.state, EXIT_FAILED)
        if as_json:
            emit("train", document)
        else:
            _print(row, document)
        return code

    def _deferred(self, row: RunRow, *, as_json: bool) -> int:
        if as_json:
            emit("train", run_document(self.ledger, row, settings=self.settings))
        else:
            print(f"{row.run} deferred: {row.message}")
            print("a worker goes on with it then; its money stays held")
        return EXIT_DONE


def _print(row: RunRow, document: dict[str, Any]) -> None:
    print(f"{row.run} {row.state.value}: {row.message}")
    print(
        f"charged {show_usd(document['charged_usd'])}, "
        f"released {show_usd(document['released_usd'])}"
    )
    for name, label in (
        ("report_path", "report"),
        ("mlflow_url", "MLflow"),
        ("flow_run_url", "flow"),
    ):
        if document[name] is not None:
            print(f"{label:8} {document[name]}")
