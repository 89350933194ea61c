/** Losses of the library that are expressions: value and every gradient against formulas in double precision, and their edges. */

import test, { type ExecutionContext } from 'ava'
import * as library from '../../ts/index.js'
import { filled, generator } from '../data.js'
import { platforms } from '../platforms.js'
import { type LibraryCase, libraryCases } from './formulas.js'
import { type AnyLoss, loosely } from './losses.js'

const ROWS = 1500
const ULP = 2 ** -23

/** Arrays of the inputs of some rows. */
function drawn({ columns, draw }: LibraryCase, options: Readonly<Record<string, unknown>>, seed: number) {
  const random = generator(seed)
  const rows = Array.from({ length: ROWS }, () => draw(random, options).map(Math.fround))
  let first = 0
  const arrays = columns.map((width) => {
    const from = first
    first += width
    return Float32Array.from(rows.flatMap((numbers) => numbers.slice(from, from + width)))
  })
  return { rows, arrays }
}

/** The worst error of an array in what is allowed. */
function worst(got: ArrayLike<number>, expected: readonly number[], { ulps, cancelled = 0 }: LibraryCase): string {
  let most = 0
  let where = ''
  expected.forEach((e, i) => {
    const error = Math.abs(got[i] - e) / (ulps * ULP * Math.abs(e) + cancelled + 2 ** -140)
    if (error <= most) return
    most = error
    where = `${error.toFixed(2)} of what is allowed at ${i}: ${got[i]}, not ${e}`
  })
  return most <= 1 ? '' : where
}

for (const platform of platforms) {
  for (const one of libraryCases) {
    test(`${platform.name}: ${one.loss.name} is its formula`, (t) => {
      platform.activate()
      for (const [seed, options] of one.options.entries()) {
        const { rows, arrays } = drawn(one, options, seed + 1)
        const upstream = filled(ROWS, (i) => ((i * 7) % 5) - 1.5)
        const asked = Object.fromEntries(one.gradNames.flatMap((name) => (name === undefined ? [] : [[name, true]])))
        const expected = rows.map((numbers) => one.row(numbers, options))
        const text = JSON.stringify(options)
        const result = one.loss.valueAndGrad(...arrays, { ...options, reduction: 'none', ...asked })
        t.is(
          worst(
            result.value as Float32Array,
            expected.map(([value]) => value),
            one,
          ),
          '',
          `value ${text}`,
        )
        let first = 0
        for (const [k, width] of one.columns.entries()) {
          const name = k === 0 ? 'grad' : one.gradNames[k]
          const from = first
          first += width
          if (name === undefined) continue
          const slopes = expected.flatMap(([, all]) => all.slice(from, from + width))
          t.is(worst(result[name] as Float32Array, slopes, one), '', `${name} ${text}`)
        }
        // An upstream gradient per row, and the factor of a mean.
        const scaled = one.loss.backward(...arrays, { ...options, reduction: 'none', gradOutput: upstream })
        const width = one.columns[0]
        const slopes = expected.flatMap(([, all], i) => all.slice(0, width).map((slope) => slope * upstream[i]))
        t.is(worst(scaled, slopes, { ...one, cancelled: 3.5 * (one.cancelled ?? 0) }), '', `backward ${text}`)
        const { value, grad } = one.loss.valueAndGrad(...arrays, options)
        const mean = expected.reduce((sum, [own]) => sum + own, 0) / ROWS
        t.true(Math.abs((value as number) - mean) <= 1e-6 * Math.abs(mean) + (one.cancelled ?? 0), `mean ${text}`)
        const means = expected.flatMap(([, all]) => all.slice(0, width).map((slope) => slope / ROWS))
        t.is(
          worst(grad, means, { ...one, ulps: one.ulps + 2, cancelled: (one.cancelled ?? 0) / ROWS }),
          '',
          `grad ${text}`,
        )
      }
    })
  }
}

for (const one of libraryCases) {
  test(`${one.loss.name}: the slopes of the formula are those of its value`, (t) => {
    for (const [seed, options] of one.options.entries()) {
      const random = generator(seed + 100)
      for (let i = 0; i < 200; i++) {
        const numbers = one.draw(random, options).map(Math.fround)
        const [value, slopes] = one.row(numbers, options)
        for (const [k, slope] of slopes.entries()) {
          const step = 1e-5 * Math.max(1e-2, Math.abs(numbers[k]))
          const at = (h: number) => one.row(numbers.with(k, numbers[k] + h), options, numbers)[0]
          const difference = (at(step) - at(-step)) / (2 * step)
          const error = Math.abs(difference - slope)
          t.true(
            error <= 1e-5 * (1 + Math.abs(slope) + Math.abs(value)),
            `${numbers} ${k}: ${slope}, not ${difference}`,
          )
        }
      }
    }
  })
}

test('exact losses are those that say so', (t) => {
  for (const { loss, exact } of libraryCases) t.is(loss.explain().includes('exact:'), exact, loss.name)
})

/** Value and all gradients of rows by themselves. */
function rowsOf(loss: unknown, arrays: readonly (readonly number[])[], options: object = {}) {
  const names = arrays.length === 3 ? { targetGrad: true, scaleGrad: true } : { targetGrad: true }
  const floats = arrays.map((array) => Float32Array.from(array))
  return loosely(loss).valueAndGrad(...floats, { reduction: 'none', ...names, ...options })
}
const plain = (array: unknown) => Array.from(array as Float32Array, (x) => x + 0)
const { NaN: nan } = Number

for (const platform of platforms) {
  const edge = (name: string, check: (t: ExecutionContext) => void) =>
    test(`${platform.name}: ${name}`, (t) => {
      platform.activate()
      check(t)
    })

  edge('where a loss has a kink the slope is 0', (t) => {
    for (const loss of [
      library.logCosh,
      library.quantile,
      library.expectile,
      library.mape,
      library.charbonnier,
      library.wing,
      library.robust,
    ]) {
      const { grad, targetGrad } = rowsOf(loss, [[2], [2]])
      t.deepEqual([plain(grad), plain(targetGrad)], [[0], [0]], loosely(loss).name)
    }
    t.deepEqual(
      plain(
        rowsOf(library.smape, [
          [2, 0],
          [2, 0],
        ]).grad,
      ),
      [0, 0],
    )
    t.deepEqual(
      plain(
        rowsOf(library.smape, [
          [0, 0],
          [4, -4],
        ]).grad,
      ),
      [-50, 50],
    )
    // The line has the slope at the end of the curve.
    t.deepEqual(
      plain(
        rowsOf(library.wing, [
          [10, 9, -10],
          [0, 0, 0],
        ]).grad,
      ),
      [1, Math.fround(10 / 11), -1],
    )
    t.deepEqual(
      plain(
        rowsOf(library.msle, [
          [1e-7, -1, 0],
          [3, 3, 3],
        ]).grad,
      ),
      [0, 0, 0],
    )
    t.deepEqual(
      plain(
        rowsOf(
          library.mape,
          [
            [1, -1],
            [0, 0],
          ],
          { eps: 0.5 },
        ).targetGrad,
      ),
      [-200, 200],
    )
  })

  edge('saturated and far from 0 every number is finite and right', (t) => {
    const far = [1e4, -1e4, 1e15, -1e15]
    const zeros = far.map(() => 0)
    const logCosh = rowsOf(library.logCosh, [far, zeros])
    t.deepEqual(
      plain(logCosh.value),
      far.map((x) => Math.fround(Math.abs(x) - Math.LN2)),
    )
    t.deepEqual(plain(logCosh.grad), [1, -1, 1, -1])
    t.deepEqual(
      plain(
        rowsOf(library.charbonnier, [
          [1e4, -1e25, 3e38],
          [0, 0, 0],
        ]).value,
      ),
      [1e4, 1e25, 3e38].map(Math.fround),
    )
    t.deepEqual(
      plain(
        rowsOf(library.charbonnier, [
          [1e4, -1e25, 3e38],
          [0, 0, 0],
        ]).grad,
      ),
      [1, -1, 1],
    )
    t.deepEqual(
      plain(
        rowsOf(library.smape, [
          [3e38, 3e38],
          [3e38, -3e38],
        ]).value,
      ),
      [0, 200],
    )
    for (const alpha of [1, 0, -2, -Infinity, 0.5, -8]) {
      const { value, grad } = rowsOf(
        library.robust,
        [
          [1e4, -1e4, 1e25, 3e38],
          [0, 0, 0, 0],
        ],
        { alpha },
      )
      t.true([...(value as Float32Array), ...grad].every(Number.isFinite), `alpha ${alpha}`)
    }
    t.deepEqual(
      plain(
        rowsOf(library.robust, [
          [1e4, -1e25],
          [0, 0],
        ]).value,
      ),
      [Math.fround(Math.hypot(1e4, 1) - 1), Math.fround(1e25)],
    )
    t.deepEqual(
      plain(
        rowsOf(library.robust, [
          [1e25, -1e25],
          [0, 0],
        ]).grad,
      ),
      [1, -1],
    )
    // (ν + 1)/d
    t.deepEqual(plain(rowsOf(library.studentTNll, [[1e25], [0], [1]]).grad), [Math.fround(4 / 1e25)])
    t.deepEqual(plain(rowsOf(library.studentTNll, [[1e25], [0], [2]]).scaleGrad), [-1.5])
    const value = rowsOf(library.studentTNll, [[1e25], [0], [1]]).value as Float32Array
    t.true(Math.abs(value[0] - 2 * (2 * Math.log(1e25) - Math.log(3))) < 1e-4)
  })

  edge('asymmetric is finite at every logit, and its gradient right where it is saturated', (t) => {
    const logits = [1e4, -1e4, 200, -200, 0, 90, -90, -104, 3e38, -3e38]
    for (const clip of [0, 0.05]) {
      for (const gammaNeg of [0, 0.5, 4]) {
        for (const gammaPos of [0, 0.5, 1]) {
          for (const target of [0, 1, 0.5]) {
            const options = { clip, gammaNeg, gammaPos }
            const { value, grad, targetGrad } = rowsOf(library.asymmetric, [logits, logits.map(() => target)], options)
            const all = [...(value as Float32Array), ...grad, ...(targetGrad as Float32Array)]
            t.false(all.some(Number.isNaN), JSON.stringify({ ...options, target }))
            t.true(grad.every(Number.isFinite), JSON.stringify({ ...options, target }))
          }
        }
      }
    }
    // Missed entirely: −ln p is x, with the slope −1 and for a negative 1.
    const options = { clip: 0, gammaNeg: 0, gammaPos: 0 }
    const missed = rowsOf(
      library.asymmetric,
      [
        [-1e4, 1e4],
        [1, 0],
      ],
      options,
    )
    t.deepEqual(
      [plain(missed.value), plain(missed.grad)],
      [
        [1e4, 1e4],
        [-1, 1],
      ],
    )
    const infinite = rowsOf(
      library.asymmetric,
      [
        [Infinity, -Infinity],
        [1, 0],
      ],
      { clip: 0 },
    )
    t.deepEqual(
      [plain(infinite.value), plain(infinite.grad)],
      [
        [0, 0],
        [0, 0],
      ],
    )
  })

  edge('NaN reaches the value and the gradients of its row, and no other', (t) => {
    for (const one of libraryCases) {
      const { arrays } = drawn(one, {}, 9)
      for (const [k, width] of one.columns.entries()) {
        for (let column = 0; column < width; column++) {
          const own = arrays.map((array) => array.slice())
          own[k][width * 20 + column] = nan
          const asked = Object.fromEntries(one.gradNames.flatMap((name) => (name === undefined ? [] : [[name, true]])))
          const result = one.loss.valueAndGrad(...own, { reduction: 'none', ...asked })
          const what = `${one.loss.name}, input ${k}, column ${column}`
          const rowsOfNaN = (array: Float32Array, width: number) =>
            [...new Set(Array.from(array, (x, i) => (Number.isNaN(x) ? Math.floor(i / width) : -1)))].filter(
              (i) => i >= 0,
            )
          t.deepEqual(rowsOfNaN(result.value as Float32Array, 1), [20], what)
          one.gradNames.forEach((name, j) => {
            t.deepEqual(rowsOfNaN(result[name ?? 'grad'] as Float32Array, one.columns[j]), [20], `${what}, ${name}`)
          })
        }
      }
    }
  })

  edge('what is infinite stays so', (t) => {
    const { logCosh, quantile, expectile, charbonnier, wing, robust } = library
    for (const loss of [logCosh, quantile, expectile, charbonnier, wing, robust]) {
      const { value } = rowsOf(loss, [
        [Infinity, -Infinity, 1],
        [1, 1, -Infinity],
      ])
      t.deepEqual(plain(value), [Infinity, Infinity, Infinity], loosely(loss).name)
    }
    for (const loss of [logCosh, wing])
      t.deepEqual(
        plain(
          rowsOf(loss, [
            [Infinity, -Infinity],
            [1, 1],
          ]).grad,
        ),
        [1, -1],
      )
    t.deepEqual(
      plain(
        rowsOf(
          quantile,
          [
            [Infinity, -Infinity],
            [1, 1],
          ],
          { q: 0.25 },
        ).grad,
      ),
      [0.75, -0.25],
    )
  })

  edge('no gradient is NaN where the inputs are finite', (t) => {
    const sizes = [0, 1e-45, 1e-38, 1e-20, 1e-7, 0.5, 1, 88, 1e4, 1e10, 1e19, 1e25, 3e38]
    const all = [...sizes, ...sizes.map((x) => -x)].map(Math.fround)
    const random = generator(11)
    for (const one of libraryCases) {
      const isOf = (limits: readonly number[]) => (x: number) => x >= limits[0] && x <= limits[1]
      const { name } = one.loss
      // Ranges of inputs that a loss has.
      const choices = one.columns.map((_, k) => {
        if (name === 'asymmetric' && k === 1) return all.filter(isOf([0, 1]))
        return name === 'studentTNll' && k === 2 ? all.filter(isOf([0, 4e38])) : all
      })
      for (const options of one.options) {
        const rows = one.columns[0] === 1 ? 1000 : 3000
        const arrays = one.columns.map((width, k) =>
          filled(rows * width, () => choices[k][Math.floor(random() * choices[k].length)]),
        )
        // Boxes whose corners are the wrong way round have poles, where the area of the union is 0.
        for (const array of one.columns[0] === 4 ? arrays : []) {
          for (let i = 0; i < array.length; i += 4) {
            for (const k of [i, i + 1]) {
              if (options.format === undefined)
                [array[k], array[k + 2]] = [array[k], array[k + 2]].sort((a, b) => a - b)
              else array[k + 2] = Math.abs(array[k + 2])
            }
          }
        }
        const asked = Object.fromEntries(one.gradNames.flatMap((name) => (name === undefined ? [] : [[name, true]])))
        const result = one.loss.valueAndGrad(...arrays, { ...options, reduction: 'none', ...asked })
        for (const [k, given] of one.gradNames.entries()) {
          const grad = result[given ?? 'grad'] as Float32Array
          const i = grad.findIndex(Number.isNaN)
          const row = Math.floor(i / one.columns[k])
          const shown = arrays.map((array, j) => [...array.slice(row * one.columns[j], (row + 1) * one.columns[j])])
          t.is(i, -1, `${name} ${JSON.stringify(options)} ${given ?? 'grad'}: ${JSON.stringify(shown)}`)
        }
      }
    }
  })

  edge('a scale that is too small is lifted again', (t) => {
    const { value, scaleGrad } = rowsOf(
      library.studentTNll,
      [
        [0, 2],
        [0, 0],
        [0.25, 0.25],
      ],
      { eps: 0.5 },
    )
    t.deepEqual(plain(scaleGrad), [2, Math.fround((3 * (1 - 16)) / (3 + 16) / 0.5)])
    t.deepEqual(plain(value)[0], Math.fround(Math.log(0.5)))
  })

  edge('boxes that are their targets, boxes without height and points', (t) => {
    const same = [0.5, 1, 2, 4]
    for (const loss of [library.iou, library.giou, library.diou, library.ciou]) {
      const { value, grad, targetGrad } = rowsOf(loss, [same, same])
      t.true(Math.abs((value as Float32Array)[0]) < 1e-6, loosely(loss).name)
      t.deepEqual(
        [plain(grad), plain(targetGrad)],
        [
          [0, 0, 0, 0],
          [0, 0, 0, 0],
        ],
        loosely(loss).name,
      )
      const flat = [0, 1, 2, 1]
      const point = [1, 1, 1, 1]
      for (const [a, b] of [
        [flat, same],
        [same, flat],
        [flat, flat],
        [point, same],
        [same, point],
        [point, point],
        [point, flat],
      ]) {
        const result = rowsOf(loss, [a, b])
        const all = [...(result.value as Float32Array), ...result.grad, ...(result.targetGrad as Float32Array)]
        t.true(all.every(Number.isFinite), `${loosely(loss).name} [${a}] [${b}]: ${all}`)
      }
    }
    // Corners the wrong way round, whose angles are more than a right angle apart.
    const [a, b] = [
      [0, 0, -1, 3],
      [0, 0, 4, 1],
    ]
    const turn = Math.atan(4) - Math.atan(-1 / 3)
    const diou = (rowsOf(library.diou, [a, b]).value as Float32Array)[0]
    const ciou = (rowsOf(library.ciou, [a, b]).value as Float32Array)[0]
    const v = (4 / Math.PI ** 2) * turn ** 2
    const iou = (rowsOf(library.iou, [a, b]).value as Float32Array)[0]
    t.true(Math.abs(ciou - diou - v ** 2 / (iou + v + 1e-7)) < 1e-5, `${ciou} ${diou} ${v}`)
  })
}

test('options out of range are refused by name', (t) => {
  const x = Float32Array.of(1, 2)
  const wrong: [AnyLoss, object, RegExp][] = [
    [loosely(library.quantile), { q: 1 }, /quantile: q must be a number in \(0, 1\), got 1/],
    [loosely(library.expectile), { tau: 0 }, /expectile: tau must be a number in \(0, 1\), got 0/],
    [loosely(library.msle), { eps: -1 }, /msle: eps must be a number ≥ 0, got -1/],
    [loosely(library.mape), { eps: 0 }, /mape: eps must be a number ≥ 1e-30, got 0/],
    [loosely(library.charbonnier), { eps: 0 }, /charbonnier: eps must be in \[1e-18, 1e14\], got 0/],
    [loosely(library.wing), { width: 0 }, /wing: width must be in \[1e-30, 1e30\], got 0/],
    [loosely(library.asymmetric), { clip: 1 }, /asymmetric: clip must be in \[0, 1\), got 1/],
    [
      loosely(library.robust),
      { alpha: Infinity },
      /robust: alpha must be in \[-1e30, 1e30\] or -Infinity, got Infinity/,
    ],
    [loosely(library.studentTNll).with({ df: 3 }), { df: 0 }, /studentTNll: df must be in \[1e-3, 1e9\], got 0/],
  ]
  for (const [loss, options, message] of wrong) {
    const args = loss.name === 'studentTNll' ? [x, x, x] : [x, x]
    t.throws(() => loss(...args, options), { instanceOf: RangeError, message })
  }
  const boxes = new Float32Array(8)
  t.throws(() => loosely(library.giou)(boxes, boxes, { format: 'yxyx' }), {
    message: /giou: format must be one of 'xyxy'/,
  })
  t.throws(() => loosely(library.giou)(new Float32Array(6), boxes), { message: /giou: input must be .*4/ })
  const scale = Float32Array.of(1, -1)
  t.throws(() => library.asymmetric(x, x, { validate: true }), {
    message: /asymmetric: target\[1\] must be in \[0, 1\], got 2/,
  })
  t.throws(() => library.studentTNll(x, x, scale), {
    instanceOf: RangeError,
    message: /studentTNll: scale\[1\] must be ≥ 0, got -1/,
  })
})

test('what they are at some settings is another loss', (t) => {
  const random = generator(5)
  const [x, y] = [0, 1].map(() => filled(100, () => 4 * random() - 2))
  const near = (a: number, b: number, what: string) =>
    t.true(Math.abs(a - b) <= 1e-6 * Math.abs(b), `${what}: ${a}, ${b}`)
  near(library.quantile(x, y), library.l1(x, y) / 2, 'quantile')
  near(library.expectile(x, y), library.mse(x, y) / 2, 'expectile')
  near(library.robust(x, y, { alpha: 2 }), library.mse(x, y) / 2, 'robust')
  const hard = y.map((t) => Number(t > 0))
  near(library.asymmetric(x, hard, { clip: 0, gammaNeg: 0, gammaPos: 0 }), library.bceWithLogits(x, hard), 'asymmetric')
})
