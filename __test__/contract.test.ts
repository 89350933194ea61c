/**
 * The contract: every loss on every backend and instruction set, at lengths around every block and vector boundary, from
 * unaligned memory, with every reduction and option, in place and not. A new loss is tested by its registry row.
 */

import test, { type ExecutionContext } from 'ava'
import type { BatchReduction, PointwiseDefinition, SoftmaxDefinition, Values } from '../ts/definition.js'
import { definitionOf } from '../ts/definitions.js'
import { accumulated } from '../ts/family/inside.js'
import type { Loss } from '../ts/family/loss.js'
import * as library from '../ts/index.js'
import { drawn, filled, generator, guarded, intact, normal, sameBits } from './data.js'
import { missing, platforms, registry } from './platforms.js'
import { type Layout, pointwiseReference, positionOf, type Reference, softmaxReference } from './reference.js'

type AnyLoss = Loss<Float32Array, Float32Array | Int32Array, Record<string, unknown>>

/** Arguments of a call, and what must come out. */
interface Case {
  readonly title: string
  readonly input: Float32Array
  readonly target: Float32Array | Int32Array
  readonly options: Record<string, unknown>
  readonly reference: Reference
  /** The only reduction that has these options. */
  readonly only?: BatchReduction | undefined
  /** What rounding counts by where terms of the value cancel. */
  readonly valueUnit: (i: number) => number
  /** How large terms of the gradient are for arguments of about 1. */
  readonly slope: (i: number) => number
  /** Number of the value that an element of the gradient belongs to. */
  readonly positionOf: (i: number) => number
  readonly offersTargetGrad: boolean
}

const LENGTHS = [...Array(67).keys(), 1023, 1024, 1025, 4097, 100_003]
const ROWS = [...Array(35).keys(), 63, 64, 65, 127, 129, 1025]

const losses = Object.values(library).flatMap((loss) => {
  const definition = definitionOf(loss)
  // The losses over planes have a contract of their own.
  if (definition?.family !== 'pointwise' && definition?.family !== 'softmax') return []
  return [{ definition, loss: loss as unknown as AnyLoss }]
})

function pointwiseCases(definition: PointwiseDefinition): Case[] {
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

function softmaxCases(definition: SoftmaxDefinition): Case[] {
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
    cases.push({
      title: `[${shape}] ${Object.keys(options).join(' ') || 'plain'}${target instanceof Int32Array ? '' : ' distribution'}`,
      input,
      target,
      options: { shape, ...options },
      reference: softmaxReference(definition, input, target, layout, numbers),
      // The scores' unit: ln p is the difference of two of them.
      valueUnit: () => 4,
      slope: () => 1,
      positionOf: (i) => positionOf(layout, i),
      offersTargetGrad: kind !== 'logProbabilities' && target instanceof Float32Array,
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

/** Whether two arrays differ by at most `tolerance`, of the truth or, where terms cancel, of the unit of the terms. */
function agree(
  t: ExecutionContext,
  what: string,
  got: Float32Array,
  truth: (i: number) => number,
  tolerance: number,
  unit: (i: number) => number,
): void {
  for (let i = 0; i < got.length; i++) {
    const expected = truth(i)
    if (!(Math.abs(got[i] - expected) <= tolerance * Math.max(Math.abs(expected), unit(i)))) {
      t.fail(`${what}: element ${i} is ${got[i]}, expected ${expected}`)
      return
    }
  }
}

/** Results of the first platform for losses of class `exact`, by loss, case and reduction. */
const bits = new Map<
  string,
  { value: number | Float32Array; grad: Float32Array; targetGrad: Float32Array | undefined }
>()

function check(
  t: ExecutionContext,
  loss: AnyLoss,
  ulp: number,
  c: Case,
  reduction: BatchReduction,
  offset: number,
): void {
  const { reference } = c
  const title = `${loss.name} ${c.title} ${reduction}`
  const count = reference.values.length
  const upstream = filled(count, (i) => ((i * 7) % 11) / 4 - 1)
  const gradOutput = reduction === 'none' ? guarded(upstream, offset) : -1.5
  const batch = (c.options.shape as number[] | undefined)?.[0] ?? count
  const denominator = { mean: reference.count, batchmean: batch, sum: 1, none: 1 }[reduction]
  const empty = denominator === 0
  const input = guarded(c.input, offset)
  const target = c.target instanceof Float32Array ? guarded(c.target, 3 - offset) : c.target
  const grad = guarded(new Float32Array(input.length).fill(77), (offset + 1) % 4)
  const pointwise = target instanceof Float32Array
  const targetGrad = c.offersTargetGrad ? guarded(new Float32Array(input.length).fill(77), offset) : undefined
  const options = { ...c.options, reduction, gradOutput }

  const value = loss(input, target, { ...c.options, reduction }) as number | Float32Array
  const both = loss.valueAndGrad(input, target, { ...options, grad, ...(targetGrad && { targetGrad }) })
  t.deepEqual(both.value, value, `${title}: valueAndGrad gives another value than the call`)
  t.is(both.grad, grad)
  t.true(intact(input) && intact(grad) && (!targetGrad || intact(targetGrad)), `${title}: wrote outside`)
  t.true(sameBits(input, c.input), `${title}: wrote to the input`)
  const inPlace = guarded(c.input, offset)
  loss.backward(inPlace, target, { ...options, grad: inPlace })
  t.true(sameBits(inPlace, grad), `${title}: in place differs`)
  t.true(intact(inPlace), `${title}: in place wrote outside`)

  // Losses of class `exact` round up to four times: difference, square, weight, factor.
  const tolerance = Math.max(ulp, 4) * 2 ** -24
  const factor = (i: number) => (empty ? 0 : (reduction === 'none' ? upstream[c.positionOf(i)] : -1.5) / denominator)
  // Differences of the formula are good to 1e-9 of the terms, of which the largest is about that of the arguments.
  const size = (i: number) => Math.max(1, Math.abs(c.input[i]), pointwise ? Math.abs(target[i]) : 1)
  const unit = (i: number) => 2 * size(i) * Math.abs(factor(i))
  agree(
    t,
    `${title} grad`,
    grad,
    (i) => factor(i) * reference.dx[i],
    tolerance,
    (i) => unit(i) * c.slope(i),
  )
  if (targetGrad) agree(t, `${title} targetGrad`, targetGrad, (i) => factor(i) * reference.dt[i], tolerance, unit)
  if (reduction === 'none') {
    agree(t, title, value as Float32Array, (i) => reference.values[i], tolerance, c.valueUnit)
  } else {
    const sum = reference.values.reduce((a, b) => a + b, 0)
    const terms = reference.values.reduce((a, b, i) => a + Math.max(Math.abs(b), pointwise ? c.valueUnit(i) : 0), 0)
    if (empty) t.is(value, Number.NaN, title)
    else t.true(Math.abs((value as number) * denominator - sum) <= 1e-6 * (terms + 1e-30), `${title}: ${value}`)
  }

  if (ulp > 0) return
  const first = bits.get(title)
  if (first === undefined) {
    bits.set(title, { value, grad: grad.slice(), targetGrad: targetGrad?.slice() })
  } else {
    t.deepEqual(value, first.value, `${title}: the value has other bits than on ${platforms[0].name}`)
    t.true(sameBits(grad, first.grad), `${title}: the gradient has other bits than on ${platforms[0].name}`)
    t.true(!targetGrad || sameBits(targetGrad, first.targetGrad!), `${title}: targetGrad has other bits`)
  }
}

test.serial('the registry and the exports have the same losses', (t) => {
  const families = new Set(registry.map(({ family }) => family))
  const own = Object.values<unknown>(library).flatMap((loss) => {
    const definition = definitionOf(loss)
    return definition !== undefined && families.has(definition.family) ? [{ definition, loss: loss as AnyLoss }] : []
  })
  t.deepEqual(own.map(({ definition }) => definition.name).sort(), registry.map((row) => row.name).sort())
  for (const { definition, loss } of own) {
    const row = registry.find((row) => row.name === definition.name)
    t.is(row?.family, definition.family)
    t.is(loss.name, definition.name)
    t.deepEqual(row?.params, Object.keys('params' in definition ? definition.params : {}))
  }
  for (const { backend } of platforms) if (backend.name !== 'ts') t.deepEqual(backend.description.registry, registry)
})

for (const { definition, loss } of losses) {
  const cases = definition.family === 'pointwise' ? pointwiseCases(definition) : softmaxCases(definition)
  const reductions = definition.reductions ?? (['mean', 'sum', 'none'] as const)
  const ulp = registry.find((row) => row.name === definition.name)?.ulp ?? 0
  for (const platform of platforms) {
    test.serial(`${definition.name} on ${platform.name}`, (t) => {
      platform.activate()
      let offset = 0
      for (const c of cases) {
        for (const reduction of c.only ? [c.only] : reductions) {
          offset = (offset + 1) % 4
          // Plain arrays do not say how many samples there are.
          const shape = reduction === 'batchmean' ? { shape: [c.input.length] } : {}
          check(t, loss, ulp, { ...c, options: { ...shape, ...c.options } }, reduction, offset)
        }
      }
      t.log(`${cases.length} cases, ${reductions.length} reductions`)
    })
    test.serial(`${definition.name} adds to a gradient on ${platform.name}`, (t) => {
      platform.activate()
      for (const c of cases) {
        const { input, target } = c
        const before = guarded(
          filled(input.length, (i) => Math.sin(i)),
          1,
        )
        const grad = guarded(before, 2)
        // Past one piece of the wasm backend too, as the lengths of the cases are.
        const apart = loss.valueAndGrad(input, target, { ...c.options, gradOutput: 3 })
        const both = accumulated(loss, { value: true, grad: true }, input, target, {
          ...c.options,
          gradOutput: 3,
          grad,
        })
        // Rows of scores have a loop of their own for calls that do not add.
        const [value, other] = [both.value as number, apart.value as number]
        t.true(Object.is(value, other) || (ulp > 0 && Math.abs(value - other) <= 1e-6 * Math.abs(other)), c.title)
        t.is(both.grad, grad)
        t.true(intact(grad))
        const sums = before.map((g, i) => g + apart.grad[i])
        // Kernels with streams and without may differ within the tolerance of each where they are not of class `exact`; where
        // p − 1 cancels, in units of p.
        const tolerance = ulp * 2 ** -22
        const terms = definition.family === 'softmax' && c.reference.count > 0 ? 3 / c.reference.count : 0
        const largest = apart.grad.reduce((a, g) => Math.max(a, Math.abs(g)), terms)
        agree(
          t,
          `${loss.name} ${c.title}`,
          grad,
          (i) => sums[i],
          tolerance,
          (i) => (ulp === 0 ? 0 : terms === 0 ? Math.abs(apart.grad[i]) : largest),
        )
      }
    })
  }
}

test.after('summary', (t) => {
  t.log(`ran on ${platforms.map((platform) => platform.name).join(', ')}`)
  for (const { name, reason } of missing) t.log(`did not run on ${name}: ${reason}`)
})
