/** Numbers that leave their range or cancel within a program: every backend has what double precision has. */

import test, { type ExecutionContext } from 'ava'
import {
  add,
  defineLoss,
  div,
  exp,
  expm1,
  fixed,
  gt,
  input,
  log,
  log1p,
  max,
  mul,
  type Operand,
  pow,
  sigmoid,
  sqrt,
  square,
  sub,
  type Value,
  where,
} from '../../ts/expression/index.js'
import { sigmoidFocal } from '../../ts/index.js'
import { platforms } from '../platforms.js'

const none = { reduction: 'none' } as const
const sum = { reduction: 'sum' } as const

/** On every backend, so often that the vectors of all of them are full. */
function everywhere(title: string, run: (t: ExecutionContext, name: string) => void): void {
  for (const platform of platforms) {
    test.serial(`${title} on ${platform.name}`, (t) => {
      platform.activate()
      run(t, platform.name)
    })
  }
}

const two = (loss: (x: Value, y: Value) => Operand) =>
  defineLoss({ name: 'two', inputs: { x: input, y: fixed }, loss: ({ x, y }) => loss(x, y) as Value })
const one = (loss: (x: Value) => Operand) =>
  defineLoss({ name: 'one', inputs: { x: input }, loss: ({ x }) => loss(x) as Value })
const filled = (value: number) => new Float32Array(33).fill(value)

const difference = (x: Value, y: Value) => sub(mul(x, x), mul(y, y))
// Numbers whose squares are rounded, in both directions.
const EQUAL = [1.1, 0.3, 7.7, 1e-3, 23.456, 3.3333]

const cancelling: [string, (x: Value, y: Value) => Operand, (x: number) => number][] = [
  ['decides', (x, y) => where(gt(difference(x, y), 0), exp(x), 0), () => 0],
  ['is under a root', (x, y) => add(sqrt(difference(x, y)), exp(x)), Math.exp],
  ['is within a logarithm', (x, y) => log(max(difference(x, y), 1e-12)), () => Math.log(1e-12)],
  ['has a factor', (x, y) => add(mul(1e12, difference(x, y)), exp(x)), Math.exp],
  ['has a term of its own', (x, y) => add(mul(1e12, sub(add(mul(x, x), 0), max(mul(y, y), 0))), exp(x)), Math.exp],
]

for (const [title, loss, expected] of cancelling) {
  const own = two(loss)
  everywhere(`a difference of equal squares that ${title} is 0`, (t) => {
    for (const x of EQUAL) {
      const xs = filled(x)
      for (const value of own(xs, xs.slice(), none)) {
        const right = expected(Math.fround(x))
        t.true(Math.abs(value - right) <= 2e-6 * Math.abs(right), `${x}: ${value} for ${right}`)
      }
    }
  })
}

const product = two((x, y) => where(gt(sub(mul(x, x), y), 0), exp(x), 0))
everywhere('a rounded product compared with itself is equal', (t) => {
  for (const x of EQUAL) {
    const xs = filled(x)
    t.deepEqual(
      product(
        xs,
        xs.map((own) => own * own),
        none,
      ),
      filled(0),
    )
  }
})

const weighted = defineLoss({
  name: 'weighted',
  inputs: { x: input, y: input },
  loss: ({ x, y }) => mul(square(x), y),
})
const isMasked = Uint8Array.from({ length: 33 }, (_, k) => k % 3)

everywhere('accumulate adds to every gradient', (t) => {
  const [x, y] = [new Float32Array(33), new Float32Array(33)].map((array, j) => array.map((_, k) => k - 3 * j))
  for (const mask of [undefined, isMasked, new Uint8Array(33)]) {
    const [grad, yGrad] = [filled(10), filled(20)]
    weighted.valueAndGrad(x, y, { ...sum, grad, yGrad, accumulate: true, ...(mask && { mask }) })
    const counts = (k: number) => mask === undefined || mask[k] !== 0
    t.deepEqual(
      grad,
      x.map((own, k) => 10 + (counts(k) ? 2 * own * y[k] : 0)),
    )
    t.deepEqual(
      yGrad,
      x.map((own, k) => 20 + (counts(k) ? own * own : 0)),
    )
  }
})

everywhere('accumulate adds to every gradient in double precision too', (t) => {
  const [x, y] = [filled(1e30), filled(1e-20)]
  const [grad, yGrad] = [filled(1e10), filled(1e30)]
  // x² is no float, and its product with the factor is one.
  weighted.valueAndGrad(x, y, { ...sum, gradOutput: 2 ** -80, grad, yGrad, accumulate: true })
  const [own, other] = [Math.fround(1e30), Math.fround(1e-20)]
  const [first, second] = [2 * own * other * 2 ** -80, own * own * 2 ** -80]
  t.true(grad.every((g) => Math.abs(g - (Math.fround(1e10) + first)) <= 1e-6 * Math.abs(first) + 1e4))
  t.true(yGrad.every((g) => Math.abs(g - (Math.fround(1e30) + second)) <= 1e-6 * second))
})

test('a gradient that is added to is not written over its input', (t) => {
  const [x, y] = [Float32Array.of(1, 2), Float32Array.of(3, 4)]
  const options = { grad: Float32Array.of(0, 0), yGrad: y, accumulate: true }
  t.throws(() => weighted.valueAndGrad(x, y, options), { message: /yGrad must not be y with accumulate/ })
  t.deepEqual(y, Float32Array.of(3, 4))
})

type Edge = readonly [x: number, value: number, grad: number]

/** Values and gradients, to six digits. */
function agrees(t: ExecutionContext, loss: ReturnType<typeof one>, edges: readonly Edge[]): void {
  const isNear = (a: number, b: number) => Object.is(a, b) || Math.abs(a - b) <= 1e-5 * Math.abs(b)
  for (const [x, value, grad] of edges) {
    const xs = filled(x)
    const values = loss(xs, none)
    t.true(
      values.every((own) => isNear(own, value)),
      `value at ${x}: ${values[0]} for ${value}`,
    )
    const { grad: grads } = loss.valueAndGrad(xs, sum)
    t.true(
      grads.every((own) => isNear(own, grad)),
      `gradient at ${x}: ${grads[0]} for ${grad}`,
    )
  }
}

const inverse = one((x) => log1p(expm1(x)))
everywhere('ln(1 + (e^x − 1)) is x while double precision has it, and −∞ beyond', (t) => {
  agrees(t, inverse, [
    [-20, Math.log1p(Math.expm1(-20)), Math.exp(-20) / (1 + Math.expm1(-20))],
    [-25, Math.log1p(Math.expm1(-25)), Math.exp(-25) / (1 + Math.expm1(-25))],
    [-60, -Infinity, Infinity],
    [-88, -Infinity, Infinity],
  ])
})

const logOfSigmoid = one((x) => log(sigmoid(x)))
everywhere('ln σ(x) by a logarithm is x while double precision has it', (t) => {
  agrees(t, logOfSigmoid, [
    [-30, -30, 1],
    [-88, -88, 1],
    [-103, -103, 1],
    [-300, -300, 1],
    [-700, -700, 1],
    [-Infinity, -Infinity, Number.NaN],
  ])
})

const swish = one((x) => mul(x, sigmoid(x)))
everywhere('−∞ · σ(−∞) is NaN, as in double precision', (t) => {
  agrees(t, swish, [[-Infinity, Number.NaN, Number.NaN]])
})

const ofZero = one((x) => log(expm1(x)))
const powers = two((x, y) => pow(x, y))
everywhere('zeros have the sign +, and a power of 1 is 1', (t) => {
  agrees(t, ofZero, [
    [0, -Infinity, Infinity],
    [-0, -Infinity, Infinity],
  ])
  t.deepEqual(powers(filled(1), filled(Infinity), none), filled(1))
})

const byParam = (loss: (x: Value, p: Value) => Value) =>
  defineLoss({ name: 'byParam', inputs: { x: input }, params: { p: 1 }, loss: ({ x }, { p }) => loss(x, p) })
const ofQuotient = byParam((x, p) => square(div(x, p)))
const quotient = byParam((x, p) => div(x, p))
const factors = byParam((x, p) => mul(p, mul(p, x)))

everywhere('factors of all rows leave single precision only together with the data', (t) => {
  const isNear = (a: number, b: number) => Math.abs(a - b) <= 1e-6 * Math.abs(b)
  for (const p of [1e23, 1e-20, 1e-23, 1e20, 3e-39, 2]) {
    const x = filled(p)
    // As a float: below the normal numbers it has few digits.
    const own = x[0]
    for (const weight of [undefined, filled(1)]) {
      const { value, grad } = ofQuotient.valueAndGrad(x, { p, ...sum, ...(weight && { weight }) })
      t.true(isNear(value, 33), `value at ${p}: ${value}`)
      const right = Math.fround(2 / own)
      t.true(
        grad.every((g) => g === right || isNear(g, right)),
        `gradient at ${p}: ${grad[0]} for ${right}`,
      )
    }
    t.deepEqual(quotient(filled(0), { p, ...none }), filled(0))
  }
  const small = factors.valueAndGrad(filled(1e-30), { p: 1e20, ...sum })
  t.true(isNear(small.value, 33e10))
  t.is(factors(filled(0), { p: 1e20, ...sum }), 0)
  t.true(isNear(factors(filled(1e30), { p: 1e-25, ...sum }), 33e-20))
})

const constants: [string, ReturnType<typeof one>, Edge[]][] = [
  ['x / 1e-40', one((x) => div(x, 1e-40)), [[0, 0, Infinity]]],
  [
    '1e20 · (1e20 · x)',
    one((x) => mul(1e20, mul(1e20, x))),
    [
      [0, 0, Infinity],
      [1e-30, 1e10, Infinity],
    ],
  ],
  ['1e-30 · (1e-30 · x)', one((x) => mul(1e-30, mul(1e-30, x))), [[1e38, 1e-22, 0]]],
  ['−(1e20 · x) / 1e-20', one((x) => div(mul(-1e20, x), 1e-20)), [[1e-30, -1e10, -Infinity]]],
]
for (const [title, loss, edges] of constants) everywhere(title, (t) => agrees(t, loss, edges))

everywhere('a quotient by a number is rounded once', (t) => {
  const x = Float32Array.from({ length: 100 }, (_, k) => k - 40)
  for (const p of [3, 10, 0.7, 3e38, 2 ** -20, 1e-5]) {
    const right = x.map((own) => own / Math.fround(p))
    t.deepEqual(one((own) => div(own, p))(x, none), right, `the constant ${p}`)
    t.deepEqual(quotient(x, { p, ...none }), right, `the parameter ${p}`)
  }
  t.deepEqual(quotient(filled(3e38), { p: 3e38, ...none }), filled(1))
})

test('a constant that single precision takes for 0 is refused', (t) => {
  t.throws(() => one((x) => div(x, 1e-50)), { instanceOf: RangeError, message: /a constant must be a 32-bit float/ })
})

everywhere('sigmoidFocal of soft targets and a large γ', (t) => {
  const x = Float32Array.of(Infinity, -Infinity, -3e38, Infinity, -Infinity, Infinity)
  const target = Float32Array.of(0.5, 0.25, 0.25, 1, 0, 0)
  const gamma = { ...none, alpha: null }
  const [low, high] = [x.slice(), x.slice()]
  low.set(sigmoidFocal(x, target, { ...gamma, gamma: 90 }))
  high.set(sigmoidFocal(x, target, { ...gamma, gamma: 900 }))
  const far = 0.25 ** 90 * 0.25 * Math.abs(x[2])
  t.true(Math.abs(low[2] - far) <= 1e-5 * far, `${low[2]} for ${far}`)
  t.deepEqual([...low].toSpliced(2, 1), [Infinity, Infinity, 0, 0, Infinity])
  t.deepEqual([...high], [Infinity, 0, 0, 0, 0, Infinity])
  const none4 = sigmoidFocal(x, target, { ...gamma, gamma: 1e4 })
  t.deepEqual([...none4], [0, 0, 0, 0, 0, Infinity])
})
