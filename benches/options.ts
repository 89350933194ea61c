/** What the commands share in reading their options. */

/** The names between commas, each once. */
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

/** The numbers between commas, each once. */
export function integersOf(option: string, text: string, least: number): readonly number[] {
  return [...new Set(text.split(',').map((n) => integerOf(option, n, least)))]
}

export function integerOf(option: string, text: string, least: number, most = Number.MAX_SAFE_INTEGER): number {
  const n = Number(text)
  const range = most === Number.MAX_SAFE_INTEGER ? `≥ ${least}` : `from ${least} to ${most}`
  if (!Number.isSafeInteger(n) || n < least || n > most) fail(`--${option} must be an integer ${range}; got '${text}'`)
  return n
}

export function positiveOf(option: string, text: string): number {
  const n = Number(text)
  if (!Number.isFinite(n) || n <= 0) fail(`--${option} must be a number > 0; got '${text}'`)
  return n
}

export function fail(message: string): never {
  console.error(`bench: ${message}`)
  process.exit(1)
}
