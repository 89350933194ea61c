import { draw } from '../examples/draw.js'
import type { Measurement } from './report.js'

const COLUMNS = 6
const PANEL = { width: 200, height: 130 }
const GAP = { x: 24, y: 46 }
const LEFT = 60
const TOP = 84

const compact = new Intl.NumberFormat('en', { notation: 'compact' })
const axis = { type: 'log' as const, splitLine: { lineStyle: { color: '#e6e6e6' } }, axisTick: { show: false } }

/** Draws time per element against size, a panel for each loss and number of classes; returns the path. */
export function drawChart(measurements: readonly Measurement[]): string {
  // Of one verb, that which is timed everywhere.
  const [{ verb }] = measurements
  const shown = measurements.filter((m) => m.verb === verb).toSorted((a, b) => a.elements - b.elements)
  const panels = [...new Set(measurements.map(panelOf))]
  const rows = Math.ceil(panels.length / COLUMNS)
  const leftOf = (i: number) => LEFT + (i % COLUMNS) * (PANEL.width + GAP.x)
  const topOf = (i: number) => TOP + Math.floor(i / COLUMNS) * (PANEL.height + GAP.y)
  const x = { ...axis, ...decades(shown.map(({ elements }) => elements)) }
  const y = { ...axis, ...decades(shown.flatMap(({ nsPerElement, limit = nsPerElement }) => [nsPerElement, limit])) }
  const label = (show: boolean) => ({ axisLabel: { show, formatter: (n: number) => compact.format(n) } })
  return draw('bench', leftOf(COLUMNS - 1) + PANEL.width + GAP.x, topOf(COLUMNS * rows), {
    title: [
      { text: `Nanoseconds per element (${verb}) against the number of elements`, left: LEFT - 5, top: 8 },
      ...panels.map((text, i) => ({
        text,
        left: leftOf(i) - 5,
        top: topOf(i) - 24,
        textStyle: { fontSize: 12, fontWeight: 'normal' as const },
      })),
    ],
    legend: { top: 34, left: LEFT - 5, itemGap: 30 },
    grid: panels.map((_, i) => ({ ...PANEL, left: leftOf(i), top: topOf(i) })),
    // All panels have the same axes, whose labels stand at the left and below.
    xAxis: panels.map((_, i) => ({ ...x, gridIndex: i, ...label(i + COLUMNS >= panels.length) })),
    yAxis: panels.map((_, i) => ({ ...y, gridIndex: i, ...label(i % COLUMNS === 0) })),
    series: panels.flatMap((panel, i) =>
      linesOf(
        shown.filter((m) => panelOf(m) === panel),
        i,
      ),
    ),
  })
}

function panelOf({ loss, classes }: Measurement): string {
  return classes === undefined ? loss : `${loss} × ${classes}`
}

/** A line for each backend, and one for the limit where it was measured. */
function linesOf(measurements: readonly Measurement[], panel: number) {
  const line = { type: 'line' as const, xAxisIndex: panel, yAxisIndex: panel, symbol: 'circle', symbolSize: 5 }
  const times = [...new Set(measurements.map(({ backend }) => backend))].map((backend) => ({
    ...line,
    name: backend,
    data: measurements.filter((m) => m.backend === backend).map((m) => [m.elements, m.nsPerElement]),
  }))
  if (measurements[0].limit === undefined) return times
  const data = measurements.map(({ elements, limit }) => [elements, limit!])
  const lineStyle = { width: 1, type: 'dashed' as const }
  return [...times, { ...line, name: 'limit', data, color: '#888888', symbolSize: 2, lineStyle }]
}

/** The powers of ten around all numbers, never the same one. */
function decades(numbers: readonly number[]): { readonly min: number; readonly max: number } {
  const logs = numbers.map(Math.log10)
  return { min: 10 ** Math.floor(Math.min(...logs)), max: 10 ** (Math.floor(Math.max(...logs)) + 1) }
}
