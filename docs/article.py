"""Writes __test__/fixtures/article.json: what the snippets of article.md give in PyTorch.

    pip install torch
    python docs/article.py

The snippets are taken from the page and run as they stand, one after another, in float64. Each leaves its result in
`loss`; what gets a gradient is the first of its inputs. All inputs are numbers that float32 has too. The order is that
of the page, in which each snippet is followed by its call of fused-loss.
"""

import json
import re
from pathlib import Path

import torch
from torch import nn

HERE = Path(__file__).parent
SNIPPET = re.compile(r'```python\n(.*?)```', re.DOTALL)

torch.set_default_dtype(torch.float64)

LOGITS = torch.tensor([[2, 1, -1], [0.5, 2.5, 0.25]])
LABELS = torch.tensor([0, 2])
IMAGES = torch.tensor([3, 1, -2, -1, 0.5, -4, -3, 2]).reshape(2, 1, 2, 2)
MASK = torch.tensor([1.0, 1, 0, 0, 0, 0, 0, 1]).reshape(2, 1, 2, 2)

# Per section the inputs of each of its snippets, and what else than the loss and its gradient is looked at.
SECTIONS = {
    'Binary cross-entropy after a sigmoid': [
        {'logits': torch.tensor([2, -1, 0.5, -3]), 'target': torch.tensor([1.0, 0, 0, 1])},
        {'probabilities': torch.tensor([0.875, 0.25, 0.625, 0.0625]), 'target': torch.tensor([1.0, 0, 0, 1])},
    ],
    'Cross-entropy': [{'logits': LOGITS, 'labels': LABELS}],
    'Weighted cross-entropy': [
        {
            'logits': torch.tensor([[2, 1, -1], [0.5, 2.5, 0.25], [1, 0, 0], [3, -0.5, 1]]),
            'labels': torch.tensor([0, 2, 0, 1]),
        }
    ],
    'Softmax with temperature': [{'logits': LOGITS, 'labels': LABELS}],
    'Mean squared error': [
        {'prediction': torch.tensor([2.5, 0, 2, 8]), 'target': torch.tensor([3, -0.5, 2, 7])},
    ],
    'Soft Dice': [{'logits': IMAGES, 'mask': MASK}],
    'Focal loss': [
        {
            'logits': torch.tensor([[0.5, 1.5], [2, -1], [1, 0], [-0.5, 0.25]]),
            'labels': torch.tensor([1, 0, 1, 0]),
        }
    ],
    'BCE + Dice': [{'logits': IMAGES, 'mask': MASK}],
    'Focal + Dice': [{'logits': IMAGES, 'mask': MASK}],
}
# Names of a snippet that the call has too.
SHARED = {'Weighted cross-entropy': ['weight'], 'BCE + Dice': ['bce', 'dice'], 'Focal + Dice': ['focal', 'dice']}


def numbers(values):
    return values.item() if values.dim() == 0 else values.flatten().tolist()


def entry(section, snippet, inputs, names):
    first, *rest = inputs
    input = inputs[first].clone().requires_grad_()
    names.update({first: input, **{name: inputs[name] for name in rest}})
    exec(snippet, names)
    names['loss'].backward()
    expected = {'value': numbers(names['loss']), 'grad': numbers(input.grad)}
    shared = {name: numbers(names[name]) for name in SHARED.get(section, [])}
    if 'weight' in shared:
        expected |= shared
    elif shared:
        expected['parts'] = shared
    return {'section': section, 'python': snippet, 'expected': expected}


def single_precision(names):
    """What the page says about these snippets in float32."""

    def result(snippet, values, target):
        input = torch.tensor(values, dtype=torch.float32, requires_grad=True)
        names.update({'logits': input, 'target': target.float(), 'labels': target})
        exec(snippet, names)
        names['loss'].backward()
        return names['loss'].item(), input.grad

    loss, grad = result('loss = nn.BCELoss()(torch.sigmoid(logits), target)', [17.0], torch.tensor([0]))
    assert loss == 100 and grad == 0
    loss, grad = result('loss = FocalLoss()(logits, labels)', [[0.0, 17]], torch.tensor([1]))
    assert loss != loss and grad.isnan().all()


def main():
    page = (HERE / 'article.md').read_text()
    names = {'torch': torch, 'nn': nn}
    entries = []
    for text in re.split(r'^## ', page, flags=re.MULTILINE)[1:]:
        section = text.partition('\n')[0]
        snippets = SNIPPET.findall(text)
        inputs = SECTIONS.pop(section, [])
        assert len(snippets) == len(inputs), section
        entries += [entry(section, *pair, names) for pair in zip(snippets, inputs)]
    assert not SECTIONS, f'not on the page: {", ".join(SECTIONS)}'
    single_precision(names)

    lines = ',\n'.join(json.dumps(row, ensure_ascii=False, allow_nan=False) for row in entries)
    version = torch.__version__.split('+')[0]
    text = f'{{"torch":"{version}",\n"entries":[\n{lines}\n]}}\n'
    (HERE.parent / '__test__' / 'fixtures' / 'article.json').write_text(text)
    for row in entries:
        print(row['section'], {key: value for key, value in row['expected'].items() if key != 'grad'})


main()
