/** What the commands share in reading their options. */

export function listOf<T extends string>(
  option: string,
  text: string | undefined,
  allowed: readonly T[],
): readonly T[] {
  const names = text?.split(',') ?? allowed
  const unknown = names.find((name) => !allowed.includes(name as T))
  if (unknown !== undefined) fail(`--${option} must be one or more of ${allowed.join(', ')}; got '${unknown}'`)
  return [...new Set(names as readonly T[])]
}

export function numberOf(option: string, text: string, expected: string, holds: (n: number) => boolean): number {
  const n = Number(text)
  if (!holds(n) || n <= 0) fail(`--${option} must be ${expected} > 0; got '${text}'`)
  return n
}

export function fail(message: string): never {
  console.error(`bench: ${message}`)
  process.exit(1)
}
