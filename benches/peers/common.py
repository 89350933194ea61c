"""What the Python peers share: how they introduce themselves, a case, its data, the loop that is timed, what is printed."""

import json
import platform
import sys
import time
from importlib.metadata import version

import numpy as np

# In seconds, as in case.ts.
WARM_UP = 0.1
BATCH = 0.0002
SAMPLES = 5


def read_case(libraries, ready, composed):
    """The case, the loss, its arrays, and the numbers of those by which it has a gradient.

    `ready` are the losses that the libraries have, `composed` those made of what they have. Where the command line asks for
    `losses` in place of a case, they are printed, and nothing else is done.
    """
    if sys.argv[1] == "losses":
        versions = {"Python": platform.python_version(), **{name: version(package) for name, package in libraries.items()}}
        print(json.dumps({"versions": versions, "losses": [*ready, *composed], "composed": [*composed]}))
        sys.exit()
    case = json.loads(sys.argv[1])
    arrays = [
        np.fromfile(one["file"], "<i4" if one["labels"] else "<f4").reshape(one["shape"]) for one in case["inputs"]
    ]
    by = [k for k, one in enumerate(case["inputs"]) if "gradName" in one]
    return case, {**ready, **composed}[case["loss"]], arrays, by


def report(case, call, numbers):
    """Times `call` and prints it; `numbers` makes the value and the gradients, a list of arrays, of its result."""
    start = time.perf_counter()
    result = call()
    first = time.perf_counter() - start
    calls = 0
    start = time.perf_counter()
    while calls == 0 or time.perf_counter() < start + WARM_UP:
        result = call()
        calls += 1
    batch = max(1, round(calls * BATCH / (time.perf_counter() - start)))
    samples = []
    end = time.perf_counter() + case["seconds"]
    while len(samples) < SAMPLES or time.perf_counter() < end:
        before = time.perf_counter_ns()
        for _ in range(batch):
            result = call()
        samples.append((time.perf_counter_ns() - before) / batch)
    value, grads = numbers(result)
    median = float(np.median(samples))
    print(
        json.dumps(
            {
                "summary": [float(value), float(sum(np.sum(np.asarray(grad, np.float64) ** 2) for grad in grads) ** 0.5)],
                "nsPerCall": median,
                "spread": float(np.median(np.abs(np.array(samples) - median))) / median,
                "min": min(samples),
                "max": max(samples),
                "samples": len(samples),
                "firstSeconds": first,
            }
        )
    )
