/** What is made of the times of a case. */

export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2
}

/** Fewer numbers have no {@link interval}. */
export const LEAST_NUMBERS = 8

const OUTSIDE = 0.01

/**
 * Between which two of the numbers the true median lies with a probability of 99 % or more, whatever their distribution:
 * how many numbers are below it is binomial.
 */
export function interval(numbers: readonly number[]): readonly [low: number, high: number] {
  const { length } = numbers
  const sorted = numbers.toSorted((a, b) => a - b)
  // The probability that `below` numbers are below the median, and that no more are.
  let probability = 2 ** -length
  let tail = probability
  let below = 0
  while (true) {
    probability *= (length - below) / (below + 1)
    tail += probability
    if (2 * tail > OUTSIDE) return [sorted[below], sorted[length - 1 - below]]
    below++
  }
}
