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


READY = {
    "mse": lambda x, t: optax.squared_error(x, t).mean(),
    # With β = δ = 1 these are the same.
    "smoothL1": lambda x, t: optax.huber_loss(x, t, delta=1).mean(),
    "huber": lambda x, t: optax.huber_loss(x, t, delta=1).mean(),
    "bceWithLogits": lambda x, t: optax.sigmoid_binary_cross_entropy(x, t).mean(),
    "sigmoidFocal": lambda x, t: optax.sigmoid_focal_loss(x, t, alpha=0.25, gamma=2).mean(),
    "crossEntropy": lambda x, t: optax.softmax_cross_entropy_with_integer_labels(x, t).mean(),
    "klDiv": lambda x, t: optax.kl_divergence(x, t).sum() / x.size,
    "hinge": lambda x, t: optax.hinge_loss(x, t).mean(),
    "logCosh": lambda x, t: optax.log_cosh(x, t).mean(),
}
COMPOSED = {
    "l1": lambda x, t: jnp.abs(x - t).mean(),
    "dice": dice,
    "nll": lambda x, t: -jnp.take_along_axis(x, t[:, None], 1).mean(),
}

case, loss, arrays, by = read_case({"JAX": "jax", "optax": "optax"}, READY, COMPOSED)
arrays = [jnp.asarray(array) for array in arrays]
step = jax.jit(jax.value_and_grad(loss, by))
report(case, lambda: jax.block_until_ready(step(*arrays)), lambda result: result)
