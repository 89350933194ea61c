/**
 * The losses of the library that are expressions, by closed forms in double precision that are written down here: values and every
 * gradient, over ordinary numbers and at the edges. No node, program or derivative of the library takes part in the truth.
 */

import type { ExecutionContext } from 'ava'
import { generator, normal, once } from '../data.js'
import { type DrawnCalls, drawnLosses } from '../drawn.js'
import { everywhere } from '../everywhere.js'

type Options = Record<string, unknown>
type Numbers = readonly number[]

/** What a loss is at a row: the value, and the slopes by the name of the gradient. */
type Row = { readonly value: number; readonly grad: number } & Readonly<Record<string, number>>

const { exp, log, abs, sign, fround, max } = Math
const inf = Number.POSITIVE_INFINITY
const nan = Number.NaN
const TWO_PI = 2 * Math.PI
/** The smallest normal number: below it the exponentials of some backends are 0. */
const LEAST = 2 ** -126
const softplus = (u: number) => max(u, 0) + Math.log1p(exp(-abs(u)))
const sigmoid = (u: number) => 1 / (1 + exp(-u))

/** ln Γ by its recurrence, and for what is left by its product: slow, but once for each number, and right to 1e-9. */
const lnGamma = once((given: number): number => {
  let x = given
  let sum = 0
  for (; x > 2; x--) sum += log(x - 1)
  const terms = 200_000
  for (let n = terms; n > 0; n--) sum += x * Math.log1p(1 / n) - Math.log1p(x / n)
  // What is left of the product, to second order.
  return sum - log(x) + (x * (x - 1)) / (2 * (terms + 0.5))
})

/** The closed forms: of the numbers of a row in the order of the arguments. */
const forms: Readonly<Record<string, (row: Numbers, o: Options) => Row>> = {
  hinge([x, t], { margin = 1 }) {
    const z = (margin as number) - t * x
    return { value: max(0, z), grad: z > 0 ? -t : 0 }
  },
  squaredHinge([x, t], { margin = 1 }) {
    const h = max(0, (margin as number) - t * x)
    return { value: h * h, grad: -2 * t * h }
  },
  softMargin([x, t]) {
    return { value: softplus(-t * x), grad: -t * sigmoid(-t * x), targetGrad: -x * sigmoid(-t * x) }
  },
  hingeEmbedding([x, t], { margin = 1 }) {
    if (t === 1) return { value: x, grad: 1 }
    return { value: max(0, (margin as number) - x), grad: x < (margin as number) ? -1 : 0 }
  },
  marginRanking([a, b, t], { margin = 0 }) {
    const z = (margin as number) - t * (a - b)
    return { value: max(0, z), grad: z > 0 ? -t : 0, input2Grad: z > 0 ? t : 0 }
  },
  poissonNll([x, t], { logInput = true, full = false, eps = 1e-8 }) {
    const more = full === true && t > 1
    const stirling = more ? t * log(t) - t + log(TWO_PI * t) / 2 : 0
    const slope = more ? log(t) + 1 / (2 * t) : 0
    if (logInput) return { value: exp(x) - t * x + stirling, grad: exp(x) - t, targetGrad: -x + slope }
    const rate = x + fround(eps as number)
    return { value: x - t * log(rate) + stirling, grad: 1 - t / rate, targetGrad: -log(rate) + slope }
  },
  gaussianNll([x, t, variance], { full = false, eps = 1e-6, beta = 0 }) {
    const v = max(variance, fround(eps as number))
    const d = x - t
    const w = v ** fround(beta as number)
    const value = w * ((log(v) + (d * d) / v) / 2 + (full ? log(TWO_PI) / 2 : 0))
    return { value, grad: (w * d) / v, targetGrad: (-w * d) / v, varianceGrad: (w * (1 - (d * d) / v)) / (2 * v) }
  },
  laplaceNll([x, t, scale], { full = false, eps = 1e-6 }) {
    const s = max(scale, fround(eps as number))
    const d = x - t
    const grad = sign(d) / s
    return {
      value: log(s) + abs(d) / s + (full ? Math.LN2 : 0),
      grad,
      targetGrad: -grad,
      scaleGrad: (1 - abs(d) / s) / s,
    }
  },
  gammaNll([x, t], { logInput = true, concentration = 1, full = false }) {
    const k = concentration as number
    const more = full ? lnGamma(k) - k * log(k) - (k - 1) * log(t) : 0
    if (logInput) return { value: k * (x + t * exp(-x)) + more, grad: k * (1 - t * exp(-x)) }
    return { value: k * (log(x) + t / x) + more, grad: (k * (1 - t / x)) / x }
  },
  tweedie([x, t], { power = 1.5, logInput = true, deviance = false }) {
    const p = fround(power as number)
    const mean = logInput ? exp(x) : x
    const value = (-t * mean ** (1 - p)) / (1 - p) + mean ** (2 - p) / (2 - p)
    const grad = logInput ? mean ** (2 - p) - t * mean ** (1 - p) : mean ** -p * (mean - t)
    if (!deviance) return { value, grad }
    return { value: 2 * (value + t ** (2 - p) / ((1 - p) * (2 - p))), grad: 2 * grad }
  },
}

const calls: Readonly<Record<string, DrawnCalls>> = Object.fromEntries(
  drawnLosses.map(({ name, loss }) => [name, loss]),
)

/** A call of rows with every gradient that the closed form has. */
function call(name: string, rows: readonly Numbers[], options: Options): Readonly<Record<string, Float32Array>> {
  const arrays = rows[0].map((_, k) => Float32Array.from(rows, (row) => row[k]))
  const singles = forms[name](rows[0], options)
  const asked = Object.fromEntries(Object.keys(singles).flatMap((one) => (/.Grad$/.test(one) ? [[one, true]] : [])))
  const { denominator: _, ...got } = calls[name].valueAndGrad(...arrays, { ...options, ...asked, reduction: 'none' })
  return got as never
}

/** Every row against its closed form: to so many units in the last place, or to those of `unit` where terms cancel. */
function agree(
  t: ExecutionContext,
  name: string,
  rows: readonly Numbers[],
  options: Options,
  ulp: number,
  unit: (row: Numbers) => number = () => 0,
): void {
  const got = call(name, rows, options)
  rows.forEach((row, i) => {
    const numbers = row.map(fround)
    const truth = forms[name](numbers, options)
    for (const [what, expected] of Object.entries(truth)) {
      const number = got[what][i]
      const single = fround(expected)
      const isSame = Object.is(number, single) || number === single
      const tolerance = ulp * 2 ** -24 * max(abs(expected), unit(numbers)) + LEAST
      const isNear = Number.isFinite(single) && abs(number - expected) <= tolerance
      t.true(isSame || isNear, `${name} ${JSON.stringify(options)} [${row}] ${what}: ${number}, expected ${expected}`)
    }
  })
}

const random = generator(7)
const real = (size: number) => normal(random, size)
const positive = () => exp(normal(random, 1.5))
const side = () => (random() < 0.5 ? -1 : 1)
const rowsOf = (draw: () => Numbers, count = 300) => Array.from({ length: count }, draw)

everywhere('hinges', (t) => {
  for (const margin of [1, 0, 0.3, 2.5]) {
    const unit = ([x]: Numbers) => max(1, abs(x), margin)
    for (const name of ['hinge', 'squaredHinge', 'hingeEmbedding']) {
      const rows = rowsOf(() => [real(2), side()])
      agree(t, name, rows, { margin }, 4, (row) => unit(row) ** (name === 'squaredHinge' ? 2 : 1))
    }
    agree(
      t,
      'hinge',
      rowsOf(() => [real(2), 2 * random() - 1]),
      { margin },
      4,
      unit,
    )
    agree(
      t,
      'marginRanking',
      rowsOf(() => [real(2), real(2), side()]),
      { margin },
      4,
      ([a, b]) => 1 + abs(a) + abs(b),
    )
  }
  // At the kink the slope is 0, and next to it it is not.
  const above = 1 + 2 ** -23
  const below = 1 - 2 ** -24
  for (const name of ['hinge', 'squaredHinge', 'hingeEmbedding']) {
    const flat = call(
      name,
      [
        [name === 'hingeEmbedding' ? 1 : -1, -1],
        [above, name === 'hingeEmbedding' ? -1 : 1],
      ],
      {},
    )
    t.deepEqual(Array.from(flat.grad, abs), [0, 0], name)
    agree(
      t,
      name,
      [
        [below, 1],
        [-below, -1],
        [1e4, 1],
        [-1e4, 1],
        [1e4, -1],
        [-1e4, -1],
        [3e38, -1],
      ],
      {},
      1,
    )
  }
  t.deepEqual(Array.from(call('hinge', [[below, 1]], {}).grad), [-1])
  t.deepEqual(
    Array.from(
      call(
        'marginRanking',
        [
          [1, 1, 1],
          [2, 1, 1],
          [2, 1, -1],
        ],
        {},
      ).grad,
      (g) => g + 0,
    ),
    [0, 0, 1],
  )
  agree(
    t,
    'marginRanking',
    [
      [1e4, -1e4, 1],
      [1e4, -1e4, -1],
      [inf, 1, -1],
      [1, inf, -1],
    ],
    { margin: 0.5 },
    1,
  )
})

everywhere('softMargin', (t) => {
  agree(
    t,
    'softMargin',
    rowsOf(() => [real(4), side()]),
    {},
    8,
  )
  agree(
    t,
    'softMargin',
    // Products of scores and soft labels are rounded before the exponential.
    rowsOf(() => [real(5), real(2)]),
    {},
    60,
  )
  // PyTorch has ∞ and NaN here.
  agree(
    t,
    'softMargin',
    [
      [1000, -1],
      [-1000, 1],
      [1e4, 1],
      [-1e4, 1],
      [1e4, -1],
      [0, 1],
      [-0, -1],
      [85, 1],
      [80, 1],
    ],
    {},
    8,
  )
  agree(
    t,
    'softMargin',
    [
      [1e30, 1],
      [-1e30, 1],
    ],
    {},
    8,
  )
  // With labels of 0 and 1 the gradient by them is twice that by signs.
  const x = Float32Array.from({ length: 50 }, () => real(3))
  const labels = Float32Array.from({ length: 50 }, (_, i) => i % 2)
  const ofBits = calls.softMargin.valueAndGrad(x, labels, { zeroOne: true, targetGrad: true })
  const ofSigns = calls.softMargin.valueAndGrad(
    x,
    labels.map((y) => 2 * y - 1),
    { targetGrad: true },
  )
  t.is(ofBits.value, ofSigns.value)
  t.deepEqual(ofBits.grad, ofSigns.grad)
  t.deepEqual(
    ofBits.targetGrad,
    (ofSigns.targetGrad as Float32Array).map((g) => 2 * g),
  )
})

everywhere('poissonNll', (t) => {
  const counts = () => [0, 1, 2, 3, 0.5, 17, 250][Math.floor(7 * random())]
  for (const full of [false, true]) {
    const unit = ([x, n]: Numbers) => exp(x) + abs(n * x) + n
    agree(
      t,
      'poissonNll',
      rowsOf(() => [real(2), counts()]),
      { full },
      6,
      unit,
    )
    for (const eps of [1e-8, 0.25]) {
      const ofRate = ([x, n]: Numbers) => x + n * (1 + abs(log(x + eps))) + n / (x + eps)
      agree(
        t,
        'poissonNll',
        rowsOf(() => [positive(), counts()]),
        { full, eps, logInput: false },
        8,
        ofRate,
      )
    }
  }
  agree(
    t,
    'poissonNll',
    [
      [-1e4, 0],
      [-1e4, 3],
      [88, 3],
      [0, 0],
      [-100, 1],
    ],
    { full: true },
    4,
    ([x, n]) => abs(n * x),
  )
  // e^x leaves single precision, and so do value and gradient; nothing is NaN.
  const above = call(
    'poissonNll',
    [
      [1e4, 3],
      [89, 0],
    ],
    { full: true },
  )
  t.deepEqual([...above.value, ...above.grad], [inf, inf, inf, inf])
  const none = call(
    'poissonNll',
    [
      [0, 0],
      [0, 2],
    ],
    { logInput: false },
  )
  t.deepEqual(Array.from(none.grad), [1, fround(1 - 2 / fround(1e-8))])
  // The digits of a likelihood whose rate is the count, where t·ln t is 83,000 and leaves two of them.
  const many = call('poissonNll', [[log(9000), 9000]], { full: true })
  const [value] = many.value
  t.true(abs(value - log(TWO_PI * 9000) / 2) < 2e-5, `${value}`)
})

everywhere('gaussianNll', (t) => {
  const unit = ([x, y, v]: Numbers) => (1 + abs(log(v)) + (x - y) ** 2 / v) * max(1, 1 / v)
  for (const options of [{}, { full: true }, { beta: 0.5 }, { beta: 1 }, { beta: 0.3, full: true }, { eps: 0.5 }]) {
    const scaled = (row: Numbers) => unit(row) * max(1, row[2] ** ((options as { beta?: number }).beta ?? 0))
    agree(
      t,
      'gaussianNll',
      rowsOf(() => [real(3), real(3), positive()]),
      options,
      8,
      scaled,
    )
  }
  // Below eps the slope is that at eps, which is never 0 for an element that is off.
  agree(
    t,
    'gaussianNll',
    [
      [1, 2, 1e-9],
      [1, 2, 0],
      [3, 3, 0],
      [1e4, -1e4, 0.5],
    ],
    {},
    4,
  )
  const low = call('gaussianNll', [[1, 2, 0]], { eps: 0.25 })
  t.deepEqual([...low.grad, ...low.varianceGrad], [-4, -6])
  // Squares beyond single precision.
  agree(
    t,
    'gaussianNll',
    [
      [3e19, 0, 1e10],
      [1e20, 0, 1e3],
      [1e4, -1e4, 1e-6],
    ],
    {},
    8,
  )
})

everywhere('laplaceNll', (t) => {
  const unit = ([x, y, s]: Numbers) => (1 + abs(log(s)) + abs(x - y) / s) * max(1, 1 / s)
  for (const options of [{}, { full: true }, { eps: 0.5 }]) {
    agree(
      t,
      'laplaceNll',
      rowsOf(() => [real(3), real(3), positive()]),
      options,
      8,
      unit,
    )
  }
  // At the kink the slope is 0; below eps it is that at eps.
  agree(
    t,
    'laplaceNll',
    [
      [2, 2, 1],
      [1, 2, 1e-9],
      [1, 2, 0],
      [1e4, -1e4, 1e-3],
      [-1e4, 1e4, 1e3],
    ],
    {},
    4,
  )
  t.deepEqual(Array.from(call('laplaceNll', [[2, 2, 0.5]], {}).grad), [0])
})

everywhere('gammaNll', (t) => {
  for (const concentration of [1, 0.5, 3, 40]) {
    for (const full of [false, true]) {
      const options = { concentration, full }
      const unit = ([x, y]: Numbers) => concentration * (1 + abs(x) + abs(log(y)) + y * exp(-x)) + abs(log(y))
      agree(
        t,
        'gammaNll',
        rowsOf(() => [real(2), positive()]),
        options,
        8,
        unit,
      )
      const ofMean = ([x, y]: Numbers) => unit([log(x), y]) * max(1, 1 / x)
      agree(
        t,
        'gammaNll',
        rowsOf(() => [positive(), positive()]),
        { ...options, logInput: false },
        8,
        ofMean,
      )
    }
  }
  agree(
    t,
    'gammaNll',
    [
      [1e4, 3],
      [80, 1e-3],
      [-80, 1e-3],
      [1e4, 1e-30],
    ],
    { concentration: 2 },
    8,
    ([x]) => 2 * abs(x),
  )
  const below = call('gammaNll', [[-1e4, 3]], {})
  t.deepEqual([...below.value, ...below.grad], [inf, -inf])
  // The digits where the mean is the target: terms of k = 10,000 leave three of them.
  const [value] = call('gammaNll', [[0.5, exp(0.5)]], { concentration: 10_000, full: true }).value
  t.true(
    abs(value - forms.gammaNll([0.5, fround(exp(0.5))], { concentration: 10_000, full: true }).value) < 1e-5,
    `${value}`,
  )
})

everywhere('tweedie', (t) => {
  for (const power of [1.5, 1.1, 1.9, 1.25]) {
    for (const deviance of [false, true]) {
      const options = { power, deviance }
      const amount = () => (random() < 0.3 ? 0 : positive())
      const unit = ([x, y]: Numbers) => {
        const [low, high] = [power - 1, 2 - power]
        return (
          ((y * exp(-low * x)) / low + exp(high * x) / high) * (1 + abs(x)) + (deviance ? y ** high / (low * high) : 0)
        )
      }
      agree(
        t,
        'tweedie',
        rowsOf(() => [real(2), amount()]),
        options,
        8,
        unit,
      )
      const ofMean = ([x, y]: Numbers) => unit([log(x), y]) * max(1, 1 / x)
      agree(
        t,
        'tweedie',
        rowsOf(() => [positive(), amount()]),
        { ...options, logInput: false },
        8,
        ofMean,
      )
    }
  }
  // The deviance near the target, by its series d²/t^p·(1 − p·d/(3·t)): as the formula is written, it has no digit left here.
  for (const power of [1.5, 1.2]) {
    for (const y of [1, 3, 40]) {
      const mean = fround(y * (1 + 1e-3))
      const d = mean - y
      const expected = d * d * y ** -power * (1 - (2 * power * d) / (3 * y))
      const [value] = call('tweedie', [[mean, y]], { power, logInput: false, deviance: true }).value
      t.true(abs(value - expected) <= 1e-3 * expected, `${value} ${expected}`)
    }
  }
  // Saturated: what is infinite is so in truth, and 0 · ∞ is 0.
  const far = call(
    'tweedie',
    [
      [1e4, 3],
      [-1e4, 3],
      [-1e4, 0],
      [1e4, 0],
    ],
    {},
  )
  t.deepEqual(Array.from(far.value), [inf, inf, 0, inf])
  t.deepEqual(Array.from(far.grad), [inf, -inf, 0, inf])
  const least = call(
    'tweedie',
    [
      [1e-38, 0],
      [1e-30, 0],
      [1e38, 1],
    ],
    { logInput: false },
  )
  least.grad.forEach((g, i) => {
    const [x, y] = [
      [1e-38, 0],
      [1e-30, 0],
      [1e38, 1],
    ][i]
    const truth = x ** -1.5 * (x - y)
    t.true(abs(g - truth) <= 1e-6 * abs(truth), `${g} ${truth}`)
  })
})

everywhere('what is NaN or infinite', (t) => {
  for (const [name, row] of Object.entries({
    hinge: [nan, 1],
    squaredHinge: [nan, 1],
    softMargin: [nan, 1],
    hingeEmbedding: [nan, 1],
    marginRanking: [nan, 1, 1],
    poissonNll: [nan, 1],
    gaussianNll: [nan, 1, 1],
    laplaceNll: [nan, 1, 1],
    gammaNll: [nan, 1],
    tweedie: [nan, 1],
  })) {
    const { value, ...slopes } = call(name, [row, row.with(0, 0.5)], {})
    t.is(value[0], nan, name)
    t.is(slopes.grad[0], nan, name)
    for (const own of [value, ...Object.values(slopes)]) t.false(Number.isNaN(own[1]), name)
  }
  agree(
    t,
    'hinge',
    [
      [inf, 1],
      [-inf, 1],
      [inf, -1],
    ],
    {},
    1,
  )
  agree(
    t,
    'hingeEmbedding',
    [
      [inf, 1],
      [inf, -1],
      [-inf, -1],
    ],
    {},
    1,
  )
  t.deepEqual(
    Array.from(
      call(
        'softMargin',
        [
          [inf, 1],
          [-inf, 1],
        ],
        {},
      ).value,
    ),
    [0, inf],
  )
  t.deepEqual(
    Array.from(
      call(
        'softMargin',
        [
          [inf, 1],
          [-inf, 1],
        ],
        {},
      ).grad,
      (g) => g + 0,
    ),
    [0, -1],
  )
})
