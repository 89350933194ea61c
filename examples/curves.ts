import { draw } from './draw.js'

interface Curves {
  readonly name: string
  /** One per epoch. */
  readonly losses: readonly number[]
  readonly accuracies: readonly number[]
}

/** The curves should coincide, so each is drawn narrower than the one below it. */
const styles = [
  { color: '#f4c95d', lineStyle: { width: 16 }, symbolSize: 22 },
  { color: '#3d8bd4', lineStyle: { width: 9 }, symbolSize: 15 },
  { color: '#14213d', lineStyle: { width: 4 }, symbolSize: 9 },
  { color: '#ff6b6b', lineStyle: { width: 1.5, type: 'dashed' }, symbolSize: 5 },
] as const

/** Writes the picture and returns its path. */
export function drawCurves(runs: readonly Curves[]): string {
  const panel = (axis: 0 | 1, key: 'losses' | 'accuracies') =>
    runs.map((run, i) => ({
      ...styles[i],
      type: 'line' as const,
      name: run.name,
      xAxisIndex: axis,
      yAxisIndex: axis,
      data: run[key].map((y, epoch) => [epoch + 1, y]),
      symbol: 'circle',
      clip: false,
    }))
  const epochs = {
    type: 'value' as const,
    name: 'epoch',
    nameLocation: 'middle' as const,
    nameGap: 26,
    min: 1,
    max: runs[0].losses.length,
    axisLine: { onZero: false },
  }
  const grid = { top: 56, width: 390, height: 280 }
  return draw('mnist', 960, 440, {
    title: [
      { text: 'Training loss', left: 60, top: 10 },
      { text: 'Validation accuracy in %', left: 540, top: 10 },
    ],
    legend: { bottom: 6, itemWidth: 44, itemGap: 36 },
    grid: [
      { ...grid, left: 60 },
      { ...grid, left: 540 },
    ],
    xAxis: [epochs, { ...epochs, gridIndex: 1 }],
    yAxis: [
      { type: 'value', scale: true },
      { type: 'value', scale: true, gridIndex: 1 },
    ],
    series: [...panel(0, 'losses'), ...panel(1, 'accuracies')],
  })
}
