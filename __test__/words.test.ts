/** What a refused call says to do instead, and what is taken that other libraries write. On every backend. */

import test, { type ExecutionContext } from 'ava'
import { optionsOf } from '../ts/family/inside.js'
import * as library from '../ts/index.js'
import {
  bce,
  bceWithLogits,
  classWeights,
  combine,
  crossEntropy,
  dice,
  diceCe,
  diceFocal,
  distillation,
  generalizedDice,
  huber,
  klDiv,
  l1,
  mse,
  nll,
  sigmoidFocal,
  smoothL1,
  softmaxFocal,
} from '../ts/index.js'
import { everywhere, loose, refuses } from './everywhere.js'
import { lossesOf } from './losses.js'

const x = Float32Array.of(1, 2, 3, 4, 5, 6)
const real = Float32Array.of(0, 1, 0, 1, 0, 1)
const labels = Int32Array.of(0, 1)
/** All losses of planes that are no sums with another loss. */
const regions = lossesOf('region').map(({ loss }) => loss as unknown as typeof dice)

/** The call throws this, word for word. */
function says(
  t: ExecutionContext,
  message: string,
  loss: unknown,
  input: unknown,
  target: unknown,
  options: Record<string, unknown> = {},
): void {
  const escaped = message.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  refuses(t, Error, new RegExp(`^${escaped}$`), loose(loss), input, target, options)
}

/** The losses that have the option `labelSmoothing`. */
const smoothed = 'bce, bceWithLogits, bceDice, crossEntropy, softmaxFocal and diceCe'

test('the losses that a hint names have the option', (t) => {
  const having = (option: string) => {
    return Object.entries(library).flatMap(([name, loss]) => (optionsOf(loss)?.has(option) ? [name] : []))
  }
  t.deepEqual(having('labelSmoothing').sort(), smoothed.split(/, | and /).sort())
  t.deepEqual(having('posWeight').sort(), ['bceDice', 'bceWithLogits'])
  t.deepEqual(having('ceWeight'), ['diceCe'])
  t.deepEqual(having('focalWeight').sort(), ['diceFocal', 'focalDice'])
})

everywhere('a mask of another type', (t) => {
  const expected = 'an array of integers, a Float32Array or an array of booleans'
  const cases: [unknown, string][] = [
    [[1, 0, 1, 1, 0, 1], 'got an array of 6; write Uint8Array.from(mask)'],
    [[true, 0, 1, 1, 0, 1], 'got an array of 6; write Uint8Array.from(mask)'],
    [
      [
        [1, 0, 1],
        [1, 0, 1],
      ],
      'got an array of 2; write Uint8Array.from(mask.flat(Infinity))',
    ],
    [{ data: [1, 0, 1, 1, 0, 1], shape: [6] }, 'got an array of 6; write Uint8Array.from(mask.data)'],
    [new Float64Array(6), 'got Float64Array(6); write Float32Array.from(mask)'],
    [new Set([1]), 'got a Set'],
    ['101101', 'got "101101"'],
  ]
  for (const [mask, got] of cases) {
    for (const loss of [mse, crossEntropy, dice]) {
      const target = loss === crossEntropy ? labels : real
      says(t, `${loss.name}: mask must be ${expected}, ${got}`, loss, x, target, { mask })
    }
  }
  // What is written then is taken.
  const mask = [1, 0, 1, 1, 0, 1]
  t.is(mse(x, real, { mask: Uint8Array.from(mask) }), mse(x, real, { mask: mask.map(Boolean) }))
})

everywhere('a mask that does not fit', (t) => {
  const scores = new Float32Array(48)
  const shape = [2, 4, 2, 3]
  const shapes = 'for the input [2,4,2,3] its shape is [2,2,3], [2,2] or [2]'
  const count = 'mask must be an array of 12, one per position, or of 2, one per sample'
  const refused = (message: string) => ({ instanceOf: RangeError, message })
  for (const loss of [crossEntropy, softmaxFocal, dice, diceCe]) {
    const { name } = loss
    const call = (mask: unknown) => () => loose(loss)(scores, new Int32Array(12), { shape, mask })
    t.throws(call(new Uint8Array(5)), refused(`${name}: ${count}, got Uint8Array(5); ${shapes}`))
    t.throws(
      call(new Uint8Array(48)),
      refused(`${name}: ${count}, got Uint8Array(48); ${shapes}, since a mask has no class axis`),
    )
    const tensor = { data: new Uint8Array(12), shape: [2, 3, 2] }
    t.throws(
      call(tensor),
      refused(`${name}: shape of mask must be [2,2,3], [2,2] or [2], for the input [2,4,2,3], got [2,3,2]`),
    )
    for (const length of [12, 4, 2]) t.notThrows(call(new Uint8Array(length).fill(1)))
    const cut = { data: new Uint8Array(2), shape: [2, 2] }
    t.throws(call(cut), refused(`${name}: mask.data must be as long as its shape [2,2] says, got Uint8Array(2)`))
  }
  t.throws(() => mse(x, real, { mask: new Uint8Array(4), shape: [2, 3] }), {
    message:
      'mse: mask must be an array of 6, one per position, or of 2, one per sample, got Uint8Array(4); ' +
      'for the input [2,3] its shape is [2,3] or [2]',
  })
  says(t, 'mse: mask must be an array of 6, one per position, got Uint8Array(4)', mse, x, real, {
    mask: new Uint8Array(4),
  })
})

everywhere('an option of another name', (t) => {
  const cases: [unknown, string, string][] = [
    // Misspelt.
    [mse, 'reducton', 'did you mean reduction?'],
    [mse, 'wieght', 'did you mean weight?'],
    [mse, 'weightts', 'did you mean weight?'],
    [crossEntropy, 'labelsmoothing', 'did you mean labelSmoothing?'],
    [dice, 'smoothNR', 'did you mean smoothNr?'],
    // PyTorch's.
    [crossEntropy, 'ignore_index', 'did you mean ignoreIndex?'],
    [crossEntropy, 'label_smoothing', 'did you mean labelSmoothing?'],
    [bceWithLogits, 'pos_weight', 'did you mean posWeight?'],
    [klDiv, 'log_target', 'did you mean logTarget?'],
    [mse, 'size_average', "did you mean reduction: 'mean' or, for size_average: false, 'sum'?"],
    [mse, 'reduce', "did you mean reduction: 'none', for reduce: false?"],
    [nll, 'label_smoothing', `${smoothed} have labelSmoothing`],
    [dice, 'labelSmoothing', `${smoothed} have labelSmoothing`],
    [bce, 'pos_weight', 'for posWeight use bceWithLogits or bceDice'],
    [crossEntropy, 'dim', 'did you mean classAxis?'],
    [huber, 'beta', 'did you mean delta?'],
    [smoothL1, 'delta', 'did you mean beta?'],
    // Keras'.
    [bce, 'from_logits', 'for logits use bceWithLogits or crossEntropy'],
    [bce, 'fromLogits', 'for logits use bceWithLogits or crossEntropy'],
    [dice, 'from_logits', "for logits give activation: 'sigmoid' or 'softmax'"],
    [crossEntropy, 'axis', 'did you mean classAxis?'],
    [crossEntropy, 'ignore_class', 'did you mean ignoreIndex?'],
    [crossEntropy, 'class_weight', 'did you mean weight?'],
    [crossEntropy, 'sample_weight', 'did you mean sampleWeight?'],
    // MONAI's.
    [dice, 'smooth', 'did you mean smoothNr and smoothDr?'],
    [dice, 'smooth_nr', 'did you mean smoothNr?'],
    [dice, 'sigmoid', "did you mean activation: 'sigmoid'?"],
    [dice, 'softmax', "did you mean activation: 'softmax'?"],
    [dice, 'to_onehot_y', 'it is not needed, since class indices are taken as they are'],
    [dice, 'include_background', 'did you mean includeBackground?'],
    [dice, 'squared_pred', 'did you mean squaredPred?'],
    [dice, 'jaccard', 'use the loss jaccard'],
    [generalizedDice, 'w_type', 'did you mean weightType?'],
    [diceCe, 'lambda_ce', 'did you mean ceWeight?'],
    [diceCe, 'lambda_dice', 'did you mean diceWeight?'],
    [dice, 'lambda_dice', 'for a sum of losses use diceCe, diceFocal or bceDice, or combine'],
    [crossEntropy, 'lambda_ce', 'for a sum of losses use diceCe, or combine'],
    // Of classes there, and nearly the name of the factor of a part here.
    [diceCe, 'ce_weight', 'did you mean weight, of one per class, or ceWeight, the factor of the part?'],
    [diceFocal, 'focal_weight', 'did you mean weight, of one per class, or focalWeight, the factor of the part?'],
    [dice, 'ce_weight', 'did you mean weight, of one per class?'],
    [diceCe, 'to_onehot_y', 'it is not needed, since class indices are taken as they are'],
    [dice, 'soft_label', 'it is not needed, since a target of probabilities is taken as it is'],
    // Of distillation, and of the Trainer of transformers.
    [distillation, 'T', 'did you mean temperature?'],
    [crossEntropy, 'num_items_in_batch', 'did you mean normalizer?'],
    [crossEntropy, 'num_classes', 'classes are read from shape: [N, C, …]'],
  ]
  for (const [loss, option, guess] of cases) {
    const { name } = loose(loss) as unknown as { name: string }
    const error = {
      instanceOf: TypeError,
      message: (message: string) =>
        message.startsWith(`${name}: there is no option ${option}; there are `) && message.endsWith(`; ${guess}`),
    }
    t.throws(() => loose(loss).valueAndGrad(x, real, { [option]: 1 }), error, `${name} ${option}`)
    t.throws(() => loose(loss).with({ [option]: 1 }), error)
  }
  // Where nothing is near, nothing is guessed; names that every object has are none.
  for (const option of ['colour', 'sigmoid', 'smooth', 'toString', 'constructor']) {
    t.throws(() => loose(mse)(x, real, { [option]: 1 }), { message: /there are [^;]*$/ }, option)
  }
  t.throws(() => loose(classWeights)(labels, 2, { ignore_index: 1 }), {
    message:
      'classWeights: there is no option ignore_index; there are method, beta, ignoreIndex; did you mean ignoreIndex?',
  })
})

everywhere('options that are none', (t) => {
  const call = (loss: unknown, options: unknown) => () => loose(loss).valueAndGrad(x, real, options)
  const refused = (message: string) => ({ instanceOf: TypeError, message })
  t.throws(call(mse, [1, 2]), refused('mse: options must be a plain object, got an array of 2; weights are { weight }'))
  t.throws(call(mse, []), refused('mse: options must be a plain object, got an array of 0; weights are { weight }'))
  t.throws(call(mse, x), refused('mse: options must be a plain object, got Float32Array(6); weights are { weight }'))
  t.throws(call(distillation, [1]), refused('distillation: options must be a plain object, got an array of 1'))
  t.throws(
    call(mse, 'sum'),
    refused(`mse: options must be a plain object, got "sum"; a reduction is { reduction: 'sum' }`),
  )
  t.throws(() => loose(mse).with([1]), { message: /weights are \{ weight \}$/ })
  t.throws(() => loose(classWeights)(labels, 2, [1]), { message: /^classWeights: options must be a plain object/ })
})

everywhere('inputs and targets of other libraries', (t) => {
  // As tfjs has them: data() is a promise of an array.
  const tfjs = { shape: [2, 3], dtype: 'float32', data: async () => x, strides: [3] }
  const later = 'must have its data at hand, got a function; pass { data: await t.data(), shape: t.shape }'
  says(t, `mse: input ${later}`, mse, tfjs, real)
  says(t, `crossEntropy: input ${later}`, crossEntropy, tfjs, labels)
  says(t, `dice: input ${later}`, dice, tfjs, real)
  for (const loss of [mse, crossEntropy, bceWithLogits, dice, nll]) {
    says(t, `${loss.name}: target ${later}`, loss, x, tfjs)
  }
  t.throws(() => loose(classWeights)(tfjs, 2), { message: `classWeights: labels ${later}` })
  t.throws(() => loose(mse)(Promise.resolve(x), real), {
    message: 'mse: input must be a Float32Array, got a Promise, which must be awaited',
  })
  says(t, 'mse: input must be a Float32Array, got an object', mse, {}, real)
  says(t, 'mse: input must be a Float32Array, got an array of 2; convert it with Float32Array.from', mse, [1, 2], real)
  says(
    t,
    'mse: input must be a Float32Array, got Float64Array(6); convert it with Float32Array.from',
    mse,
    Float64Array.from(x),
    real,
  )
  t.throws(() => loose(mse)([[1, 2]], real), {
    message: /an array of 1; convert it with Float32Array.from\(array.flat\(Infinity\)\) and give its shape$/,
  })
})

everywhere('labels of the wrong kind', (t) => {
  const floats = Float32Array.from(labels)
  const kinds = 'class indices in an Int32Array or another array of integers'
  const both = 'convert labels with Int32Array.from(labels), values with Float32Array.from'
  const one = 'convert labels with Int32Array.from(labels)'
  says(t, `nll: target must be ${kinds}, got an array of 2; ${one}`, nll, x, [0, 1])
  says(t, `nll: target must be ${kinds}, got Float32Array(2); ${one}`, nll, x, floats)
  says(t, `nll: target must be ${kinds}, got null`, nll, x, null)
  for (const loss of [crossEntropy, softmaxFocal]) {
    const { name } = loss
    says(t, `${name}: target must be a Float32Array, or ${kinds}, got an array of 2; ${both}`, loss, x, [0, 1])
    const way = 'class indices come in an Int32Array (Int32Array.from(labels)), distributions in the shape of the input'
    for (const options of [{}, { shape: [2, 3] }]) {
      says(
        t,
        `${name}: target must be a Float32Array of 6 elements, got Float32Array(2); ${way}`,
        loss,
        x,
        floats,
        options,
      )
    }
    const oneHot = Int32Array.of(0, 1, 0, 1, 0, 0)
    const hint = 'one-hot targets come in a Float32Array with shape: [N, C]; for labels of 0 and 1 use bceWithLogits'
    const range = 'must be a class index in [0, 1) or ignoreIndex (-100), got 1'
    says(t, `${name}: target[1] ${range}; ${hint}`, loss, x, oneHot)
    const count = 'target must have 2 elements, one per position of the input [2,3], got Int32Array(6)'
    says(t, `${name}: ${count}; one-hot targets come in a Float32Array`, loss, x, oneHot, { shape: [2, 3] })
  }
  for (const loss of [...regions, diceCe]) {
    const { name } = loss
    const mask = 'a Float32Array or Uint8Array of the shape of the input'
    says(t, `${name}: target must be ${mask}, or ${kinds}, got an array of 2; ${both}`, loss, x, [0, 1])
    const shape = 'class indices need shape: [N, C, …]'
    says(t, `${name}: target must be an array of 6 elements, got Int32Array(2); ${shape}`, loss, x, labels)
    t.throws(() => loose(loss)(x, new Int32Array(4)), {
      message: `${name}: target must be an array of 6 elements, got Int32Array(4); ${shape}`,
    })
    const float = 'class indices come in an Int32Array (Int32Array.from(labels)) and need shape: [N, C, …]'
    says(t, `${name}: target must be an array of 6 elements, got Float32Array(2); ${float}`, loss, x, floats)
  }
  const teacher = 'labels are the target of crossEntropy, see combine'
  says(t, `distillation: target must be a Float32Array, got Int32Array(2); ${teacher}`, distillation, x, labels, {
    shape: [2, 3],
  })
})

everywhere('labels that do not fit the shape', (t) => {
  // [B, T, V] as language models have it.
  const scores = new Float32Array(24)
  const shape = [2, 3, 4]
  const last = 'for classes last give classAxis: -1'
  for (const loss of [crossEntropy, nll, softmaxFocal]) {
    const { name } = loss
    const count = 'target must have 8 elements, one per position of the input [2,3,4], got '
    t.throws(() => loose(loss)(scores, new Int32Array(6), { shape }), {
      instanceOf: RangeError,
      message: `${name}: ${count}Int32Array(6); ${last}`,
    })
    t.notThrows(() => loose(loss)(scores, new Int32Array(6), { shape, classAxis: -1 }))
    t.throws(() => loose(loss)(scores, new Int32Array(7), { shape }), { message: `${name}: ${count}Int32Array(7)` })
    const tensor = { data: new Int32Array(8), shape: [4, 2] }
    const expected = 'shape of target must be [2,4], that of the input, [2,3,4], without its classes, got [4,2]'
    t.throws(() => loose(loss)(scores, tensor, { shape }), { instanceOf: RangeError, message: `${name}: ${expected}` })
  }
  t.throws(() => loose(dice)(scores, new Int32Array(6), { shape }), {
    message: `dice: target must be an array of 24, one per score, or of 8, one per position of the input [2,3,4], got Int32Array(6); ${last}`,
  })
  says(t, 'crossEntropy: classAxis must be 1 or -1, got 2; for the last axis give -1', crossEntropy, x, labels, {
    classAxis: 2,
  })
  says(t, 'dice: classAxis must be 1, -1 or null, got 3; for the last axis give -1', dice, x, real, { classAxis: 3 })
  for (const none of [-1, 255]) {
    const message = `target[1] must be a class index in [0, 3) or ignoreIndex (-100; to leave out ${none} give ignoreIndex: ${none}), got ${none}`
    says(t, `crossEntropy: ${message}`, crossEntropy, x, Int32Array.of(0, none))
    t.throws(() => loose(classWeights)(Int32Array.of(0, none), 3), {
      instanceOf: RangeError,
      message: `classWeights: ${message.replace('target', 'labels')}`,
    })
  }
})

everywhere('classWeights names its parameter', (t) => {
  const weights = loose(classWeights)
  for (const bad of [undefined, [0, 1], Float32Array.of(0, 1), { data: [0] }]) {
    t.throws(() => weights(bad, 2), { instanceOf: TypeError, message: /^classWeights: labels must be class indices/ })
  }
  t.throws(() => weights(BigInt64Array.of(0n, 2n ** 40n), 2), { message: /^classWeights: labels\[1\] must be/ })
  t.throws(() => weights({ data: labels, shape: [3] }, 2), { message: /^classWeights: labels.data must be as long/ })
  const gone = Int32Array.of(0, 1)
  structuredClone(gone.buffer, { transfer: [gone.buffer] })
  t.throws(() => weights(gone, 2), { message: /^classWeights: labels is detached/ })
})

everywhere('classWeights of classes without labels, and of one class', (t) => {
  // By hand: (3 − 2)/3, (3 − 1)/3, (3 − 0)/3; 3/(3·2), 3/(3·1), 3/(3·1); (1 − β)/(1 − β^n) for n = 2, 1, 1.
  const some = Int32Array.of(0, 0, 1)
  t.deepEqual(classWeights(some, 3), Float32Array.of(1 / 3, 2 / 3, 1))
  t.deepEqual(classWeights(some, 3, { method: 'balanced' }), Float32Array.of(0.5, 1, 1))
  t.deepEqual(classWeights(some, 3, { method: 'effective', beta: 0.5 }), Float32Array.of(0.5 / 0.75, 1, 1))
  const one = classWeights(Int32Array.of(0, 0), 2)
  t.deepEqual(one, Float32Array.of(0, 1))
  const { value, grad } = crossEntropy.valueAndGrad(Float32Array.of(1, 2, 3, 4), Int32Array.of(0, 0), { weight: one })
  t.is(value, Number.NaN)
  t.deepEqual(grad, new Float32Array(4))
})

everywhere('labels of every type of integers', (t) => {
  const expected = crossEntropy.valueAndGrad(x, labels)
  // Without an activation the input is probabilities.
  const p = x.map((x) => x / 8)
  const planes = dice.valueAndGrad(p, labels, { shape: [2, 3] })
  const ignored = crossEntropy.valueAndGrad(x, Int32Array.of(0, -1), { ignoreIndex: -1 })
  for (const array of [
    Int8Array.of(0, 1),
    Int16Array.of(0, 1),
    Uint8ClampedArray.of(0, 1),
    Uint8Array.of(0, 1),
    Uint16Array.of(0, 1),
    Uint32Array.of(0, 1),
    BigInt64Array.of(0n, 1n),
    BigUint64Array.of(0n, 1n),
  ]) {
    t.deepEqual(crossEntropy.valueAndGrad(x, array), expected)
    t.deepEqual(dice.valueAndGrad(p, array, { shape: [2, 3] }), planes)
    t.deepEqual(classWeights(array, 2), Float32Array.of(0.5, 0.5))
  }
  t.deepEqual(crossEntropy.valueAndGrad(x, Int8Array.of(0, -1), { ignoreIndex: -1 }), ignored)
  t.deepEqual(crossEntropy.valueAndGrad(x, Int16Array.of(0, -1), { ignoreIndex: -1 }), ignored)
  // Binary targets too, for losses whose targets are 0 and 1, and one-hot ones of planes.
  const ones = [0, 1, 0, 1, 0, 1]
  for (const loss of [bceWithLogits, sigmoidFocal, dice] as const) {
    const wanted = loss.valueAndGrad(p, real)
    for (const array of [Int32Array.from(ones), Int8Array.from(ones), Uint8ClampedArray.from(ones)]) {
      t.deepEqual(loss.valueAndGrad(p, array), wanted)
      t.deepEqual(loss.valueAndGrad(p, { data: array }), wanted)
    }
    t.deepEqual(loss.valueAndGrad(p, BigInt64Array.from(ones, BigInt)), wanted)
  }
  const oneHot = [0, 1, 0, 0, 0, 1]
  const soft = dice.valueAndGrad(p, Float32Array.from(oneHot), { shape: [2, 3] })
  t.deepEqual(dice.valueAndGrad(p, Int32Array.from(oneHot), { shape: [2, 3] }), soft)
})

everywhere('labels of the shape [N, 1, …]', (t) => {
  const scores = Float32Array.from({ length: 12 }, (_, i) => Math.sin(i) ** 2)
  const data = Int32Array.of(0, 2, 1, 1)
  for (const loss of [crossEntropy, nll, softmaxFocal, ...regions, diceCe] as const) {
    const first = loose(loss).valueAndGrad(scores, data, { shape: [2, 3, 2] })
    const last = loose(loss).valueAndGrad(scores, data, { shape: [2, 2, 3], classAxis: -1 })
    for (const shape of [
      [2, 2],
      [2, 1, 2],
    ]) {
      t.deepEqual(loose(loss).valueAndGrad(scores, { data, shape }, { shape: [2, 3, 2] }), first)
    }
    const channelsLast = { data, dims: [2, 2, 1] }
    t.deepEqual(loose(loss).valueAndGrad(scores, channelsLast, { shape: [2, 2, 3], classAxis: -1 }), last)
    t.throws(() => loose(loss)(scores, channelsLast, { shape: [2, 3, 2] }), {
      message: /shape of target must be \[2,2\]/,
    })
    t.throws(() => loose(loss)(scores, { data, shape: [1, 2, 2] }, { shape: [2, 3, 2] }), { instanceOf: RangeError })
  }
})

everywhere('strided views', (t) => {
  const data = Float32Array.of(1, 2, 3, 4)
  const target = Float32Array.of(1, 2, 3, 4)
  const shape = [2, 2]
  const contiguous = [
    { data, shape, strides: [2, 1], offset: 0 },
    { data, shape, stride: [2, 1] },
    { data, shape, strides: null, stride: null, offset: null },
    { data, shape, stride: Int32Array.of(2, 1) },
    { data, dims: shape, stride: () => [2, 1] },
    // tfjs leaves out the last.
    { data, shape, strides: [2] },
    { data, shape: [4], strides: [] },
    // The step of an axis of one element is never taken.
    { data, shape: [1, 4], strides: [77, 1] },
    { data, shape: [4, 1], strides: [1, -5] },
  ]
  for (const tensor of contiguous) {
    t.is(mse(tensor, target), 0)
    t.is(mse(target, tensor), 0)
  }
  class View {
    constructor(readonly steps: number[]) {}
    get data() {
      return data
    }
    get dims() {
      return [2, 2]
    }
    stride() {
      return this.steps
    }
  }
  t.is(mse(new View([2, 1]), target), 0)
  const message = (got: string) =>
    `mse: input must be contiguous, with the strides [2,1] of its shape [2,2], got [${got}]; copy its elements in row-major order`
  for (const [tensor, got] of [
    [{ data, shape, strides: [1, 2], offset: 0 }, '1,2'],
    [{ data, shape, stride: [1, 2] }, '1,2'],
    [{ data, shape, stride: Int32Array.of(1, 2) }, '1,2'],
    [{ data, dims: shape, stride: () => [1, 2] }, '1,2'],
    [new View([1, 2]), '1,2'],
    // Reversed rows, as stdlib writes them, and rows of a wider matrix.
    [{ data, shape, strides: [-2, 1], offset: 2 }, '-2,1'],
    [{ data, shape, strides: [4, 1] }, '4,1'],
    [{ data, shape, strides: [2, 1, 1] }, '2,1,1'],
    [{ data, shape, strides: [] }, ''],
  ] as const) {
    t.throws(() => loose(mse).valueAndGrad(tensor, target), { instanceOf: RangeError, message: message(got) })
    t.throws(() => loose(mse)(target, tensor), { message: message(got).replace('input', 'target') })
  }
  t.throws(() => loose(mse)({ data: new Float32Array(6), shape, strides: [2, 1], offset: 2 }, target), {
    instanceOf: RangeError,
    message: 'mse: input.offset must be 0, got 2; pass data.subarray(2, 6) without an offset',
  })
  t.throws(() => loose(mse)({ data, shape: [4, 1], strides: [] }, target), { message: /must be contiguous/ })
  t.throws(() => loose(mse)({ data, shape, strides: 1 }, target), {
    instanceOf: TypeError,
    message: 'mse: input.strides must be an array of one per axis, got 1',
  })
  for (const tensor of [
    { data, strides: [1] },
    { data, offset: 1 },
  ]) {
    t.throws(() => loose(mse)(tensor, target), {
      instanceOf: TypeError,
      message: /input must have a shape where it has/,
    })
  }
  // Of no elements there is no step.
  t.is(
    mse({ data: new Float32Array(0), shape: [0, 3], strides: [1, 7] } as never, new Float32Array(0), {
      reduction: 'sum',
    }),
    0,
  )
})

everywhere('an option of the whole that only some parts have', (t) => {
  const sum = loose(combine([[l1], [smoothL1]]))
  t.throws(() => sum(x, real, { beta: 2 }), {
    instanceOf: TypeError,
    message:
      /^combine: there is no option beta; there are .*; give it to the parts that have it, as parts\[1\], smoothL1$/,
  })
})
