/** Prints what value and gradient by a kernel and by the program of the same loss take, in nanoseconds per element. */

import * as e from '../ts/expression/index.js'
import type { CommonOptions, Loss } from '../ts/family/loss.js'
import { bceWithLogits, huber, mse, setThreads, sigmoidFocal } from '../ts/index.js'
import { warmUp } from './warm.js'

/** One case, as a child gets it; the environment forces the backend. */
export interface ExpressionCase {
  readonly loss: ExpressionName
  readonly elements: number
  readonly seconds: number
  /** Pinned, on native. */
  readonly instructionSet: string | undefined
}

/** What a child prints. */
export interface ExpressionTimes {
  readonly kernel: number
  readonly program: number
}

export type ExpressionName = 'mse' | 'huber' | 'bceWithLogits' | 'sigmoidFocal'

const { abs, add, fixed, input, le, logSigmoid, mul, neg, pow, sigmoid, square, sub, where } = e

const inputs = { input, target: fixed }

/** −t·ln σ(x) − (1 − t)·ln σ(−x) */
function crossEntropy(x: e.Value, t: e.Value) {
  return neg(add(mul(t, logSigmoid(x)), mul(sub(1, t), logSigmoid(neg(x)))))
}

const KERNELS = { mse, huber, bceWithLogits, sigmoidFocal }

const PROGRAMS = {
  mse: e.defineLoss({ name: 'mse', inputs, loss: ({ input, target }) => square(sub(input, target)) }),
  huber: e.defineLoss({
    name: 'huber',
    inputs,
    params: { delta: 1 },
    loss({ input, target }, { delta }) {
      const difference = sub(input, target)
      const size = abs(difference)
      return where(le(size, delta), mul(0.5, square(difference)), mul(delta, sub(size, mul(0.5, delta))))
    },
  }),
  bceWithLogits: e.defineLoss({
    name: 'bceWithLogits',
    inputs,
    loss: ({ input, target }) => crossEntropy(input, target),
  }),
  sigmoidFocal: e.defineLoss({
    name: 'sigmoidFocal',
    inputs,
    params: { alpha: 0.25, gamma: 2 },
    loss({ input, target }, { alpha, gamma }) {
      const miss = add(mul(target, sigmoid(neg(input))), mul(sub(1, target), sigmoid(input)))
      const balance = add(mul(alpha, target), mul(sub(1, alpha), sub(1, target)))
      return mul(balance, mul(pow(miss, gamma), crossEntropy(input, target)))
    },
  }),
}

const TOLERANCE = 1e-5
/** Milliseconds of a sample. */
const SAMPLE = 2

const given: ExpressionCase = JSON.parse(process.argv[2])
if (given.instructionSet !== undefined) {
  const { active } = await import('../ts/backend/load.js')
  ;(active as import('../ts/backend/native.js').NativeBackend).pin(given.instructionSet)
}
setThreads(1)
type Timed = Pick<Loss<Float32Array, Float32Array, CommonOptions>, 'valueAndGrad'>
const losses = [KERNELS[given.loss], PROGRAMS[given.loss]] as unknown as readonly Timed[]
const binary = given.loss === 'bceWithLogits' || given.loss === 'sigmoidFocal'
// A generator of 32 bits, so that both sides of every kink come in no order.
let state = 1
const random = () => {
  state = (Math.imul(state, 1664525) + 1013904223) | 0
  return (state >>> 0) / 2 ** 32
}
const x = Float32Array.from({ length: given.elements }, () => 8 * random() - 4)
const t = Float32Array.from(x, () => (binary ? Number(random() < 0.5) : 8 * random() - 4))
const grad = new Float32Array(given.elements)
const calls = losses.map((loss) => () => loss.valueAndGrad(x, t, { grad }))

// Both must give the same, or one of them is another loss.
const results = calls.map((call) => {
  const { value } = call()
  return [value as number, Math.hypot(...grad.subarray(0, 1000))]
})
results[0].forEach((of, i) => {
  if (!(Math.abs(results[1][i] - of) <= TOLERANCE * Math.abs(of))) {
    throw new Error(`the program gives ${results[1]}, the kernel ${results[0]}`)
  }
})

// By turns; of each the fastest, so that a machine that is shared with others is measured in its quiet moments.
const batches = calls.map((call) => Math.ceil(warmUp(call, 100).perMillisecond * SAMPLE))
const least = calls.map(() => Number.POSITIVE_INFINITY)
for (const end = performance.now() + 1000 * given.seconds; performance.now() < end; ) {
  calls.forEach((call, k) => {
    const start = performance.now()
    for (let i = 0; i < batches[k]; i++) call()
    least[k] = Math.min(least[k], ((performance.now() - start) * 1e6) / (batches[k] * given.elements))
  })
}
console.log(JSON.stringify({ kernel: least[0], program: least[1] } satisfies ExpressionTimes))
