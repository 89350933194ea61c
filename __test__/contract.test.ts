/**
 * The contract: every loss on every backend and instruction set, at lengths around every block and vector boundary, from
 * unaligned memory, with every reduction and option, in place and not. A new loss is tested by its registry row.
 */

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { BatchReduction } from '../ts/definition.js'
import type { Definition } from '../ts/definitions.js'
import type { FamilyName } from '../ts/draws.js'
import { accumulated } from '../ts/family/inside.js'
import type { Loss } from '../ts/family/loss.js'
import type { Case } from './contract/case.js'
import { contracts } from './contract/families.js'
import { filled, guarded, intact, sameBits, sameValue } from './data.js'
import { root } from './examples.js'
import { losses } from './losses.js'
import { missing, platforms, registry } from './platforms.js'

type AnyLoss = Loss<Float32Array, Float32Array | Int32Array, Record<string, unknown>>

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
  t.true(sameValue(both.value, value), `${title}: valueAndGrad gives another value than the call`)
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
    t.true(sameValue(value, first.value), `${title}: the value has other bits than on ${platforms[0].name}`)
    t.true(sameBits(grad, first.grad), `${title}: the gradient has other bits than on ${platforms[0].name}`)
    t.true(!targetGrad || sameBits(targetGrad, first.targetGrad!), `${title}: targetGrad has other bits`)
  }
}

test.serial('the registry and the exports have the same losses', (t) => {
  const families = new Set(registry.map(({ family }) => family))
  const own = losses.filter(({ definition }) => families.has(definition.family))
  t.deepEqual(own.map(({ definition }) => definition.name).sort(), registry.map((row) => row.name).sort())
  for (const { name, definition, loss } of own) {
    const row = registry.find((row) => row.name === definition.name)
    t.is(row?.family, definition.family)
    t.is((loss as unknown as AnyLoss).name, name)
    t.is(definition.name, name)
    t.deepEqual(row?.params, Object.keys('params' in definition ? definition.params : {}))
  }
  for (const { backend } of platforms) if (backend.name !== 'ts') t.deepEqual(backend.description.registry, registry)
})

test('families whose contract is elsewhere have one', (t) => {
  for (const contract of Object.values(contracts)) {
    if (typeof contract === 'string') t.true(existsSync(join(root, '__test__', contract)), contract)
  }
})

for (const { definition, loss: own } of losses) {
  const contract = contracts[definition.family as FamilyName] as string | ((definition: Definition) => Case[])
  if (typeof contract === 'string') continue
  const loss = own as unknown as AnyLoss
  const cases = contract(definition)
  const { reductions = ['mean', 'sum', 'none'] } = definition as { readonly reductions?: readonly BatchReduction[] }
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
        const largest = apart.grad.reduce((a, g) => Math.max(a, Math.abs(g)), c.cancelling)
        agree(
          t,
          `${loss.name} ${c.title}`,
          grad,
          (i) => sums[i],
          tolerance,
          (i) => (ulp === 0 ? 0 : c.cancelling === 0 ? Math.abs(apart.grad[i]) : largest),
        )
      }
    })
  }
}

test.after('summary', (t) => {
  t.log(`ran on ${platforms.map((platform) => platform.name).join(', ')}`)
  for (const { name, reason } of missing) t.log(`did not run on ${name}: ${reason}`)
})
