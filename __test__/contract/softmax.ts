/** Calls of losses of classes, with the scores of a position anywhere in memory. */

import type { SoftmaxDefinition } from '../../ts/definition.js'
import { filled, generator, normal } from '../data.js'
import { type Layout, positionOf, softmaxReference } from '../reference.js'
import { type Case, LENGTHS } from './case.js'

const ROWS = [...Array(35).keys(), 63, 64, 65, 127, 129, 1025]

/** Shapes with a class axis: [samples, positions of a sample, classes]. */
const SHAPES = [
  [2, 5, 3],
  [1, 16, 1],
  [3, 33, 2],
  [2, 4, 17],
  [1, 19, 70],
  [2, 1100, 3],
  [3, 1, 100],
  [1, 2, 1100],
  [5, 40, 21],
] as const

export function softmaxCases(definition: SoftmaxDefinition): Case[] {
  const random = generator(definition.name.length)
  const { kind, params } = definition
  const gammas = params.gamma && 'samples' in params.gamma ? params.gamma.samples : []
  const cases: Case[] = []
  const add = (
    shape: readonly number[],
    layout: Layout,
    input: Float32Array,
    target: Float32Array | Int32Array,
    options: Record<string, unknown>,
  ) => {
    const single = (values: unknown) =>
      values === undefined ? undefined : Array.from(Float32Array.from(values as number[]))
    const numbers = {
      ignoreIndex: -100,
      labelSmoothing: 0,
      temperature: 1,
      gamma: params.gamma?.default ?? 0,
      ...options,
      weight: single(options.weight),
      alpha: single(options.alpha),
    }
    const reference = softmaxReference(definition, input, target, layout, numbers)
    cases.push({
      title: `[${shape}] ${Object.keys(options).join(' ') || 'plain'}${target instanceof Int32Array ? '' : ' distribution'}`,
      input,
      target,
      options: { shape, ...options },
      reference,
      // The scores' unit: ln p is the difference of two of them.
      valueUnit: () => 4,
      slope: () => 1,
      positionOf: (i) => positionOf(layout, i),
      offersTargetGrad: kind !== 'logProbabilities' && target instanceof Float32Array,
      cancelling: reference.count > 0 ? 3 / reference.count : 0,
    })
  }
  const labelsOf = (count: number, classes: number) =>
    Int32Array.from({ length: count }, (_, i) => (i % 7 === 5 ? -100 : Math.floor(random() * classes)))

  // Rows with class indices.
  const rowShapes = [
    ...LENGTHS.filter((classes) => classes > 0).map((classes) => [3, classes]),
    ...ROWS.flatMap((rows) => [1, 3, 10, 20].map((classes) => [rows, classes])),
  ]
  for (const shape of kind === 'scores' ? rowShapes : []) {
    const [rows, classes] = shape
    const input = filled(rows * classes, () => normal(random, 3))
    const labels = labelsOf(rows, classes)
    const weight = Array.from({ length: classes }, () => 0.25 + random())
    const variants: Record<string, unknown>[] = [
      {},
      { weight },
      { labelSmoothing: 0.1 },
      { weight, labelSmoothing: 0.3, temperature: 2.5 },
      { ignoreIndex: 0, temperature: 0.5 },
      { labelSmoothing: 1 },
    ]
    for (const options of variants) {
      // Another ignored index makes that of the data a class: 0 is in every range.
      const target = options.ignoreIndex === undefined ? labels : labels.map((y) => (y === -100 ? 0 : y))
      add(shape, { classes, inner: 1 }, input, target, options)
    }
  }

  // Any axis, and any target.
  for (const [samples, inside, classes] of SHAPES) {
    // Differences of both softmaxes take C passes for each of C scores.
    if (kind === 'teacher' && classes > 100) continue
    for (const classAxis of [1, -1]) {
      const shape = classAxis === 1 ? [samples, classes, inside] : [samples, inside, classes]
      const layout = { classes, inner: classAxis === 1 ? inside : 1 }
      const positions = samples * inside
      const input = filled(positions * classes, () => normal(random, 3) - (kind === 'logProbabilities' ? 8 : 0))
      const labels = labelsOf(positions, classes)
      const distribution = filled(input.length, () => random() / classes)
      const scores = filled(input.length, () => normal(random, 3))
      const mask = filled(positions, (i) => Number(i % 3 !== 1))
      const sampleWeight = filled(positions, () => random() * 2)
      const weight = Array.from({ length: classes }, () => 0.25 + random())
      const alpha = definition.alpha && weight.map((w) => 2 - w)
      const own = { ...(classAxis === -1 && { classAxis }), ...(alpha && { alpha }) }
      if (kind === 'teacher') {
        for (const temperature of [1, 2.5]) add(shape, layout, input, scores, { ...own, temperature })
        continue
      }
      add(shape, layout, input, labels, own)
      add(shape, layout, input, labels, { ...own, weight, sampleWeight, mask })
      if (kind === 'logProbabilities') continue
      for (const gamma of gammas) add(shape, layout, input, labels, { ...own, gamma })
      add(shape, layout, input, labels, { ...own, weight, labelSmoothing: 0.2, temperature: 2 })
      add(shape, layout, input, distribution, own)
      add(shape, layout, input, distribution, {
        ...own,
        weight,
        sampleWeight,
        mask,
        labelSmoothing: 0.1,
        temperature: 0.7,
      })
    }
  }
  return cases
}
