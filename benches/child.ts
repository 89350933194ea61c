import { spawnSync } from 'node:child_process'

/**
 * What a child prints, as JSON, or how it failed. Meanwhile nothing runs here that could take its time. The result is
 * not checked: children are our own.
 */
export function ask<T extends object>(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): T | string {
  const { status, signal, error, stdout, stderr } = spawnSync(command, args, {
    env: { ...process.env, ...env },
    encoding: 'utf8',
  })
  return status === 0 ? JSON.parse(stdout) : error?.message || stderr || `ended with ${signal ?? status}`
}
