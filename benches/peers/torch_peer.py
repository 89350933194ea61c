"""PyTorch on one thread: eager, or where `compile` follows the case, compiled by Inductor.

Eager is forward, and backward by autograd; the leaves stay, their gradients are made anew.

Compiled is one function that returns the value and the gradients: Inductor makes one loop of it, which reads the inputs once and
keeps nothing in between. To compile the loss alone, and leave its backward to AOTAutograd, takes 1.3 to 2.5 times as long for 4
million elements and more than 4 times for 16,384, since it is two calls of compiled code, each with its checks. A function that
calls `torch.autograd.grad`, which Dynamo takes only where `trace_autograd_ops` is set, takes 1.1 to 1.6 times as long.
"""

import math
import sys

import torch
import torch.nn.functional as F
from torchvision.ops import (
    complete_box_iou_loss,
    distance_box_iou_loss,
    generalized_box_iou_loss,
    sigmoid_focal_loss,
)

from common import read_case, report


def dice(x, t):
    """As MONAI's DiceLoss has it, with sigmoid=True."""
    p = torch.sigmoid(x)
    both = p.sum(2) + t.sum(2)
    return (1 - (2 * (p * t).sum(2) + 1e-5) / (both + 1e-5)).mean()


def asymmetric(x, t):
    p = torch.sigmoid(x)
    r = F.relu(p - 0.05)
    return -(t * (1 - p) * F.logsigmoid(x) + (1 - t) * r**4 * torch.log1p(-r)).mean()


def log_cosh(x, t):
    d = x - t
    return (d + F.softplus(-2 * d) - math.log(2)).mean()


def quantile(x, t, q=0.5):
    e = t - x
    return (torch.where(e > 0, q, q - 1) * e).mean()


def expectile(x, t, tau=0.5):
    e = t - x
    return (torch.where(e > 0, tau, 1 - tau) * e**2).mean()


def wing(x, t, width=10, curvature=2):
    d = (x - t).abs()
    line = d - width + width * math.log1p(width / curvature)
    return torch.where(d < width, width * torch.log1p(d / curvature), line).mean()


EPS = 1e-7


def of_boxes(loss):
    """The mean of a loss of two boxes, each of which is the columns of its corners."""
    return lambda x, t: loss(x.unbind(1), t.unbind(1)).mean()


def miss(box, other):
    """1 − the intersection over the union, and the union."""
    (x1, y1, x2, y2), (u1, v1, u2, v2) = box, other
    inner = F.relu(torch.min(x2, u2) - torch.max(x1, u1)) * F.relu(torch.min(y2, v2) - torch.max(y1, v1))
    union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - inner
    return 1 - inner / (union + EPS), union


def hull(box, other):
    """Width and height of the smallest box around both."""
    (x1, y1, x2, y2), (u1, v1, u2, v2) = box, other
    return torch.max(x2, u2) - torch.min(x1, u1), torch.max(y2, v2) - torch.min(y1, v1)


def iou(box, other):
    return miss(box, other)[0]


def giou(box, other):
    (missed, union), (width, height) = miss(box, other), hull(box, other)
    area = width * height
    return missed + (area - union) / (area + EPS)


def diou(box, other):
    (x1, y1, x2, y2), (u1, v1, u2, v2) = box, other
    width, height = hull(box, other)
    apart = ((x1 + x2 - u1 - u2) ** 2 + (y1 + y2 - v1 - v2) ** 2) / 4
    return iou(box, other) + apart / (width**2 + height**2 + EPS)


def ciou(box, other):
    (x1, y1, x2, y2), (u1, v1, u2, v2) = box, other
    turn = torch.atan((u2 - u1) / (v2 - v1)) - torch.atan((x2 - x1) / (y2 - y1))
    v = 4 / math.pi**2 * turn**2
    alpha = (v / (iou(box, other) + v + EPS)).detach()
    return diou(box, other) + alpha * v


READY = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "smoothL1": F.smooth_l1_loss,
    "huber": F.huber_loss,
    "bce": F.binary_cross_entropy,
    "bceWithLogits": F.binary_cross_entropy_with_logits,
    "sigmoidFocal": lambda x, t: sigmoid_focal_loss(x, t, alpha=0.25, gamma=2, reduction="mean"),
    "crossEntropy": F.cross_entropy,
    "nll": F.nll_loss,
    "klDiv": F.kl_div,
    "softMargin": F.soft_margin_loss,
    "hingeEmbedding": F.hinge_embedding_loss,
    "marginRanking": F.margin_ranking_loss,
    "poissonNll": F.poisson_nll_loss,
    "gaussianNll": F.gaussian_nll_loss,
    "tripletMargin": F.triplet_margin_loss,
    "giou": lambda x, t: generalized_box_iou_loss(x, t, reduction="mean"),
    "diou": lambda x, t: distance_box_iou_loss(x, t, reduction="mean"),
    "ciou": lambda x, t: complete_box_iou_loss(x, t, reduction="mean"),
}
COMPOSED = {
    "dice": dice,
    "hinge": lambda x, t: F.relu(1 - t * x).mean(),
    "squaredHinge": lambda x, t: (F.relu(1 - t * x) ** 2).mean(),
    "laplaceNll": lambda x, t, s: (torch.log(s) + (x - t).abs() / s).mean(),
    "studentTNll": lambda x, t, s: (torch.log(s) + 2 * torch.log1p(((x - t) / s) ** 2 / 3)).mean(),
    "gammaNll": lambda x, t: (x + t * torch.exp(-x)).mean(),
    "tweedie": lambda x, t: (2 * t * torch.exp(-x / 2) + 2 * torch.exp(x / 2)).mean(),
    "logCosh": log_cosh,
    "quantile": quantile,
    "expectile": expectile,
    "msle": lambda x, t: F.mse_loss(torch.log1p(x), torch.log1p(t)),
    "mape": lambda x, t: (100 * (x - t).abs() / t.abs().clamp(min=EPS)).mean(),
    "smape": lambda x, t: (200 * (x - t).abs() / (x.abs() + t.abs()).clamp(min=EPS)).mean(),
    "charbonnier": lambda x, t: torch.sqrt((x - t) ** 2 + 1e-6).mean(),
    "robust": lambda x, t: (torch.sqrt((x - t) ** 2 + 1) - 1).mean(),
    "wing": wing,
    "asymmetric": asymmetric,
    "iou": of_boxes(iou),
}
# The ready ones of these look at the numbers to go on, which breaks the function that is compiled into parts.
UNBROKEN = {
    "gaussianNll": lambda x, t, v: (0.5 * (torch.log(v) + (x - t) ** 2 / v)).mean(),
    "giou": of_boxes(giou),
    "diou": of_boxes(diou),
    "ciou": of_boxes(ciou),
}


def eager(loss, tensors, by):
    leaves = [tensors[k].requires_grad_() for k in by]

    def call():
        for leaf in leaves:
            leaf.grad = None
        value = loss(*tensors)
        value.backward()
        return [leaf.grad for leaf in leaves], value

    return call


def compiled(loss, tensors, by):
    # Of this shape alone, as most training has it; a function that is not compiled as a whole is an error.
    step = torch.compile(torch.func.grad_and_value(loss, tuple(by)), fullgraph=True, dynamic=False)
    return lambda: step(*tensors)


torch.set_num_threads(1)
is_compiled = sys.argv[2:] == ["compile"]
if is_compiled:
    # Raises where there is none.
    from torch._inductor.cpp_builder import get_cpp_compiler

    get_cpp_compiler()
    READY = {name: loss for name, loss in READY.items() if name not in UNBROKEN}
    COMPOSED |= UNBROKEN
case, loss, arrays, by = read_case({"PyTorch": "torch", "torchvision": "torchvision"}, READY, COMPOSED)
tensors = [
    torch.from_numpy(array).long() if one["labels"] else torch.from_numpy(array)
    for array, one in zip(arrays, case["inputs"])
]
call = (compiled if is_compiled else eager)(loss, tensors, by)
report(case, call, lambda result: (result[1].item(), [grad.numpy() for grad in result[0]]))
