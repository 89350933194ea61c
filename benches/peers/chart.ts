import { draw } from '../../examples/draw.js'
import type { Report } from './report.js'

const WIDTH = 960
const LEFT = 160
const TOP = 32
const ROW = 18
const GAP = 40
const BOTTOM = 64
const COLORS = ['#f4c95d', '#e08e45', '#c8553d', '#3d8bd4', '#8fa3b8', '#14213d']

/** Draws how many times as long as fused-loss native other libraries take, and returns the path, if there are any. */
export function drawPeers({ columns, measurements }: Report): readonly string[] {
  const others = columns.filter(({ id, own }) => !own && measurements.some(({ peer }) => peer === id))
  if (others.length === 0) return []
  const sizes = [...new Set(measurements.map(({ size }) => size))]
  const losses = [...new Set(measurements.map(({ loss }) => loss))]
  // A row for each loss, a column for each size, and in them a dot for each library.
  const width = (WIDTH - LEFT) / sizes.length - GAP
  const left = (column: number) => LEFT + column * (width + GAP)
  const height = losses.length * ROW
  const file = draw('peers', WIDTH, TOP + height + BOTTOM, {
    title: sizes.map((size, i) => ({
      text: `${size.toLocaleString('en')} elements, times as long as fused-loss native`,
      left: left(i),
      top: 6,
      textStyle: { fontSize: 12 },
    })),
    legend: { bottom: 6, itemGap: 24, data: others.map(({ name }) => name) },
    grid: sizes.map((_, i) => ({ left: left(i), width, top: TOP, height })),
    xAxis: sizes.map((_, i) => ({ type: 'log', gridIndex: i })),
    yAxis: sizes.map((_, i) => ({
      type: 'category',
      data: losses,
      inverse: true,
      gridIndex: i,
      // What was timed of it, beside its name, has no room here.
      axisLabel: { show: i === 0, interval: 0, formatter: (loss: string) => loss.replace(/, by .*/, '') },
      splitLine: { show: true },
    })),
    series: sizes.flatMap((size, i) =>
      others.map(({ id, name }, color) => ({
        type: 'scatter' as const,
        name,
        symbolSize: 8,
        itemStyle: { color: COLORS[color] },
        xAxisIndex: i,
        yAxisIndex: i,
        data: measurements
          .filter((m) => m.size === size && m.peer === id)
          .map(({ times, loss }): [number, string] => [times, loss]),
      })),
    ),
  })
  return [file]
}
