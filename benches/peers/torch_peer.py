"""PyTorch, eager: forward, and backward by autograd, on one thread. The leaf stays, its gradient is made anew."""

import torch
import torch.nn.functional as F
from torchvision.ops import sigmoid_focal_loss

from common import read_case, report


def dice(x, t):
    """As MONAI's DiceLoss has it, with sigmoid=True."""
    p = torch.sigmoid(x)
    both = p.sum(2) + t.sum(2)
    return (1 - (2 * (p * t).sum(2) + 1e-5) / (both + 1e-5)).mean()


LOSSES = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "smoothL1": F.smooth_l1_loss,
    "huber": F.huber_loss,
    "bceWithLogits": F.binary_cross_entropy_with_logits,
    "sigmoidFocal": lambda x, t: sigmoid_focal_loss(x, t, alpha=0.25, gamma=2, reduction="mean"),
    "dice": dice,
    "crossEntropy": F.cross_entropy,
    "nll": F.nll_loss,
    "klDiv": F.kl_div,
}

torch.set_num_threads(1)
case, x, t = read_case()
loss = LOSSES[case["loss"]]
x = torch.from_numpy(x).requires_grad_()
t = torch.from_numpy(t)
if case["labels"]:
    t = t.long()


def call():
    x.grad = None
    value = loss(x, t)
    value.backward()
    return value


report(case, call, lambda value: (value.item(), x.grad.numpy()))
