/** Weights of classes by how often they occur. */

import { fitsShape, number, tensorOf, word } from './check.js'
import type { Labels } from './family/arrays.js'
import { ignoredOf, labelsOf, wrongLabel } from './family/positions.js'
import { readOptions } from './options.js'

/** Options of {@link classWeights}. */
export interface ClassWeightOptions {
  /** `'inverse'` (default), `'balanced'` or `'effective'`. */
  method?: 'inverse' | 'balanced' | 'effective'
  /** β in [0, 1) of the effective number of samples. Default 0.999. */
  beta?: number
  /** Labels that are not counted. Default −100. */
  ignoreIndex?: number | readonly number[]
}

const methods = ['inverse', 'balanced', 'effective'] as const
const options = new Set(['method', 'beta', 'ignoreIndex'])

/**
 * Weights for `crossEntropy` and the like: with N labels, of which N_c are of class c, (N − N_c)/N by the method `'inverse'`,
 * N/(C·N_c) by `'balanced'`, and (1 − β)/(1 − β^N_c) by `'effective'`.
 *
 * A class without labels has the weight 1 by `'inverse'`, as the formula says; by the other two, whose formulas have no value
 * there, it counts as if it had one label. Without any label all weights are 1.
 *
 * Labels of one class alone give that class the weight 0 by `'inverse'`. The mean of `crossEntropy`, which divides by the sum of
 * the labels' weights, is then over nothing: NaN, or 0 with `emptyMean: 'zero'`. Take the weights of the whole data set, not of
 * each batch.
 *
 * @param labels class indices
 * @param classes number of classes, C
 * @returns one weight per class
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where a label is no class
 * @example
 * import { classWeights } from 'fused-loss'
 *
 * const labels = Int32Array.of(0, 0, 0, 1)
 * classWeights(labels, 2) // → [0.25, 0.75]
 * classWeights(labels, 2, { method: 'balanced' })[1] // → 2
 * classWeights(labels, 3)[2] // → 1
 * @see scikit-learn `compute_class_weight` for `'balanced'`; Cui et al., Class-Balanced Loss Based on Effective Number of
 *   Samples (2019) for `'effective'`
 */
export function classWeights(labels: Labels, classes: number, given: ClassWeightOptions = {}): Float32Array {
  const name = 'classWeights'
  const read = readOptions(name, given, options)
  const tensor = tensorOf(name, 'labels', labels)
  number(name, 'classes', classes, 'an integer > 0', (n) => Number.isInteger(n) && n > 0 && n < 2 ** 31)
  const method = word(name, 'method', read.method ?? 'inverse', methods)
  const beta = number(name, 'beta', read.beta ?? 0.999, 'in [0, 1)', (b) => b >= 0 && b < 1)
  const ignored = ignoredOf(name, read.ignoreIndex)
  const values = labelsOf(name, tensor.data, 'labels')
  fitsShape(name, 'labels', tensor)
  const counts = new Float64Array(classes)
  let total = 0
  for (let i = 0; i < values.length; i++) {
    const y = Number(values[i])
    if (ignored.includes(y)) continue
    if (y < 0 || y >= classes) throw wrongLabel(name, `labels[${i}]`, values[i], classes, ignored)
    counts[y]++
    total++
  }
  if (total === 0) return new Float32Array(classes).fill(1)
  return Float32Array.from(counts, (found) => {
    const count = Math.max(found, 1)
    if (method === 'inverse') return (total - found) / total
    if (method === 'balanced') return total / (classes * count)
    return (1 - beta) / (1 - beta ** count)
  })
}
