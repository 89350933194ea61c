#!/bin/sh
# Makes the Python environment of `npm run bench:peers`, with some gigabytes: the wheels of PyTorch that pip finds by
# itself on x86 bring CUDA, which is never used. Arguments go to `pip install`, for example --index-url for an index of
# wheels without it. PYTHON names an interpreter other than python3.
set -eu
cd "$(dirname "$0")"
"${PYTHON:-python3}" -m venv .venv
.venv/bin/pip install --disable-pip-version-check "$@" -r requirements.txt
.venv/bin/python -c '
import jax, optax, torch, torchvision
print(*(f"{module.__name__} {module.__version__}" for module in (torch, torchvision, jax, optax)), sep=", ")'
