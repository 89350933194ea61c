/**
 * The contract of losses over planes: each on every backend and instruction set, over shapes around every block and vector
 * boundary, from unaligned memory, with every activation, target and option, in place and not. Compound losses must be the sum
 * of their parts, which have contracts of their own.
 */

import test, { type ExecutionContext } from 'ava'
import { accumulated } from '../ts/family/inside.js'
import type { Loss } from '../ts/family/loss.js'
import type { CompoundDefinition, RegionDefinition } from '../ts/family/region/index.js'
import { numbersOf } from '../ts/family/region/settings.js'
import * as library from '../ts/index.js'
import { bceWithLogits, crossEntropy, dice, jaccard, mse, softmaxFocal, tversky } from '../ts/index.js'
import { filled, generator, guarded, intact, normal, once, sameBits, sameValue } from './data.js'
import { everywhere } from './everywhere.js'
import { lossesOf } from './losses.js'
import { missing, platforms } from './platforms.js'
import { derivative, type RegionNumbers, type RegionReference, regionReference } from './reference.js'

type AnyLoss = Loss<Float32Array, Float32Array | Int32Array | Uint8Array, Record<string, unknown>>

interface Case {
  readonly title: string
  readonly input: Float32Array
  /** What the loss is given, and the same as a value per score. */
  readonly target: Float32Array | Int32Array
  readonly values: Float32Array
  readonly options: Record<string, unknown>
  readonly call: RegionNumbers
  /** The reference, whose gradient is that of the values times `factor`; it is the same on all platforms. */
  truthOf(factor: (plane: number) => number): RegionReference
}

/** Those that are no sums with another loss. */
const regions = lossesOf('region').map(({ loss, definition }) => ({ loss: loss as unknown as AnyLoss, definition }))

/** [samples, positions, classes] */
const SHAPES: [number, number, number][] = [
  ...[...Array(35).keys(), 63, 64, 65, 1023, 1024, 1025, 4097, 100_003].map((n): [number, number, number] => [1, n, 1]),
  [3, 1, 1],
  [4, 1, 3],
  [2, 5, 3],
  [3, 33, 2],
  [2, 17, 17],
  [2, 1100, 3],
  [1, 19, 70],
  [2, 40, 21],
]

function casesOf(definition: RegionDefinition): Case[] {
  const random = generator(definition.name.length)
  const cases: Case[] = []
  const later: (() => void)[] = []
  for (const [samples, positions, classes] of SHAPES) {
    for (const classAxis of classes > 1 ? [1, -1] : [1, null]) {
      const last = classAxis === -1 || positions === 1
      const middle = classAxis === null ? [] : [classes]
      const shape = classAxis === -1 ? [samples, positions, classes] : [samples, ...middle, positions]
      const n = samples * positions * classes
      const labels = Int32Array.from({ length: samples * positions }, () => Math.floor(random() * classes))
      const hot = new Float32Array(n)
      labels.forEach((y, i) => {
        const [sample, position] = [Math.floor(i / positions), i % positions]
        hot[last ? i * classes + y : (sample * classes + y) * positions + position] = 1
      })
      const soft = filled(n, (i) => (i % 3 === 0 ? random() : Math.round(random())))
      const mask = filled(samples * positions, (i) => Number(i % 5 !== 2))
      const weight = Array.from(filled(classes, () => 0.25 + random()))
      const base = { samples, positions, classes, last, squared: false, batch: false, firstClass: 0, weight: undefined }
      const add = (
        activation: RegionNumbers['activation'],
        options: Record<string, unknown>,
        given?: Partial<Case>,
      ) => {
        const { squaredPred = false, batch = false, includeBackground = true } = options
        const numbers = numbersOf(definition.name, definition.params, options)
        const input = filled(n, () => (activation === 'none' ? random() : normal(random, 3)))
        const values = given?.values ?? soft
        const call: RegionNumbers = {
          ...base,
          activation,
          numbers,
          squared: squaredPred === true,
          batch: batch === true,
          firstClass: includeBackground ? 0 : 1,
          weight: options.weight as number[] | undefined,
          mask: options.mask as Float32Array | undefined,
        }
        cases.push({
          title: `[${shape}] axis ${classAxis} ${activation} ${Object.keys(options)}${given?.target ? ' labels' : ''}`,
          input,
          target: soft,
          values: soft,
          ...given,
          options: { shape, classAxis, activation, ...options },
          call,
          truthOf: once((factor) => regionReference(definition, input, values, call, factor)),
        })
      }
      for (const activation of ['none', 'sigmoid', 'softmax'] as const) {
        if (activation === 'softmax' && classes === 1) continue
        add(activation, {})
        if (n === 0 || n > 10_000) continue
        add(activation, { mask, batch: true })
        if (definition.squared) add(activation, { squaredPred: true })
        if (classes === 1) continue
        later.push(() => add(activation, { weight, includeBackground: false, mask }))
        add(activation, {}, { target: labels, values: hot })
        add(activation, { weight, includeBackground: false, mask }, { target: labels, values: hot })
      }
      if (n === 0 || n > 10_000) continue
      add('none', { smoothNr: 2, smoothDr: 1 })
      for (const [name, param] of Object.entries(definition.params)) {
        const samples = 'words' in param ? Object.keys(param.words) : 'samples' in param ? param.samples : []
        for (const value of samples) add('sigmoid', { [name]: value })
      }
    }
  }
  for (const add of later) add()
  return cases
}

function agree(
  t: ExecutionContext,
  what: string,
  got: ArrayLike<number>,
  truth: (i: number) => number,
  tolerance: number,
  unit = 1e-30,
): void {
  let largest = unit
  for (let i = 0; i < got.length; i++) largest = Math.max(largest, Math.abs(truth(i)))
  for (let i = 0; i < got.length; i++) {
    if (!(Math.abs(got[i] - truth(i)) <= tolerance * largest)) {
      t.fail(`${what}: element ${i} is ${got[i]}, expected ${truth(i)}`)
      return
    }
  }
}

/** Units of the largest entry: as other systems have it, and ten times as good as PyTorch's tests ask for. */
const TOLERANCE = 2e-6

/** The upstream gradient of a value, where each has one. */
const upstreamOf = (plane: number) => ((plane * 7) % 11) / 4 - 1

/** And of all together. */
const UPSTREAM = -1.5
const upstreamOfAll = () => UPSTREAM

function check(t: ExecutionContext, loss: AnyLoss, c: Case, offset: number): void {
  const n = c.input.length
  const input = guarded(c.input, offset)
  const target = c.target instanceof Float32Array ? guarded(c.target, 3 - offset) : c.target
  const { values } = c.truthOf(upstreamOfAll)
  for (const reduction of ['mean', 'sum', 'none'] as const) {
    const title = `${loss.name} ${c.title} ${reduction}`
    const count = c.input.length === 0 ? (reduction === 'none' ? values.length : 0) : values.length
    const upstream = filled(values.length, upstreamOf)
    const grad = guarded(new Float32Array(input.length).fill(77), (offset + 1) % 4)
    const gradOutput = reduction === 'none' ? guarded(upstream, offset) : UPSTREAM
    const options = { ...c.options, reduction, gradOutput, grad }
    const { value } = loss.valueAndGrad(input, target, options)
    const alone = loss(input, target, { ...c.options, reduction })
    t.true(sameValue(alone, value), `${title}: another value than the call`)
    t.true(intact(input) && intact(grad) && sameBits(input, c.input), `${title}: wrote outside`)
    const inPlace = guarded(c.input, offset)
    loss.backward(inPlace, target, { ...options, grad: inPlace })
    t.true(sameBits(inPlace, grad) && intact(inPlace), `${title}: in place differs`)
    const targetGrad =
      target instanceof Float32Array
        ? guarded(
            filled(n, () => 77),
            (offset + 2) % 4,
          )
        : undefined
    if (targetGrad !== undefined) {
      const again = guarded(c.input, offset)
      const all = loss.valueAndGrad(again, target, { ...options, grad: again, targetGrad })
      t.true(sameValue(all.value, value), `${title}: another value with targetGrad`)
      t.true(sameBits(again, grad), `${title}: another gradient with targetGrad`)
      t.true(all.targetGrad === targetGrad && intact(targetGrad), `${title}: targetGrad`)
    }
    if (c.input.length === 0) {
      t.deepEqual(value, { mean: Number.NaN, sum: 0, none: new Float32Array(values.length) }[reduction], title)
      continue
    }
    const { dx, dy, largest, largestY } = c.truthOf(reduction === 'none' ? upstreamOf : upstreamOfAll)
    const by = reduction === 'mean' ? count : 1
    // Where a loss is nearly 0 its terms cancel: they are about 1 in the value, and 1/n in the gradient.
    agree(t, `${title} gradient`, grad, (i) => dx[i] / by, TOLERANCE, Math.max(largest / by, 0.1 / c.input.length))
    if (targetGrad !== undefined)
      agree(t, `${title} targetGrad`, targetGrad, (i) => dy[i] / by, TOLERANCE, Math.max(largestY / by, 1 / n))
    const sum = values.reduce((a, b) => a + b, 0)
    if (reduction === 'none') agree(t, title, value as unknown as Float32Array, (i) => values[i], TOLERANCE, 1)
    else
      agree(
        t,
        title,
        [value as number],
        () => (reduction === 'mean' ? sum / count : sum),
        TOLERANCE,
        reduction === 'mean' ? 1 : count,
      )
  }
}

for (const { loss, definition } of regions) {
  const cases = casesOf(definition)

  test(`${definition.name}: the reference's gradient is that of its differences`, (t) => {
    for (const c of cases) {
      if (c.input.length > 60) continue
      const [x, y] = [Array.from(c.input), Array.from(c.values)]
      const factor = (plane: number) => Math.cos(plane + 1)
      const { dx, dy, joint } = regionReference(definition, x, y, c.call, factor)
      const total = (x: number[], y: number[]) => {
        const { values } = regionReference(definition, x, y, c.call, factor, joint)
        return values.reduce((sum, value, plane) => sum + factor(plane) * value, 0)
      }
      const compare = (what: string, i: number, difference: number, got: number) => {
        const close = Math.abs(difference - got) < 1e-6 * Math.max(1, Math.abs(difference))
        t.true(close, `${c.title} ${what} ${i}: ${difference}, ${got}`)
      }
      x.forEach((own, i) => {
        compare(
          'input',
          i,
          derivative((x_i) => total(x.with(i, x_i), y), own),
          dx[i],
        )
      })
      y.forEach((own, i) => {
        compare(
          'target',
          i,
          derivative((y_i) => total(x, y.with(i, y_i)), own),
          dy[i],
        )
      })
    }
  })

  for (const platform of platforms) {
    test.serial(`${definition.name} on ${platform.name}`, (t) => {
      platform.activate()
      cases.forEach((c, i) => {
        check(t, loss, c, i % 4)
      })
      t.log(`${cases.length} cases, 3 reductions`)
    })

    test.serial(`${definition.name} adds to a gradient on ${platform.name}`, (t) => {
      platform.activate()
      for (const { title, input, target, options } of cases) {
        const before = filled(input.length, (i) => Math.sin(i))
        const grad = guarded(before, 2)
        const apart = loss.backward(input, target, options)
        accumulated(loss, { value: true, grad: true }, input, target, { ...options, grad })
        agree(t, title, grad, (i) => before[i] + apart[i], 2 ** -22)
        t.true(intact(grad))
      }
    })
  }
}

/** The losses that a compound loss is made of, by the activation. */
const partners: Readonly<Record<string, Readonly<Record<string, AnyLoss>>>> = {
  bceDice: { sigmoid: library.bceWithLogits as unknown as AnyLoss },
  focalDice: {
    sigmoid: library.sigmoidFocal as unknown as AnyLoss,
    softmax: library.softmaxFocal as unknown as AnyLoss,
  },
  diceCe: { softmax: library.crossEntropy as unknown as AnyLoss },
  diceFocal: {
    sigmoid: library.sigmoidFocal as unknown as AnyLoss,
    softmax: library.softmaxFocal as unknown as AnyLoss,
  },
}

function compoundCases(definition: CompoundDefinition, activation: string) {
  const random = generator(7)
  const least = activation === 'softmax' ? 2 : 1
  return SHAPES.filter(([samples, positions, classes]) => samples * positions > 0 && classes >= least).flatMap(
    ([samples, positions, classes]) =>
      [1, -1].map((classAxis) => {
        const shape = classAxis === 1 ? [samples, classes, positions] : [samples, positions, classes]
        const n = samples * positions * classes
        const input = filled(n, () => normal(random, 3))
        const labels = Int32Array.from({ length: samples * positions }, () => Math.floor(random() * classes))
        const soft = filled(n, () => (activation === 'softmax' ? random() / classes : random()))
        const targets = activation === 'softmax' ? [labels, soft] : [soft]
        const weights = { diceWeight: 0.7, [`${definition.part}Weight`]: 1.6 }
        return { shape, classAxis, input, targets, weights }
      }),
  )
}

for (const { loss: own, definition } of lossesOf('compound')) {
  const loss = own as unknown as AnyLoss
  for (const [activation, part] of Object.entries(partners[definition.name])) {
    for (const platform of platforms) {
      test.serial(`${definition.name} with ${activation} is the sum of its parts on ${platform.name}`, (t) => {
        platform.activate()
        const choice = Object.keys(definition.parts).length > 1 ? { activation } : {}
        const own = definition.name === 'diceFocal' && activation === 'sigmoid' ? { alpha: null } : {}
        for (const { shape, classAxis, input, targets, weights } of compoundCases(definition, activation)) {
          for (const target of targets) {
            for (const reduction of ['mean', 'sum'] as const) {
              const title = `[${shape}] axis ${classAxis} ${reduction} ${target.constructor.name}`
              const options = { shape, reduction, gradOutput: 0.5 }
              const axis = classAxis === 1 ? {} : { classAxis }
              const partAxis = part === (library.sigmoidFocal as unknown) ? {} : axis
              const dice = (library.dice as unknown as AnyLoss).valueAndGrad(input, target, {
                ...options,
                ...axis,
                activation,
              })
              const other = part.valueAndGrad(input, target, { ...options, ...partAxis, ...own })
              const grad = guarded(new Float32Array(input.length), 1)
              const both = loss.valueAndGrad(input, target, { ...options, ...axis, ...choice, ...weights, grad })
              const { parts } = both as unknown as { parts: Record<string, number> }
              agree(t, `${title} dice`, [parts.dice], () => dice.value as number, TOLERANCE)
              agree(t, `${title} ${definition.part}`, [parts[definition.part]], () => other.value as number, TOLERANCE)
              const value = 0.7 * (dice.value as number) + 1.6 * (other.value as number)
              agree(t, title, [both.value as number], () => value, TOLERANCE)
              agree(t, `${title} gradient`, grad, (i) => 0.7 * dice.grad[i] + 1.6 * other.grad[i], TOLERANCE)
              t.true(intact(grad))
              const inPlace = guarded(input, 2)
              loss.backward(inPlace, target, { ...options, ...axis, ...choice, ...weights, grad: inPlace })
              t.true(sameBits(inPlace, grad), `${title}: in place differs`)
            }
          }
        }
      })
    }
  }
}

for (const platform of platforms) {
  test.serial(`sums pass 2^24 on ${platform.name}`, (t) => {
    platform.activate()
    const n = 2 ** 24 + 3
    const ones = new Float32Array(n).fill(1)
    const exact = { smoothNr: 0, smoothDr: 0 }
    t.is(library.dice(ones, ones, exact), 0)
    const half = ones.subarray(0, n)
    half[n - 1] = 0
    // One prediction of n is missing: 1 − 2(n − 1)/(2n − 1).
    t.true(Math.abs(library.dice(half, new Float32Array(n).fill(1), exact) * (2 * n - 1) - 1) < 1e-6)
  })
}

everywhere('gradients by the target, by hand', (t) => {
  const p = Float32Array.of(1, 0.5, 0, 0.5)
  const none = { smoothNr: 0, smoothDr: 0, targetGrad: true }
  const floats = Float32Array.of(1, 1, 0, 0)
  // A = 3 and B = 4: (A − 2·p·B)/B².
  const ofDice = [-5 / 16, -1 / 16, 3 / 16, -1 / 16]
  for (const target of [floats, Uint8Array.from(floats), { data: floats, shape: [4] }]) {
    const shape = 'data' in target ? { classAxis: null } : {}
    t.deepEqual(dice.valueAndGrad(p, target, { ...none, ...shape }).targetGrad, Float32Array.from(ofDice))
  }
  // Of squares B = 1 + ¼ + ¼ + 1 + 1 = 3.5: (2·y·A − 2·p·B)/B².
  agree(
    t,
    'squares',
    dice.valueAndGrad(p, floats, { ...none, squaredPred: true }).targetGrad!,
    (i) => [(6 - 7) / 12.25, (6 - 3.5) / 12.25, 0, -3.5 / 12.25][i],
    1e-6,
  )
  // A = 3 and B = 5: (A·(2 − 2·p) − 2·p·B)/B².
  agree(t, 'jaccard', jaccard.valueAndGrad(p, floats, none).targetGrad!, (i) => [-0.4, -0.08, 0.24, -0.08][i], 1e-6)
  // N = 1.5, D = 1.5 + 0.25·0.5 + 0.75·0.5 = 2: (N·(β + (1 − α − β)·p) − p·D)/D².
  const weighted = tversky.valueAndGrad(p, floats, { ...none, alpha: 0.25, beta: 0.75 }).targetGrad!
  agree(t, 'tversky', weighted, (i) => (1.5 * 0.75 - p[i] * 2) / 4, 1e-6)
  // Raised to 2, with f = 1 − N/D = ¼.
  const focal = tversky.valueAndGrad(p, floats, { ...none, alpha: 0.25, beta: 0.75, gamma: 2 }).targetGrad!
  agree(t, 'focal tversky', focal, (i) => (2 * 0.25 * (1.5 * 0.75 - p[i] * 2)) / 4, 1e-6)
})

everywhere('a class without target has no gradient by the target where it does not count', (t) => {
  const x = Float32Array.of(0.5, 0.25, 0.5, 0.25)
  const target = Float32Array.of(1, 0, 0, 0)
  const shape = [1, 2, 2]
  for (const { loss, definition } of regions) {
    // Of one value for all classes it is in joint.region.test.ts.
    if (definition.joint !== undefined) continue
    const first = loss.valueAndGrad(x.subarray(0, 2), target.subarray(0, 2), { targetGrad: true }).targetGrad!
    const asIs = loss.valueAndGrad(x, target, { shape, targetGrad: true }).targetGrad!
    t.true(asIs[2] !== 0 && asIs[3] !== 0)
    const zero = loss.valueAndGrad(x, target, { shape, emptyClass: 'zero', targetGrad: true }).targetGrad!
    t.deepEqual([...zero], [first[0] / 2, first[1] / 2, 0, 0])
    const skip = loss.valueAndGrad(x, target, { shape, emptyClass: 'skip', targetGrad: true }).targetGrad!
    t.deepEqual([...skip], [first[0], first[1], 0, 0])
  }
})

everywhere('what is masked has no gradient by the target, whatever it holds', (t) => {
  const mask = Uint8Array.of(1, 0, 1)
  for (const poison of [Number.NaN, Infinity, -Infinity]) {
    const x = Float32Array.of(0.125, poison, 0.25, 0.375, poison, 0.5)
    const target = Float32Array.of(0.5, poison, 0.25, 0.5, poison, 1)
    const clean = [0.125, 0.25, 0.375, 0.5]
    for (const { loss } of regions) {
      for (const activation of ['none', 'sigmoid', 'softmax']) {
        const got = loss.valueAndGrad(x, target, { shape: [1, 2, 3], mask, activation, targetGrad: true }).targetGrad!
        const rest = { shape: [1, 2, 2], activation, targetGrad: true }
        const kept = Float32Array.of(0.5, 0.25, 0.5, 1)
        const expected = loss.valueAndGrad(Float32Array.from(clean), kept, rest).targetGrad!
        t.true(
          sameBits(got, [expected[0], 0, expected[1], expected[2], 0, expected[3]]),
          `${loss.name} ${activation} ${poison}: ${got}`,
        )
      }
    }
  }
})

everywhere('where the mean is over nothing, gradients by the target are 0', (t) => {
  const [x, target] = [Float32Array.of(0.5, 0.25, 0.5, 0.25), Float32Array.of(0.5, 0.5, 0.25, 0.75)]
  const losses = regions.map(({ loss }) => [loss, new Float32Array(4), { emptyClass: 'skip' }] as const)
  const nothing = new Uint8Array(2)
  for (const [loss, given, options] of [
    ...losses,
    [crossEntropy, target, { mask: nothing }],
    [softmaxFocal, target, { mask: nothing }],
    [mse, target, { weight: [0, 0], meanBy: 'weight' }],
    [bceWithLogits, target, { weight: [0, 0], meanBy: 'weight' }],
  ] as unknown as [AnyLoss, Float32Array, Record<string, unknown>][]) {
    const [grad, targetGrad] = [new Float32Array(4).fill(77), new Float32Array(4).fill(77)]
    const { value } = loss.valueAndGrad(x, given, { shape: [2, 2], ...options, grad, targetGrad })
    t.is(value, Number.NaN, loss.name)
    t.true(sameBits(grad, new Float32Array(4)) && sameBits(targetGrad, new Float32Array(4)), loss.name)
  }
})

test.after('summary', (t) => {
  t.log(`ran on ${platforms.map((platform) => platform.name).join(', ')}`)
  for (const { name, reason } of missing) t.log(`did not run on ${name}: ${reason}`)
})
