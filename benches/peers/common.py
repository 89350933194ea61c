"""What the Python peers share: a case from the command line, its data, the loop that is timed, what is printed."""

import json
import sys
import time

import numpy as np

# In seconds, as in case.ts.
WARM_UP = 0.1
BATCH = 0.0002
SAMPLES = 5


def read_case():
    """The case, its input in its shape, and its target: labels or of the same shape."""
    case = json.loads(sys.argv[1])
    x = np.fromfile(case["input"], "<f4").reshape(case["shape"])
    t = np.fromfile(case["target"], "<i4" if case["labels"] else "<f4")
    return case, x, t if case["labels"] else t.reshape(case["shape"])


def report(case, call, numbers):
    """Times `call` and prints it; `numbers` makes the value and the gradient, as an array, of its result."""
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
    value, grad = numbers(result)
    median = float(np.median(samples))
    print(
        json.dumps(
            {
                "summary": [float(value), float(np.linalg.norm(np.asarray(grad, np.float64).ravel()))],
                "nsPerCall": median,
                "spread": float(np.median(np.abs(np.array(samples) - median))) / median,
                "min": min(samples),
                "max": max(samples),
                "samples": len(samples),
            }
        )
    )
