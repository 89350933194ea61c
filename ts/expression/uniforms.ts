/** What is the same for all rows: computed once per call, rounded at every step, so that all backends get the same numbers. */

import { pow } from './math.js'
import { isHeld, type Node, type Value } from './node.js'
import { logistic } from './operations.js'

const { fround } = Math

/** Values of uniforms, and whether single precision holds every product and quotient that they are made of. */
export interface Uniforms {
  readonly values: Float32Array
  readonly held: boolean
}

/** The value of uniforms, given the parameters and the factor of the gradients. */
export function evaluateUniforms(uniforms: readonly Value[], params: readonly number[], scale: number): Uniforms {
  let held = true
  const known = new Map<Node, number>()
  const evaluate = (node: Node): number => {
    let value = known.get(node)
    if (value === undefined) {
      value = fround(computed(node, evaluate, params, scale))
      known.set(node, value)
      if (node.kind === 'mul' || node.kind === 'div') {
        held &&= isHeld(value, evaluate(node.args[0]), evaluate(node.args[1]))
      }
    }
    return value
  }
  const values = Float32Array.from(uniforms, evaluate)
  return { values, held }
}

/** A node from its arguments, as numbers: conditions are 1 or 0. Parameters and the scale are given, inputs have no value here. */
export function computed(
  node: Node,
  evaluate: (node: Node) => number,
  params: readonly number[] = [],
  scale = 1,
): number {
  const a = node.args.length > 0 ? evaluate(node.args[0]) : 0
  const b = node.args.length > 1 ? evaluate(node.args[1]) : 0
  const c = node.conditions.length > 0 ? evaluate(node.conditions[0]) : 0
  switch (node.kind) {
    case 'const':
      return node.value
    case 'param':
      return params[node.value]
    case 'scale':
      return scale
    case 'add':
      return a + b
    case 'sub':
      return a - b
    case 'mul':
      return a * b
    case 'div':
      return a / b
    case 'neg':
      return -a
    case 'abs':
      return Math.abs(a)
    case 'sign':
      return Math.sign(a)
    case 'mulsign':
      return Math.abs(b) > 0 ? a * Math.sign(b) : b
    case 'sqrt':
      return Math.sqrt(a)
    case 'min':
      return Math.min(a, b)
    case 'max':
      return Math.max(a, b)
    case 'clamp':
      return Math.max(Math.min(a, evaluate(node.args[2])), b)
    case 'mul0':
      return a === 0 ? 0 : a * b
    case 'exp':
      return Math.exp(a)
    case 'expm1':
      return Math.expm1(a)
    case 'log':
      return Math.log(a)
    case 'log1p':
      return Math.log1p(a)
    case 'softplus':
      return logistic(a)[2]
    case 'sigmoid':
      return logistic(a)[0]
    case 'tanh':
      return Math.tanh(a)
    case 'pow':
      return pow(a, b)
    case 'atan':
      return Math.atan(a)
    case 'where':
      return c !== 0 ? a : b
    case 'detach':
    case 'custom':
      return a
    case 'lt':
      return Number(a < b)
    case 'le':
      return Number(a <= b)
    case 'eq':
      return Number(a === b)
    case 'and':
      return c * evaluate(node.conditions[1])
    case 'or':
      return Math.max(c, evaluate(node.conditions[1]))
    case 'not':
      return 1 - c
    case 'input':
      throw new Error('an input is no uniform')
  }
}
