import { draw } from '../../examples/draw.js'
import type { Report } from './report.js'

const WIDTH = 960
const PANEL = 300
const TOP = 48
const GAP = 84
const COLORS = ['#f4c95d', '#e08e45', '#3d8bd4', '#8fa3b8', '#14213d']

/** Draws how many times as long as fused-loss native other libraries take, and returns the path, if there are any. */
export function drawPeers({ columns, measurements }: Report): readonly string[] {
  const others = columns.filter(({ id, own }) => !own && measurements.some(({ peer }) => peer === id))
  if (others.length === 0) return []
  const sizes = [...new Set(measurements.map(({ size }) => size))]
  const losses = [...new Set(measurements.map(({ loss }) => loss))]
  const top = (panel: number) => TOP + panel * (PANEL + GAP)
  const file = draw('peers', WIDTH, top(sizes.length) + 16, {
    title: sizes.map((size, i) => ({
      text: `Time of a value and its gradient as a multiple of fused-loss native's, ${size.toLocaleString('en')} elements`,
      left: 56,
      top: top(i) - 40,
      textStyle: { fontSize: 15 },
    })),
    legend: { bottom: 6, itemGap: 36, data: others.map(({ name }) => name) },
    grid: sizes.map((_, i) => ({ left: 56, right: 16, top: top(i), height: PANEL })),
    xAxis: sizes.map((_, i) => ({
      type: 'category',
      data: losses,
      gridIndex: i,
      axisLabel: { interval: 0, formatter: (loss: string) => loss.replace(', ', '\n') },
    })),
    // Bars start at 1: what is faster than fused-loss hangs down.
    yAxis: sizes.map((_, i) => ({ type: 'log', startValue: 1, gridIndex: i })),
    series: sizes.flatMap((size, i) =>
      others.map(({ id, name }, color) => ({
        type: 'bar' as const,
        name,
        itemStyle: { color: COLORS[color] },
        xAxisIndex: i,
        yAxisIndex: i,
        data: losses.map(
          (loss) => measurements.find((m) => m.size === size && m.loss === loss && m.peer === id)?.times,
        ),
      })),
    ),
  })
  return [file]
}
