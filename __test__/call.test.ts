/** Calls as TypeScript writes them, against what the crate says of itself: arrays and numbers have the same places. */

import test from 'ava'
import * as common from '../ts/call/call.js'
import type { EmbeddingCall } from '../ts/call/embedding.js'
import type { ExpressionCall } from '../ts/call/expression.js'
import { type Call, kinds } from '../ts/call/index.js'
import type { Marks } from '../ts/call/marks.js'
import type { PointwiseCall } from '../ts/call/pointwise.js'
import type { RegionCall } from '../ts/call/region.js'
import type { OutsideCall, WeightCall } from '../ts/call/scan.js'
import type { SoftmaxCall } from '../ts/call/softmax.js'
import { definitionOf } from '../ts/definitions.js'
import { bceWithLogits, crossEntropy, tripletMargin } from '../ts/index.js'
import { platforms } from './platforms.js'

/** An array for each name, so that its place shows. */
const arrays = new Map<string, Float32Array>()
function array(name: string): Float32Array {
  if (!arrays.has(name)) arrays.set(name, new Float32Array(1))
  return arrays.get(name)!
}

const marks: Marks = { labels: array('labels'), ignored: [-7, 9], mask: array('mask'), maskInner: 13 }
const ofMarks = { ignored: 2, maskInner: 13 }
const axis = { samples: 2, classes: 3, positions: 5, last: true }
const streams = {
  weight: array('weight'),
  sampleWeight: array('sampleWeight'),
  sampleInner: 11,
  gradOutput: array('gradOutput'),
  out: array('out'),
  accumulate: true,
}
const ofStreams = { sampleInner: 11, accumulate: 1 }
const ofParams = { p0: 0.25, p1: 0.125, p2: 3, p3: 4, p4: 5, p5: 6 }
const program = {
  kind: 'raw',
  exact: true,
  code: array('code') as unknown as Uint8Array,
  registers: 21,
  uniforms: 1,
  inputs: [1],
  grads: [1],
  value: true,
  outputs: [1, 1],
} as const

/** A call of each kind that gives everything, and the numbers that it has, by name. */
const calls: readonly (readonly [call: Call, numbers: Readonly<Record<string, number>>])[] = [
  [
    {
      kind: kinds[0],
      loss: 'bceWithLogits',
      definition: definitionOf(bceWithLogits),
      marks,
      x: array('x'),
      t: array('t'),
      dx: array('dx'),
      scale: 0.5,
      p0: 0.25,
      p1: 0.125,
      aux: array('aux'),
      extra: { ...streams, auxInner: 17, targetGrad: array('dt') },
    } as PointwiseCall,
    { ...ofMarks, ...ofStreams, scale: 0.5, p0: 0.25, p1: 0.125, auxInner: 17, auxValue: 0 },
  ],
  [
    {
      kind: kinds[0],
      loss: 'bceWithLogits',
      definition: definitionOf(bceWithLogits),
      marks,
      x: array('x'),
      t: array('t'),
      dx: array('dx'),
      scale: 0.5,
      p0: 0.25,
      p1: 0.125,
      aux: 19,
      extra: undefined,
    } as PointwiseCall,
    { scale: 0.5, p0: 0.25, p1: 0.125, auxValue: 19, accumulate: 0 },
  ],
  [
    {
      kind: kinds[1],
      loss: 'crossEntropy',
      definition: definitionOf(crossEntropy),
      marks,
      x: array('x'),
      axis,
      dx: array('dx'),
      scale: 0.5,
      labelSmoothing: 0.25,
      temperature: 0.125,
      p0: 23,
      extra: { ...streams, target: array('target'), exactWeight: undefined, targetGrad: array('dt') },
    } as SoftmaxCall,
    {
      ...ofMarks,
      ...ofStreams,
      scale: 0.5,
      labelSmoothing: 0.25,
      temperature: 0.125,
      p0: 23,
      classes: 3,
      positions: 5,
      last: 1,
    },
  ],
  [
    {
      kind: kinds[2],
      loss: 'bceDice',
      definition: undefined,
      marks,
      x: array('x'),
      target: array('target'),
      axis,
      activation: 'kept',
      squared: true,
      part: {
        definition: definitionOf(bceWithLogits),
        p0: 0.25,
        p1: 0.125,
        aux: array('aux'),
        weight: array('weight'),
        sampleWeight: array('sampleWeight'),
        labelSmoothing: 0.75,
      },
      sums: array('sums') as unknown as Float64Array,
      planes: array('planes'),
      dx: array('dx'),
      dt: array('dt'),
      scale: 0.5,
      accumulate: true,
    } as RegionCall,
    {
      ...ofMarks,
      classes: 3,
      positions: 5,
      last: 1,
      accumulate: 1,
      activation: 3,
      squared: 1,
      part: 1,
      scale: 0.5,
      auxValue: 0,
      p0: 0.25,
      p1: 0.125,
      labelSmoothing: 0.75,
    },
  ],
  [
    {
      kind: kinds[3],
      loss: 'own',
      definition: undefined,
      marks,
      program,
      uniforms: array('uniforms'),
      inputs: [array('input')],
      grads: [array('grad')],
      rows: 29,
      raw: { ...streams, scale: 0.5 },
    } as ExpressionCall,
    {
      ...ofMarks,
      ...ofStreams,
      positions: 29,
      registers: 21,
      isRaw: 1,
      hasValue: 1,
      scale: 0.5,
      inputs: 1,
      grads: 1,
    },
  ],
  [
    {
      kind: kinds[4],
      loss: '',
      definition: undefined,
      marks,
      values: array('values'),
      low: -0.5,
      high: 0.25,
    } as OutsideCall,
    { ...ofMarks, low: -0.5, high: 0.25 },
  ],
  [
    {
      kind: kinds[5],
      loss: '',
      definition: undefined,
      marks,
      positions: 5,
      classes: 3,
      weight: array('weight'),
      sampleWeight: array('sampleWeight'),
      sampleInner: 11,
    } as WeightCall,
    { ...ofMarks, positions: 5, classes: 3, sampleInner: 11 },
  ],
  [
    {
      kind: kinds[6],
      loss: 'tripletMargin',
      definition: definitionOf(tripletMargin),
      marks,
      x: array('x'),
      y: array('y'),
      z: array('z'),
      size: 1,
      signs: array('signs'),
      dx: array('dx'),
      dy: array('dy'),
      dz: array('dz'),
      scale: 0.5,
      params: [0.25, 0.125, 3, 4, 5, 6],
      ...streams,
    } as EmbeddingCall,
    { ...ofMarks, ...ofStreams, ...ofParams, scale: 0.5, classes: 1, positions: 1, last: 1 },
  ],
]

/** The crate in the words of every backend that has it. */
const descriptions = platforms.filter(({ backend }) => backend.name !== 'ts').map(({ backend }) => backend.description)

test('the crate and TypeScript have the same kinds of calls, with the same arrays and numbers', (t) => {
  for (const crate of descriptions) {
    t.deepEqual(
      crate.calls.map(({ name }) => name),
      kinds.map(({ name }) => name),
    )
    kinds.forEach(({ place }, i) => {
      t.is(place, i)
    })
    for (const [call, expected] of calls) {
      const kind = call.kind as common.CallKind<Call>
      const { name, numbers: own, arrays: fields } = crate.calls[kind.place]
      const given = kind.arrays(call)
      // What is left out at the end, or not given, has no place to be wrong.
      given.forEach((value, place) => {
        if (value !== undefined) t.is(value, array(fields[place].name), `${name} ${fields[place].name}`)
      })
      const numbers = new Float64Array(common.NUMBERS).fill(Number.NaN)
      kind.write(call, numbers)
      const written: Record<string, number> = {}
      const label = common.IGNORED + 1
      numbers.forEach((value, place) => {
        if (Number.isNaN(value) || (place >= label && place < common.OWN)) return
        written[place < common.OWN ? crate.numbers[place] : own[place - common.OWN]] = value
      })
      t.deepEqual(written, expected, name)
      if ('ignored' in expected) t.deepEqual([...numbers.subarray(label, label + 2)], [-7, 9])
    }
    t.deepEqual(
      crate.numbers.map((name) => name.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()),
      Object.entries(common)
        .filter(([name, place]) => typeof place === 'number' && /^[A-Z_]+$/.test(name))
        .filter(([, place]) => (place as unknown as number) <= common.IGNORED)
        .filter(([name]) => name !== 'MOST_IGNORED' && name !== 'PLACES')
        .sort(([, a], [, b]) => (a as unknown as number) - (b as unknown as number))
        .map(([name]) => name),
    )
  }
  if (descriptions.length === 0) t.pass()
})
