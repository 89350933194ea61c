/** The results as tables on the terminal, as Markdown and as JSON. */

import Table from 'cli-table3'
import type { Case } from './case.js'
import { forms, hasLabels, type Verb } from './data.js'
import type { Limit, Traffic } from './limit.js'
import type { Timing } from './timing.js'

/** What is reported of a case. */
export interface Measurement extends Timing {
  readonly loss: string
  readonly verb: Verb
  readonly backend: string
  readonly elements: number
  readonly classes: number | undefined
  readonly nsPerElement: number
  readonly nsPerRow: number | undefined
  readonly gigabytesPerSecond: number
  /** Nanoseconds per element of a bare loop over as many bytes, where it was measured. */
  readonly limit: number | undefined
}

/** A run: facts by name, and what was measured. */
export interface Report {
  readonly facts: Readonly<Record<string, string | number>>
  readonly measurements: readonly Measurement[]
}

/** One table: the losses with rows have a column more than the others. */
export interface Grid {
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
  /** Columns that are no numbers; the first, where this is left out. */
  readonly texts?: readonly number[]
}

const NOTE = `Times are medians, ± is the median absolute deviation. GB/s counts 4 bytes for each element of input, target and gradient
that the verb needs; labels count for nothing. limit is what a bare loop over these bytes takes for an element, on one
thread with the best instruction set, and its share is what it has of the time.`

// No lines but the one below the head: three backends are wide enough without.
const lines = ['top', 'bottom', 'left', 'right'].flatMap((line) =>
  ['', '-mid', '-left', '-right'].map((end) => line + end),
)
const chars = Object.fromEntries(['middle', 'mid-mid', ...lines].map((name) => [name, '']))

const whole = new Intl.NumberFormat('en')
const digits = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })
const percent = new Intl.NumberFormat('en', { style: 'percent', maximumFractionDigits: 0 })

/** Per call, per element, per row. */
export function measurement(given: Case, timing: Timing, limit?: Limit): Measurement {
  const { loss, verb = 'fused', backend, instructionSet, elements, classes } = given
  const nsPerElement = timing.nsPerCall / elements
  const traffic = trafficOf(loss, verb)
  return {
    loss,
    verb,
    backend: backend === 'ts' ? backend : `${backend} ${instructionSet}`,
    elements,
    classes,
    ...timing,
    nsPerElement,
    nsPerRow: classes && nsPerElement * classes,
    gigabytesPerSecond: (4 * (traffic.reads + traffic.writes)) / nsPerElement,
    limit: limit?.(elements, traffic),
  }
}

/** Labels count for nothing. */
function trafficOf(loss: string, verb: Verb): Traffic {
  return { reads: hasLabels(forms.get(loss)!) ? 1 : 2, writes: verb === 'forward' ? 0 : 1 }
}

export function terminal({ facts, measurements }: Report): string {
  const header = Object.entries(facts).map(([name, fact]) => `${name}: ${fact}`)
  const tables = gridsOf(measurements).map(terminalTable)
  return [header.join('\n'), ...tables, NOTE].join('\n\n')
}

export function markdown({ facts, measurements }: Report): string {
  const header = Object.entries(facts).map(([name, fact]) => `- ${name}: ${fact}`)
  const tables = gridsOf(measurements).map(markdownTable)
  return `${['# Benchmarks', header.join('\n'), ...tables, NOTE].join('\n\n')}\n`
}

export function terminalTable({ head, rows, texts = [0] }: Grid): string {
  const table = new Table({
    head: [...head],
    colAligns: head.map((_, column) => (texts.includes(column) ? 'left' : 'right')),
    chars,
    style: { 'padding-left': 0, 'padding-right': 1, head: [], border: [], compact: true },
  })
  table.push(...rows.map((row) => [...row]))
  return table.toString()
}

export function markdownTable({ head, rows, texts = [0] }: Grid): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ').replaceAll('\n', '<br>')} |`
  return [line(head), line(head.map((_, column) => (texts.includes(column) ? '---' : '---:'))), ...rows.map(line)].join(
    '\n',
  )
}

/** A row per loss, size and verb, a group of columns per backend. */
function gridsOf(measurements: readonly Measurement[]): readonly Grid[] {
  const withRows = measurements.filter(({ classes }) => classes !== undefined)
  const without = measurements.filter(({ classes }) => classes === undefined)
  return [without, withRows].filter(({ length }) => length > 0).map(gridOf)
}

function gridOf(measurements: readonly Measurement[]): Grid {
  const backends = [...new Set(measurements.map(({ backend }) => backend))]
  const hasRows = measurements[0].classes !== undefined
  const hasLimit = measurements[0].limit !== undefined
  const units = ['ns/call', '/element', ...(hasRows ? ['/row'] : []), 'GB/s', ...(hasLimit ? ['share'] : []), '±']
  // The name of a backend stands over the first of its columns.
  const head = backends.flatMap((backend) => units.map((unit, i) => `${i === 0 ? backend : ''}\n${unit}`))
  const rows = new Map<string, string[]>()
  for (const m of measurements) {
    const size = m.classes === undefined ? [m.elements] : [m.elements / m.classes, m.classes]
    const names = [m.loss, size.map((n) => whole.format(n)).join(' × '), m.verb]
    const first = [...names, ...(hasLimit ? [digits.format(m.limit!)] : [])]
    // Empty where a backend was not timed.
    const cells = rows.get(`${names}`) ?? [...first, ...head.map(() => '')]
    const times = [m.nsPerCall, m.nsPerElement, ...(hasRows ? [m.nsPerRow!] : []), m.gigabytesPerSecond]
    const shares = [...(hasLimit ? [m.limit! / m.nsPerElement] : []), m.spread]
    const figures = [...times.map(digits.format), ...shares.map(percent.format)]
    cells.splice(first.length + backends.indexOf(m.backend) * units.length, figures.length, ...figures)
    rows.set(`${names}`, cells)
  }
  const first = ['\nloss', hasRows ? '\nrows × classes' : '\nelements', '\nverb', ...(hasLimit ? ['\nlimit'] : [])]
  return { head: [...first, ...head], rows: [...rows.values()], texts: [0, 2] }
}
