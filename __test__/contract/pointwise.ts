/** Calls of losses of an element, whose formula is the truth. */

import type { PointwiseDefinition, Values } from '../../ts/definition.js'
import { drawn, filled, generator } from '../data.js'
import { pointwiseReference } from '../reference.js'
import { type Case, LENGTHS } from './case.js'

export function pointwiseCases(definition: PointwiseDefinition): Case[] {
  const random = generator(definition.name.length)
  const { aux } = definition
  const defaults = Object.values(definition.params).map((param) => param.default)
  const cases: Case[] = []
  for (const n of LENGTHS) {
    const { domain } = definition
    const input = filled(n, () => drawn(random, domain.input))
    // Hard and soft targets by turns, but none of 0 for what has a logarithm of the target.
    const hard = domain.target === 'probability' && domain.input !== 'logProbability'
    const targets = (kind: Values) => filled(n, (i) => (hard && i % 3 > 0 ? Math.round(random()) : drawn(random, kind)))
    const usual = targets(domain.target)
    const add = (
      title: string,
      options: Record<string, unknown>,
      weight: (i: number) => number = () => 1,
      auxOf: (i: number) => number = () => aux?.default ?? 0,
      params: readonly number[] = defaults,
      target = usual,
      meanOf = n,
    ) => {
      const reference = pointwiseReference(definition, input, target, weight, auxOf, params, meanOf)
      // The value is the difference of two logarithms; this is at least the larger of them.
      const logarithm = (i: number) => Math.abs(input[i] * reference.dx[i]) + Math.abs(reference.values[i])
      cases.push({
        title: `n=${n} ${title}`,
        input,
        target,
        options,
        reference,
        only: 'meanBy' in options ? 'mean' : undefined,
        valueUnit: domain.input === 'logProbability' ? logarithm : () => 1e-30,
        // By a probability the logarithms have derivatives of 1/x and 1/(1 − x).
        slope: domain.input === 'probability' ? (i) => 1 / (input[i] * (1 - input[i])) : () => 1,
        positionOf: (i) => i,
        offersTargetGrad: true,
        cancelling: 0,
      })
    }

    add('plain', {})
    const full = filled(n, () => random() * 2)
    add('weight', { weight: full }, (i) => full[i])
    const weighed = (weight: Float32Array, title: string, options: Record<string, unknown>) => {
      const total = (weight.reduce((a, w) => a + w, 0) * n) / Math.max(1, weight.length)
      const by = { weight, meanBy: 'weight', ...options }
      add(title, by, (i) => weight[i % weight.length], undefined, undefined, undefined, total)
    }
    weighed(full, 'mean by weight', {})
    const [batch, sample] = n % 5 === 0 ? [5, n / 5] : [1, n]
    if (n > 0) {
      const shared = filled(sample, () => random() * 2)
      add('weight of a sample', { weight: shared, shape: [batch, sample] }, (i) => shared[i % sample])
      weighed(shared, 'mean by weight of a sample', { shape: [batch, sample] })
    }
    Object.entries(definition.params).forEach(([name, param], p) => {
      if (!('samples' in param)) {
        const on = defaults.with(p, 1)
        add(`${name}`, { [name]: true }, undefined, undefined, on, targets(param.target!))
        add(`no ${name}`, { [name]: false }, undefined, undefined, defaults.with(p, 0))
        return
      }
      for (const value of param.samples) {
        const option = value === param.none ? null : value
        add(`${name}=${option}`, { [name]: option }, undefined, undefined, defaults.with(p, value))
      }
    })
    if (aux === undefined) continue
    for (const value of aux.samples) add(`${aux.name}=${value}`, { [aux.name]: value }, undefined, () => value)
    if (n === 0) continue
    const classes = n % 3 === 0 ? 3 : 1
    const inner = n / classes
    const perClass = [0.5, 2, 3.25].slice(0, classes)
    add(`${aux.name} per class`, { [aux.name]: perClass, shape: [1, classes, inner] }, undefined, (i) => {
      return perClass[Math.floor(i / inner)]
    })
    const last = { [aux.name]: perClass, shape: [1, inner, classes], classAxis: -1 }
    add(`${aux.name} per class, classes last`, last, undefined, (i) => perClass[i % classes])
  }
  return cases
}
