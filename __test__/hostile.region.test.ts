/** Bad input of the losses over planes, of sums of losses and of class weights. */

import {
  bceDice,
  classWeights,
  combine,
  crossEntropy,
  dice,
  diceCe,
  diceFocal,
  focalDice,
  l1,
  mse,
  tversky,
} from '../ts/index.js'
import { detached, everywhere, loose, refuses } from './everywhere.js'
import { lossesOf } from './losses.js'

const x = Float32Array.of(1, 2, 3, 4, 5, 6)
const mask = () => Float32Array.of(0, 1, 0, 1, 0, 1)
/** Found by their definitions; a compound loss with a softmax alone has a test of its own. */
const regions = lossesOf('region').map(({ loss }) => loss)
const compounds = lossesOf('compound').flatMap(({ loss, definition }) => (definition.parts.sigmoid ? [loss] : []))
const losses = [...regions, ...compounds]

everywhere('arguments and options of losses over planes', (t) => {
  for (const loss of losses) {
    const cases: [Record<string, unknown>, ErrorConstructor, RegExp][] = [
      [{ grad: new Float32Array(5) }, RangeError, /grad must be a Float32Array of 6 elements/],
      [{ shape: [2, 2] }, RangeError, /shape must have the product 6/],
      [{ shape: [6] }, RangeError, /shape must be \[N, C, …\], got \[6\]/],
      [{ shape: [], classAxis: null }, RangeError, /shape must have the product 6/],
      [{ classAxis: 0 }, RangeError, /classAxis must be 1, -1 or null, got 0/],
      [{ weight: [1, 2] }, RangeError, /weight must be an array of 1, one per class/],
      [{ weight: [-1] }, RangeError, /weight\[0\] must be finite and not negative/],
      [{ mask: new Uint8Array(5) }, RangeError, /mask must be an array of 6/],
      [
        { mask: true },
        TypeError,
        /mask must be an array of integers, a Float32Array or an array of booleans, got true/,
      ],
      [{ batch: 1 }, TypeError, /batch must be true or false, got 1/],
      [{ smoothNr: -1 }, RangeError, /smoothNr must be a number ≥ 0, got -1/],
      [{ smoothDr: '1' }, TypeError, /smoothDr must be a number ≥ 0, got "1"/],
      [{ emptyClass: 'none' }, RangeError, /emptyClass must be one of 'zero', 'skip'/],
      [{ includeBackground: false }, RangeError, /includeBackground: false needs at least two classes, got 1/],
      [{ ignoreIndex: 0, shape: [1, 2, 3] }, RangeError, /ignoreIndex needs class indices or one channel as target/],
      [{ smooth: 1 }, TypeError, /there is no option smooth;/],
      [{ gradOutput: new Float32Array(1) }, TypeError, /gradOutput must be a number|there is no option/],
      [{ temperature: 2 }, TypeError, /there is no option temperature/],
    ]
    for (const [options, error, message] of cases) refuses(t, error, message, loss, x, mask(), options)
    refuses(t, TypeError, /input must be a Float32Array/, loss, [1, 2], mask())
    refuses(t, TypeError, /target must be a Float32Array or Uint8Array/, loss, x, [1, 2])
    refuses(t, RangeError, /target must be an array of 6 elements/, loss, x, new Float32Array(5))
    refuses(t, RangeError, /target must be an array of 6, one per score, or of 3/, loss, x, new Int32Array(2), {
      shape: [1, 2, 3],
    })
    refuses(
      t,
      RangeError,
      /target\[1\] must be a class index in \[0, 2\) or ignoreIndex/,
      loss,
      x,
      Int32Array.of(0, 2, 1),
      {
        shape: [1, 2, 3],
      },
    )
    refuses(t, TypeError, /input is detached/, loss, detached(x.slice()), mask())
    refuses(t, TypeError, /grad is detached/, loss, x, mask(), { grad: detached(new Float32Array(6)) })
    const memory = new Float32Array(12)
    t.throws(() => loss.backward(memory.subarray(0, 6), mask(), { grad: memory.subarray(1, 7) }), {
      message: /grad must be the input itself or not overlap it/,
    })
    const both = mask()
    t.throws(() => loss.backward(x, both, { grad: both }), { message: /grad must not overlap target/ })
  }
  for (const loss of compounds) {
    refuses(t, RangeError, /reduction must be 'mean' or 'sum', since the parts/, loss, x, mask(), { reduction: 'none' })
    refuses(t, TypeError, /diceWeight must be a finite number, got "2"/, loss, x, mask(), {
      diceWeight: '2',
    })
    refuses(t, TypeError, /there is no option out/, loss, x, mask(), { out: new Float32Array(1) })
  }
  refuses(t, RangeError, /activation must be one of 'none', 'sigmoid', 'softmax'/, loose(dice), x, mask(), {
    activation: 'relu',
  })
  refuses(t, RangeError, /activation must be one of 'sigmoid', 'softmax'/, loose(focalDice), x, mask(), {
    activation: 'none',
  })
  refuses(t, TypeError, /there is no option squaredPred/, loose(tversky), x, mask(), { squaredPred: true })
  refuses(t, RangeError, /posWeight must be an array of 1/, loose(bceDice), x, mask(), { posWeight: [1, 2] })
  refuses(t, RangeError, /gamma must be a number > 0, got 0/, loose(tversky), x, mask(), {
    gamma: 0,
  })
  refuses(t, RangeError, /alpha must be in \[0, 1\] or null, got 2/, loose(focalDice), x, mask(), { alpha: 2 })
})

everywhere('gradients by the target that there are not', (t) => {
  const shape = [1, 2, 3]
  for (const loss of regions) {
    const labels = Int32Array.of(0, 1, 1)
    const message = /targetGrad needs a target with a value per score, got class indices/
    refuses(t, TypeError, message, loss, x, labels, { shape, targetGrad: new Float32Array(6) })
    refuses(t, RangeError, /targetGrad must be a Float32Array of 6/, loss, x, mask(), {
      targetGrad: new Float32Array(5),
    })
    refuses(t, TypeError, /targetGrad must be a Float32Array/, loss, x, mask(), { targetGrad: 1 })
    const alone = /backward returns one array; give targetGrad a buffer/
    t.throws(() => loss.backward(x, mask(), { targetGrad: true }), { instanceOf: TypeError, message: alone })
    const both = mask()
    refuses(t, RangeError, /targetGrad must not overlap target/, loss, x, both, { targetGrad: both })
    const input = x.slice()
    refuses(t, RangeError, /targetGrad must not overlap input/, loss, input, both, { targetGrad: input })
    t.deepEqual([both, input], [mask(), x])
    const grad = new Float32Array(6)
    t.throws(() => loss.valueAndGrad(x, both, { grad, targetGrad: grad }), {
      message: /grad must not overlap targetGrad/,
    })
  }
  for (const loss of compounds) {
    refuses(t, TypeError, /there is no option targetGrad/, loss, x, mask(), { targetGrad: true })
  }
})

everywhere('a softmax over one class', (t) => {
  const message = (more: string) => new RegExp(`a softmax needs at least two classes, got 1, .*; ${more}`)
  for (const loss of [...regions, ...[focalDice, diceFocal].map(loose)]) {
    const options = { activation: 'softmax' }
    const other = "use the activation 'sigmoid'$"
    refuses(t, RangeError, message(`give shape: \\[N, C, …\\], or ${other}`), loss, x, mask(), options)
    refuses(t, RangeError, message(other), loss, x, mask(), { ...options, shape: [2, 1, 3] })
    refuses(t, RangeError, message(other), loss, x, mask(), { ...options, shape: [2, 3, 1], classAxis: -1 })
    refuses(t, RangeError, message(other), loss, x, mask(), { ...options, shape: [2, 3], classAxis: null })
    refuses(t, RangeError, message(other), loss, { data: x, dims: [6, 1] }, new Int32Array(6), options)
    t.notThrows(() => loss.valueAndGrad(x, mask(), { ...options, shape: [1, 2, 3] }))
    // Of nothing there is nothing to refuse.
    t.notThrows(() => loss(new Float32Array(0), new Float32Array(0), { ...options, shape: [0, 1, 3] }))
  }
  const other = "use bceDice, which has a 'sigmoid'$"
  refuses(t, RangeError, message(`give shape: \\[N, C, …\\], or ${other}`), loose(diceCe), x, mask())
  refuses(t, RangeError, message(other), loose(diceCe), x, mask(), { shape: [6, 1] })
})

everywhere('diceCe', (t) => {
  const loss = loose(diceCe.with({ shape: [1, 2, 3] }))
  refuses(t, RangeError, /weight must be an array of 2, one per class/, loss, x, mask(), { weight: [1] })
  refuses(t, RangeError, /ignoreIndex needs class indices or one channel as target/, loss, x, mask(), {
    ignoreIndex: 0,
  })
  refuses(t, RangeError, /reduction must be 'mean' or 'sum', since the parts/, loss, x, mask(), { reduction: 'none' })
  refuses(t, TypeError, /diceWeight must be a finite number/, loss, x, mask(), { diceWeight: '2' })
  refuses(t, RangeError, /target must be an array of 6, one per score, or of 3/, loss, x, new Int32Array(2))
  refuses(t, TypeError, /there is no option targetGrad/, loss, x, mask(), { targetGrad: true })
  const both = mask()
  t.throws(() => loss.backward(x, both, { grad: both }), { message: /grad must not overlap target/ })
})

everywhere('numbers that single precision cannot hold', (t) => {
  for (const loss of losses) {
    for (const name of ['smoothNr', 'smoothDr']) {
      refuses(t, RangeError, new RegExp(`${name} must be a number ≥ 0 as a 32-bit float`), loss, x, mask(), {
        [name]: 1e39,
      })
    }
  }
  for (const name of ['alpha', 'beta', 'gamma']) {
    const message = new RegExp(`${name} must be a number [≥>] 0 as a 32-bit float.*, got 1e\\+300`)
    refuses(t, RangeError, message, loose(tversky), x, mask(), { [name]: 1e300 })
  }
  for (const name of ['bceWeight', 'diceWeight']) {
    const message = new RegExp(`${name} must be a finite number as a 32-bit float`)
    for (const value of [1e39, -1e300]) refuses(t, RangeError, message, loose(bceDice), x, mask(), { [name]: value })
  }
})

everywhere('outputs that share memory with a mask, a weight or an upstream gradient', (t) => {
  const options = { shape: [1, 2, 3], includeBackground: true }
  for (const loss of losses) {
    const memory = new Float32Array(8).fill(1)
    const before = memory.slice()
    const grad = memory.subarray(2)
    t.throws(() => loss.backward(x, mask(), { ...options, grad, mask: memory.subarray(0, 3) }), {
      instanceOf: RangeError,
      message: /grad must not overlap mask/,
    })
    const bytes = new Uint8Array(memory.buffer, 20, 3)
    t.throws(() => loss.backward(x, mask(), { ...options, grad, mask: bytes }), {
      instanceOf: RangeError,
      message: /grad must not overlap mask/,
    })
    t.throws(() => loss.backward(x, mask(), { ...options, grad, weight: memory.subarray(1, 3) }), {
      instanceOf: RangeError,
      message: /grad must not overlap weight/,
    })
    t.deepEqual(memory, before)
  }
  for (const loss of regions) {
    const memory = new Float32Array(8).fill(1)
    const before = memory.slice()
    const logits = { ...options, activation: 'sigmoid' }
    const { length: values } = loss(x, mask(), { ...logits, reduction: 'none' }) as Float32Array
    for (const [name, output] of [
      ['targetGrad', memory.subarray(2)],
      ['out', memory.subarray(2, 2 + values)],
    ] as const) {
      const given = { ...options, reduction: 'none', [name]: output }
      const own = new Float32Array(memory.buffer, 0, 3)
      t.throws(() => loss.valueAndGrad(x, mask(), { ...given, mask: own }), {
        instanceOf: RangeError,
        message: new RegExp(`${name} must not overlap mask`),
      })
      const gradOutput = memory.subarray(2, 2 + values)
      t.throws(() => loss.valueAndGrad(x, mask(), { ...given, gradOutput }), {
        instanceOf: RangeError,
        message: new RegExp(`${name} must not overlap gradOutput`),
      })
    }
    t.deepEqual(memory, before)
  }
})

everywhere('an axis of length 1 may have any stride', (t) => {
  const p = x.map((v) => v / 8)
  const expected = dice(p, mask(), { shape: [1, 2, 3, 1] })
  for (const stride of [
    [6, 3, 1, 1],
    [1, 3, 1, 9],
    [0, 3, 1, -7],
  ]) {
    t.is(dice({ data: p, shape: [1, 2, 3, 1], stride } as { data: Float32Array; shape: number[] }, mask()), expected)
  }
  for (const stride of [
    [6, 1, 2, 1],
    [6, 3, 2, 1],
  ]) {
    refuses(t, RangeError, /input must be contiguous/, loose(dice), { data: x, shape: [1, 2, 3, 1], stride }, mask())
  }
})

everywhere('sums of losses', (t) => {
  const make = loose(combine) as unknown as (parts: unknown) => unknown
  t.throws(() => make(undefined), { instanceOf: TypeError, message: /combine: parts must be a list/ })
  t.throws(() => make([]), { message: /parts must be a list/ })
  t.throws(() => make([[3]]), { instanceOf: TypeError, message: /parts\[0\] must be \[loss, weight, options\], got 3/ })
  t.throws(() => make([[mse, '1']]), {
    instanceOf: TypeError,
    message: /the weight of parts\[0\] must be a finite number/,
  })
  t.throws(() => make([[mse, 1, { reduction: 'none' }]]), { message: /parts\[0\] must have the reduction/ })
  t.throws(() => make([[mse, 1, { grad: new Float32Array(1) }]]), { message: /must leave grad to the whole/ })
  t.throws(() => make([[mse, 1, { beta: 1 }]]), { message: /mse: there is no option beta/ })
  const sum = loose(combine([[mse], [l1, 2]]))
  refuses(t, RangeError, /reduction must be 'mean' or 'sum'/, sum, x, mask(), { reduction: 'none' })
  refuses(t, TypeError, /there is no option beta/, sum, x, mask(), { beta: 1 })
  refuses(t, TypeError, /gradOutput must be a number/, sum, x, mask(), { gradOutput: new Float32Array(6) })
  refuses(t, RangeError, /target must be a Float32Array of 6/, sum, x, new Float32Array(5))
  refuses(t, TypeError, /grad must be a Float32Array/, sum, x, mask(), { grad: [1] })
  t.throws(() => sum.backward(x, mask(), { grad: x }), { message: /gradient buffer must not overlap input/ })
  // The second part refuses what the first accepts, before the first has written.
  const picky = loose(combine([[mse], [dice, 1, { shape: [1, 2, 3], includeBackground: false, weight: [1, 2, 3] }]]))
  refuses(t, RangeError, /dice: weight must be an array of 2/, picky, x, mask())
  const labelled = loose(combine([[crossEntropy], [diceCe, 1, { shape: [2, 3] }]]))
  refuses(t, RangeError, /target\[1\] must be a class index/, labelled, x, Int32Array.of(0, 3))
})

everywhere('class weights', (t) => {
  const weights = loose(classWeights)
  t.throws(() => weights([0, 1], 2), { instanceOf: TypeError, message: /class indices/ })
  t.throws(() => weights(Int32Array.of(0, 2), 2), {
    instanceOf: RangeError,
    message: /labels\[1\] must be a class index/,
  })
  t.throws(() => weights(Int32Array.of(0), 0), { instanceOf: RangeError, message: /classes must be an integer > 0/ })
  t.throws(() => weights(Int32Array.of(0), '2'), { instanceOf: TypeError, message: /classes must be/ })
  t.throws(() => weights(Int32Array.of(0), 1, { method: 'square' }), { message: /method must be one of/ })
  t.throws(() => weights(Int32Array.of(0), 1, { beta: 1 }), { message: /beta must be in \[0, 1\)/ })
  t.throws(() => weights(Int32Array.of(0), 1, { bta: 1 }), { message: /there is no option bta/ })
  t.deepEqual(classWeights(new Int32Array(0), 2), Float32Array.of(1, 1))
  t.deepEqual(classWeights(Int32Array.of(-100, 0, 1, 1, 1), 3), Float32Array.of(0.75, 0.25, 1))
  t.deepEqual(classWeights(Uint8Array.of(0, 1, 1, 1), 3, { method: 'balanced' }), Float32Array.of(4 / 3, 4 / 9, 4 / 3))
  const effective = classWeights(Int32Array.of(0, 1, 1), 2, { method: 'effective', beta: 0.5 })
  t.deepEqual(effective, Float32Array.of(1, 0.5 / 0.75))
})
