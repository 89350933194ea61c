/** Random expressions: each is built of nodes, and of functions of numbers beside them that know nothing of nodes. */

import fc from 'fast-check'
import * as e from '../../ts/expression/index.js'

type Four<T> = readonly [a: T, b: T, c: T, d: T]

/** A step of an expression, and what it is for numbers. */
export interface Step {
  node(...four: Four<e.Value>): e.Value
  number(...four: Four<number>): number
}

const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x))
const clamp = (x: number, low: number, high: number) => Math.max(Math.min(x, high), low)

/** Steps of exact operations. */
export const exactSteps: readonly Step[] = [
  { node: (a, b) => e.add(a, b), number: (a, b) => a + b },
  { node: (a, b) => e.sub(a, b), number: (a, b) => a - b },
  { node: (a, b) => e.mul(a, b), number: (a, b) => a * b },
  { node: (a, b, c) => e.add(e.mul(a, b), c), number: (a, b, c) => a * b + c },
  { node: (a) => e.neg(a), number: (a) => -a },
  { node: (a) => e.abs(a), number: (a) => Math.abs(a) },
  { node: (a) => e.square(a), number: (a) => a * a },
  { node: (a, b) => e.div(a, e.add(1.5, e.square(b))), number: (a, b) => a / (1.5 + b * b) },
  { node: (a) => e.sqrt(e.add(0.3, e.square(a))), number: (a) => Math.sqrt(0.3 + a * a) },
  { node: (a, b) => e.mul(a, e.sign(b)), number: (a, b) => a * Math.sign(b) },
  { node: (a, b) => e.min(a, b), number: (a, b) => Math.min(a, b) },
  { node: (a, b) => e.max(a, b), number: (a, b) => Math.max(a, b) },
  { node: (a) => e.max(0.1, a), number: (a) => Math.max(a, 0.1) },
  { node: (a) => e.min(a, 0.2), number: (a) => Math.min(a, 0.2) },
  { node: (a) => e.clamp(a, -0.5, 0.9), number: (a) => clamp(a, -0.5, 0.9) },
  { node: (a, b, c, d) => e.where(e.lt(a, b), c, d), number: (a, b, c, d) => (a < b ? c : d) },
  { node: (a, b, c, d) => e.where(e.ge(a, b), c, d), number: (a, b, c, d) => (a >= b ? c : d) },
  {
    node: (a, b, c, d) => e.where(e.and(e.lt(a, b), e.le(c, 0.5)), c, d),
    number: (a, b, c, d) => (a < b && c <= 0.5 ? c : d),
  },
  {
    node: (a, b, c, d) => e.where(e.not(e.or(e.lt(a, 0.1), e.gt(c, b))), d, a),
    number: (a, b, c, d) => (a < 0.1 || c > b ? a : d),
  },
  // A branch that is NaN where it is not taken.
  {
    node: (a, b, c) => e.where(e.lt(0, a), e.mul(b, e.sqrt(a)), c),
    number: (a, b, c) => (a > 0 ? b * Math.sqrt(a) : c),
  },
  {
    node: (a, b) => e.where(e.eq(a, 0), b, e.div(b, e.add(a, e.mul(3, e.sign(a))))),
    number: (a, b) => (a === 0 ? b : b / (a + 3 * Math.sign(a))),
  },
  { node: (a, b) => e.mul0(a, b), number: (a, b) => (a === 0 ? 0 : a * b) },
  { node: (a) => e.pow(a, 3), number: (a) => a ** 3 },
]

/** Those, and the others. */
export const allSteps: readonly Step[] = [
  ...exactSteps,
  { node: (a) => e.exp(e.clamp(a, -3, 2)), number: (a) => Math.exp(clamp(a, -3, 2)) },
  { node: (a) => e.expm1(e.clamp(a, -3, 2)), number: (a) => Math.expm1(clamp(a, -3, 2)) },
  { node: (a) => e.log(e.add(0.2, e.abs(a))), number: (a) => Math.log(0.2 + Math.abs(a)) },
  { node: (a) => e.log1p(e.abs(a)), number: (a) => Math.log1p(Math.abs(a)) },
  { node: (a) => e.softplus(a), number: softplus },
  { node: (a) => e.softplus(e.neg(e.abs(a))), number: (a) => softplus(-Math.abs(a)) },
  { node: (a) => e.softplus(e.mul(-2, a)), number: (a) => softplus(-2 * a) },
  { node: (a) => e.logSigmoid(a), number: (a) => -softplus(-a) },
  { node: (a) => e.sigmoid(a), number: sigmoid },
  { node: (a) => e.sigmoid(e.neg(a)), number: (a) => sigmoid(-a) },
  { node: (a) => e.tanh(a), number: Math.tanh },
  { node: (a) => e.atan(a), number: Math.atan },
  { node: (a) => e.pow(e.add(0.4, e.abs(a)), 1.7), number: (a) => (0.4 + Math.abs(a)) ** 1.7 },
  {
    node: (a, b) => e.pow(e.add(0.4, e.abs(a)), e.clamp(b, -1, 2)),
    number: (a, b) => (0.4 + Math.abs(a)) ** clamp(b, -1, 2),
  },
  { node: (a, b) => e.where(e.lt(0, a), e.log(a), b), number: (a, b) => (a > 0 ? Math.log(a) : b) },
  {
    node: (a, b) => e.xlogy(a, e.add(0.5, e.abs(b))),
    number: (a, b) => (a === 0 ? 0 : a * Math.log(0.5 + Math.abs(b))),
  },
]

export const INPUTS = 3

/** Which step is taken, and which of what there is so far it works on. */
export type Recipe = readonly (readonly [step: number, a: number, b: number, c: number, d: number])[]

const index = fc.nat({ max: 999 })

export const recipes = (steps: readonly Step[], longest = 14): fc.Arbitrary<Recipe> =>
  fc.array(fc.tuple(fc.nat({ max: steps.length - 1 }), index, index, index, index), {
    minLength: 1,
    maxLength: longest,
  })

/** The result of a recipe: its last step, and a little of each input, so that there is a gradient by all of them. */
function cook<T>(
  recipe: Recipe,
  pool: T[],
  run: (step: number, ...four: Four<T>) => T,
  finish: (result: T, inputs: readonly T[]) => T,
): T {
  const inputs = pool.slice(0, INPUTS)
  for (const [step, a, b, c, d] of recipe) {
    const at = (i: number) => pool[i % pool.length]
    pool.push(run(step, at(a), at(b), at(c), at(d)))
  }
  return finish(pool[pool.length - 1], inputs)
}

const SHARES = [0.25, -0.5, 0.125]

/** A loss of three inputs. */
export function lossOf(steps: readonly Step[], recipe: Recipe) {
  return e.defineLoss({
    name: 'random',
    inputs: { x: e.input, y: e.input, z: e.input },
    params: { p: 0.7 },
    loss: ({ x, y, z }, { p }) =>
      cook<e.Value>(
        recipe,
        [x, y, z, p, e.mul(p, -2)],
        (step, ...four) => steps[step].node(...four),
        (result, inputs) => inputs.reduce((sum, own, k) => e.add(sum, e.mul(SHARES[k], own)), result),
      ),
  })
}

/** The same of numbers; the constants are those of single precision. */
export function numberOf(steps: readonly Step[], recipe: Recipe, numbers: readonly number[]): number {
  const p = Math.fround(0.7)
  return cook<number>(
    recipe,
    [...numbers, p, p * -2],
    (step, ...four) => steps[step].number(...four),
    (result, inputs) => inputs.reduce((sum, own, k) => sum + SHARES[k] * own, result),
  )
}
