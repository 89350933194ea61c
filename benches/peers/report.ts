/** The comparison as tables on the terminal and as Markdown. */

import { type Grid, markdownTable, terminalTable } from '../report.js'
import type { Timing } from '../timing.js'

/** What the report says of a peer. The first one is what the others are compared with. */
export interface Column {
  readonly id: string
  readonly name: string
  /** Set where it is fused-loss, too. */
  readonly own?: true
  /** How it handles the memory of the gradient. */
  readonly gradient: string
  /** Which losses it does not have ready-made, as a note. */
  readonly composed?: string
}

/** A cell of a table. */
export interface Measurement extends Timing {
  /** The number of elements asked for; with rows or planes, those that the shape has are up to one row fewer. */
  readonly size: number
  readonly loss: string
  readonly shape: readonly number[]
  readonly peer: string
  readonly nsPerElement: number
  /** How many times as long as the first peer. */
  readonly times: number
  /** How far the value is from that of the first peer, relative to it. */
  readonly valueOff: number
  /** How long the first call took, where something is compiled in it. */
  readonly firstSeconds?: number
}

/** A cell without a number. */
export interface Gap extends Pick<Measurement, 'size' | 'loss' | 'peer'> {
  readonly reason: string
}

/** A run: facts by name, and what was measured. */
export interface Report {
  readonly facts: Readonly<Record<string, string | number>>
  readonly columns: readonly Column[]
  readonly measurements: readonly Measurement[]
  readonly gaps: readonly Gap[]
}

const NOTES = [
  'ns are for an element: medians, ± is the median absolute deviation. × is how many times as long as fused-loss native.',
  'An element is a number of the first input, of boxes one of four. Timed are the value and the gradient by the first input, or by those that a row names.',
]

// A value that is further off than this, though it is accepted, is worth a note.
const PRECISE = 1e-4

// So is a first call that takes longer, in seconds.
const LONG = 1

const whole = new Intl.NumberFormat('en')
const digits = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })
const percent = new Intl.NumberFormat('en', { style: 'percent', maximumFractionDigits: 0 })

export function terminal(report: Report): string {
  const header = Object.entries(report.facts).map(([name, fact]) => `${name}: ${fact}`)
  const tables = sizesOf(report).map((size) => `${whole.format(size)} elements\n${terminalTable(gridOf(report, size))}`)
  return [header.join('\n'), ...tables, notesOf(report).join('\n'), verdictOf(report)].join('\n\n')
}

export function markdown(report: Report): string {
  const list = (lines: readonly string[]) => lines.map((line) => `- ${line}`).join('\n')
  const header = Object.entries(report.facts).map(([name, fact]) => `${name}: ${fact}`)
  const tables = sizesOf(report).map(
    (size) => `## ${whole.format(size)} elements\n\n${markdownTable(gridOf(report, size))}`,
  )
  const parts = ['# Beside other libraries', list(header), ...tables, list(notesOf(report)), verdictOf(report)]
  return `${parts.join('\n\n')}\n`
}

const sizesOf = ({ measurements }: Report) => [...new Set(measurements.map(({ size }) => size))]

/** A row per loss, columns per peer: a time, and either its spread or how it compares. */
function gridOf({ columns, measurements }: Report, size: number): Grid {
  const ofSize = measurements.filter((m) => m.size === size)
  const rows = [...new Set(ofSize.map(({ loss }) => loss))].map((loss) => {
    const cells = columns.flatMap(({ id }, i) => {
      const m = ofSize.find((m) => m.loss === loss && m.peer === id)
      if (m === undefined) return ['–', '']
      return [digits.format(m.nsPerElement), i === 0 ? percent.format(m.spread) : `${digits.format(m.times)} ×`]
    })
    return [loss, ...cells]
  })
  // The name of a peer stands over the first of its columns.
  const head = columns.flatMap(({ name }, i) => [`${name}\nns`, i === 0 ? '\n±' : '\n×'])
  return { head: ['\nloss', ...head], rows }
}

function notesOf({ columns, measurements, gaps }: Report): readonly string[] {
  const lossesOf = (reason: string) => new Set(gaps.filter((gap) => gap.reason === reason).map(({ loss }) => loss))
  const composed = columns.flatMap((column) => column.composed ?? [])
  return [
    ...NOTES,
    ...[...new Set(gaps.map(({ reason }) => reason))].map(
      (reason) => `–: ${reason} ${[...lossesOf(reason)].join('; ')}.`,
    ),
    `The gradient: ${[...new Set(columns.map(({ gradient }) => gradient))].join('; ')}.`,
    ...new Set(composed),
    ...columns.flatMap(({ id, name }) => {
      const off = Math.max(...measurements.filter(({ peer }) => peer === id).map(({ valueOff }) => valueOff))
      return off > PRECISE
        ? `The value of ${name} is off by up to ${digits.format(100 * off)} %, its gradient is not.`
        : []
    }),
    ...columns.flatMap(({ id, name }) => {
      const first = measurements.flatMap(({ peer, firstSeconds }) => (peer === id ? (firstSeconds ?? []) : []))
      const [least, most] = [Math.min(...first), Math.max(...first)].map((seconds) => digits.format(seconds))
      return Math.max(...first) > LONG
        ? `The first call of ${name}, in which it compiles, takes ${least} to ${most} s.`
        : []
    }),
  ]
}

function verdictOf({ columns, measurements }: Report): string {
  const others = new Map(columns.filter(({ own }) => !own).map(({ id, name }) => [id, name]))
  const compared = measurements.filter(({ peer }) => others.has(peer))
  if (compared.length === 0) return 'Nothing but fused-loss was measured.'
  const behind = compared.filter(({ times }) => times <= 1)
  if (behind.length === 0) return 'fused-loss native is ahead everywhere.'
  const places = behind.map(
    ({ loss, size, peer, times }) => `${loss}, ${whole.format(size)}: ${others.get(peer)} ${digits.format(times)} ×`,
  )
  return `fused-loss native is not ahead here:\n\n${places.map((place) => `- ${place}`).join('\n')}`
}
