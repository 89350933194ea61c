import Benchmark from 'benchmark'
import { median } from './statistics.js'
import { warmUp } from './warm.js'

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

// In milliseconds.
const WARM_UP = 100
const BATCH = 0.2

/** Times a call as it is once compiled, and gives what the last one returned. */
export function timed<T>(
  call: () => T,
  seconds: number,
  warmUpTime = WARM_UP,
): { readonly timing: Timing; readonly result: T } {
  const warm = warmUp(call, warmUpTime)
  let { result } = warm
  // benchmark.js compiles its loop anew for each sample, which costs small cases 10 %; this loop stays compiled.
  const batch = Math.ceil(warm.perMillisecond * BATCH)
  const run = () => {
    for (let i = 0; i < batch; i++) result = call()
  }
  // Its default of 50 ms a sample is for clocks of a millisecond.
  const bench = new Benchmark(run, { minTime: 0.01, maxTime: seconds }).run()
  // It keeps errors to itself.
  if (bench.error) throw bench.error
  const sample = bench.stats.sample.map((time: number) => (time * 1e9) / batch)
  return { timing: timingOf(sample), result }
}

function timingOf(sample: readonly number[]): Timing {
  const nsPerCall = median(sample)
  return {
    nsPerCall,
    spread: median(sample.map((ns) => Math.abs(ns - nsPerCall))) / nsPerCall,
    min: Math.min(...sample),
    max: Math.max(...sample),
    samples: sample.length,
  }
}
