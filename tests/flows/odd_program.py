"""A training program with one fault: `python odd_program.py FAULT`. It logs as the contract says."""

import json
import os
import sys
import time
from urllib.request import Request, urlopen


def log(step: int, value: float | str, *, late_ms: int = 0) -> None:
    body = {
        "run_id": os.environ["MLFLOW_RUN_ID"],
        "metrics": [
            {
                "key": "val_accuracy",
                "value": value,
                "timestamp": int(time.time() * 1000) + late_ms,
                "step": step,
            }
        ],
    }
    url = f"{os.environ['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/runs/log-batch"
    headers = {"Content-Type": "application/json"}
    with urlopen(Request(url, json.dumps(body).encode(), headers)) as answer:  # noqa: S310
        answer.read()


def main() -> None:
    match sys.argv[1]:
        case "crashes":
            sys.exit("no such data set")
        case "logs-nothing":
            pass
        case "not-a-number":
            for step in (1, 2, 3):
                log(step, "NaN", late_ms=step)
        case "out-of-order":
            for late_ms, step in enumerate((2, 3, 1)):
                log(step, 0.5, late_ms=late_ms)
        case fault:
            sys.exit(f"no such fault: {fault}")


if __name__ == "__main__":
    main()
