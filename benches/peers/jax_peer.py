"""JAX: value and gradient compiled together by XLA, on one thread. The gradient is a new array with each call."""

import os

# XLA makes a thread for each core that it may use, whatever its flags say: it gets one.
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import optax

from common import read_case, report


def dice(x, t):
    p = jax.nn.sigmoid(x)
    both = p.sum(2) + t.sum(2)
    return (1 - (2 * (p * t).sum(2) + 1e-5) / (both + 1e-5)).mean()


LOSSES = {
    "mse": lambda x, t: optax.squared_error(x, t).mean(),
    "l1": lambda x, t: jnp.abs(x - t).mean(),
    # With β = δ = 1 these are the same.
    "smoothL1": lambda x, t: optax.huber_loss(x, t, delta=1).mean(),
    "huber": lambda x, t: optax.huber_loss(x, t, delta=1).mean(),
    "bceWithLogits": lambda x, t: optax.sigmoid_binary_cross_entropy(x, t).mean(),
    "sigmoidFocal": lambda x, t: optax.sigmoid_focal_loss(x, t, alpha=0.25, gamma=2).mean(),
    "dice": dice,
    "crossEntropy": lambda x, t: optax.softmax_cross_entropy_with_integer_labels(x, t).mean(),
    "nll": lambda x, t: -jnp.take_along_axis(x, t[:, None], 1).mean(),
    "klDiv": lambda x, t: optax.kl_divergence(x, t).sum() / x.size,
}

case, x, t = read_case()
x, t = jnp.asarray(x), jnp.asarray(t)
step = jax.jit(jax.value_and_grad(LOSSES[case["loss"]]))
report(case, lambda: jax.block_until_ready(step(x, t)), lambda result: result)
