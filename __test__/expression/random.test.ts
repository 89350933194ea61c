/** Random expressions: value and gradients beside double precision, and variants of a program beside each other. */

import test from 'ava'
import fc from 'fast-check'
import { filled, generator, sameBits } from '../data.js'
import { platforms } from '../platforms.js'
import { loosely } from './losses.js'
import { allSteps, exactSteps, INPUTS, lossOf, numberOf, recipes } from './random.js'

const seeds = fc.nat()
const RUNS = { numRuns: 250, includeErrorInReport: true }
const NAMES = ['grad', 'yGrad', 'zGrad'] as const
const asked = { yGrad: true, zGrad: true }

const drawn = (seed: number, length: number) => {
  const random = generator(seed)
  return Array.from({ length: INPUTS }, () => filled(length, () => 4 * random() - 2))
}

/** The slope of a function of one number, where it has one and is no steeper than single precision can tell. */
function slopeOf(f: (step: number) => number): number | undefined {
  const value = f(0)
  const [near, far] = [1e-5, 2e-5].map((h) => (f(h) - f(-h)) / (2 * h))
  const [left, right] = [(value - f(-2e-5)) / 2e-5, (f(2e-5) - value) / 2e-5]
  const size = Math.max(1, Math.abs(value), Math.abs(near))
  const isSmooth = Math.abs(near - far) < 1e-3 * size && Math.abs(left - right) < 1e-2 * size
  return isSmooth && size < 1e4 ? near : undefined
}

for (const { name, activate } of platforms) {
  test.serial(`random expressions have the value and the gradients of their formula on ${name}`, (t) => {
    activate()
    let compared = 0
    let skipped = 0
    t.notThrows(() =>
      fc.assert(
        fc.property(recipes(allSteps), seeds, (recipe, seed) => {
          const loss = loosely(lossOf(allSteps, recipe))
          const rows = 40
          const inputs = drawn(seed, rows)
          const { value } = loss.valueAndGrad(...inputs, { reduction: 'none' })
          const result = loss.valueAndGrad(...inputs, { reduction: 'sum', ...asked })
          for (let row = 0; row < rows; row++) {
            const numbers = inputs.map((input) => input[row])
            const expected = numberOf(allSteps, recipe, numbers)
            const size = Math.max(1, Math.abs(expected))
            const got = (value as Float32Array)[row]
            const slopes = numbers.map((_, k) =>
              slopeOf((step) =>
                numberOf(
                  allSteps,
                  recipe,
                  numbers.map((x, j) => (j === k ? x + step : x)),
                ),
              ),
            )
            // Near a jump single precision may be on the other side of it.
            if (slopes.includes(undefined) || !(size < 1e4)) {
              skipped++
              continue
            }
            if (!(Math.abs(got - expected) < 1e-3 * size))
              throw new Error(`value of ${numbers}: ${got} for ${expected}`)
            slopes.forEach((slope, k) => {
              compared++
              const got = (result[NAMES[k]] as Float32Array)[row]
              const size = Math.max(1, Math.abs(expected), Math.abs(slope!))
              if (Math.abs(got - slope!) < 2e-3 * size) return
              throw new Error(`${NAMES[k]} of ${numbers}: ${got} for ${slope}\n${loss}`)
            })
          }
        }),
        RUNS,
      ),
    )
    t.true(compared > 5 * skipped)
  })

  test.serial(`a random expression has the same gradients in every variant of its program on ${name}`, (t) => {
    activate()
    t.notThrows(() =>
      fc.assert(
        fc.property(recipes(exactSteps), seeds, fc.integer({ min: 1, max: 1500 }), (recipe, seed, rows) => {
          const loss = loosely(lossOf(exactSteps, recipe))
          const inputs = drawn(seed, rows)
          const plain = loss.valueAndGrad(...inputs, { reduction: 'sum', gradOutput: 4, ...asked })
          // Over the inputs themselves.
          const copies = inputs.map((input) => input.slice())
          const over = loss.valueAndGrad(...copies, {
            reduction: 'sum',
            gradOutput: 4,
            grad: copies[0],
            yGrad: copies[1],
            zGrad: copies[2],
          })
          // By way of the values and slopes of each row: a factor that is a power of two changes no digit.
          const none = loss.valueAndGrad(...inputs, {
            reduction: 'none',
            gradOutput: new Float32Array(rows).fill(4),
            ...asked,
          })
          const alone = loss.backward(...inputs, { reduction: 'sum', gradOutput: 4 })
          const masked = loss.valueAndGrad(...inputs, {
            reduction: 'sum',
            gradOutput: 4,
            mask: new Uint8Array(rows).fill(1),
            ...asked,
          })
          if (plain.value !== over.value || plain.value !== masked.value)
            throw new Error(`${plain.value} ${over.value} ${masked.value}`)
          const zeros = (array: unknown) => (array as Float32Array).map((x) => x + 0)
          for (const key of NAMES) {
            for (const other of [over, none, masked, ...(key === 'grad' ? [{ grad: alone }] : [])]) {
              const [a, b] = [zeros(plain[key]), zeros((other as Record<string, unknown>)[key])]
              if (!sameBits(a, b)) throw new Error(`${key}: ${a.slice(0, 5)} and ${b.slice(0, 5)}\n${loss}`)
            }
          }
        }),
        RUNS,
      ),
    )
  })
}

test.serial('random exact expressions have the same bits everywhere', (t) => {
  t.notThrows(() =>
    fc.assert(
      fc.property(recipes(exactSteps, 20), seeds, fc.integer({ min: 1, max: 2500 }), (recipe, seed, rows) => {
        const loss = loosely(lossOf(exactSteps, recipe))
        if (!loss.explain().includes('exact')) throw new Error('is not exact')
        const inputs = drawn(seed, rows)
        // Some that leave the range.
        inputs[seed % INPUTS][seed % rows] *= 1e30
        const results = platforms.map(({ name, activate }) => {
          activate()
          return { name, ...loss.valueAndGrad(...inputs, asked) } as Record<string, unknown>
        })
        for (const other of results) {
          for (const key of NAMES) {
            if (!sameBits(results[0][key] as Float32Array, other[key] as Float32Array))
              throw new Error(`${key} on ${other.name}`)
          }
          if (!Object.is(results[0].value, other.value))
            throw new Error(`${results[0].value} and ${other.value} on ${other.name}`)
        }
      }),
      RUNS,
    ),
  )
})
