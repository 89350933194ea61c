/**
 * Times one case and prints what it took. Each case has a process of its own: what V8 learns from one case slows down
 * others.
 */

import Benchmark from 'benchmark'
import { active, type BackendInfo } from '../ts/backend/load.js'
import type { NativeBackend } from '../ts/backend/native.js'
import { prepare, type Size, summary } from './data.js'

/** One case, as a child gets it; the environment forces the backend. */
export interface Case extends Size {
  readonly loss: string
  readonly backend: BackendInfo['name']
  readonly instructionSet: string
  readonly seconds: number
  /** Summary of what the TypeScript backend gives. */
  readonly expected: readonly number[]
}

/** What a child prints. */
export interface Timing {
  /** Median over the samples. */
  readonly nsPerCall: number
  /** Median absolute deviation over the median. */
  readonly spread: number
  readonly min: number
  readonly max: number
  readonly samples: number
}

const TOLERANCE = 1e-5

// In milliseconds.
const WARM_UP = 100
const BATCH = 0.2

const given: Case = JSON.parse(process.argv[2])
if (active.name !== given.backend) throw new Error(`loaded ${active.name} in place of ${given.backend}`)
if (active.instructionSet !== given.instructionSet) (active as NativeBackend).pin(given.instructionSet)

const call = prepare(given.loss, given)
let result = call()
check()

let calls = 0
const start = performance.now()
while (performance.now() < start + WARM_UP) {
  result = call()
  calls++
}
// benchmark.js compiles its loop anew for each sample, which costs small cases 10 %; this loop stays compiled.
const batch = Math.ceil((calls * BATCH) / (performance.now() - start))
const run = () => {
  for (let i = 0; i < batch; i++) result = call()
}
// Its default of 50 ms a sample is for clocks of a millisecond.
const bench = new Benchmark(run, { minTime: 0.01, maxTime: given.seconds }).run()
// It keeps errors to itself.
if (bench.error) throw bench.error
check()
console.log(JSON.stringify(timing(bench.stats.sample.map((seconds: number) => (seconds * 1e9) / batch))))

function check(): void {
  const got = summary(result)
  const holds = given.expected.every((n, i) => Number.isFinite(n) && Math.abs(got[i] - n) <= TOLERANCE * Math.abs(n))
  if (!holds) throw new Error(`value and norm of the gradient are ${got}, in TypeScript ${given.expected}`)
}

function timing(sample: readonly number[]): Timing {
  const nsPerCall = median(sample)
  return {
    nsPerCall,
    spread: median(sample.map((ns) => Math.abs(ns - nsPerCall))) / nsPerCall,
    min: Math.min(...sample),
    max: Math.max(...sample),
    samples: sample.length,
  }
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2
}
