/** Prints by how many bytes the process grows at its peak in one call. */

import { readFileSync, writeFileSync } from 'node:fs'
import { prepare, type Size, type Types } from './data.js'

const given: Size & { readonly loss: string; readonly types: Types } = JSON.parse(process.argv[2])
const linux = process.platform === 'linux'

// What only the first call takes, such as the code of the addon.
prepare(given.loss, { ...given, elements: 10 * (given.classes ?? 1) }, 'fused', given.types)()
const call = prepare(given.loss, given, 'fused', given.types)
// The peak so far, which may be behind us, is forgotten.
if (linux) writeFileSync('/proc/self/clear_refs', '5')
const before = peak()
call()
console.log(peak() - before)

function peak(): number {
  const kilobytes = linux
    ? Number(/VmHWM:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1])
    : process.resourceUsage().maxRSS
  return kilobytes * 1024
}
