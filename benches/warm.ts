/** What a call returned last while it was compiled, and how many calls take a millisecond then. */
export interface Warm<T> {
  readonly result: T
  readonly perMillisecond: number
}

/** Calls for so many milliseconds. */
export function warmUp<T>(call: () => T, milliseconds: number): Warm<T> {
  let result = call()
  let calls = 1
  const start = performance.now()
  let now = start
  while (now < start + milliseconds) {
    result = call()
    calls++
    now = performance.now()
  }
  return { result, perMillisecond: calls / (now - start) }
}
