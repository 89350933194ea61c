/** The pictures of docs/article.md: each loss and its gradient over one logit. `npm run docs:plots` writes them. */

import * as echarts from 'echarts'
import { bceDice, bceWithLogits, crossEntropy, dice, focalDice, mse, softmaxFocal } from 'fused-loss'

interface Curve {
  readonly name: string
  /** Value and slope at x. */
  readonly at: (x: number) => readonly [value: number, slope: number]
}

interface Plot {
  /** What runs along the axis. */
  readonly x: string
  readonly range: readonly [number, number]
  readonly curves: readonly Curve[]
}

const POINTS = 97
const colors = ['#1f6fb5', '#d1495b', '#2e933c', '#8a4fbf']
const dashes = ['solid', [7, 4], [2, 3], [9, 3, 2, 3]] as const

/** A loss of one row, by the number at one place of it. */
function row(
  loss: (input: Float32Array) => { value: number; grad: Float32Array },
  inputOf: (x: number) => Float32Array,
  place: number,
): Curve['at'] {
  return (x) => {
    const { value, grad } = loss(inputOf(x))
    return [value, grad[place]]
  }
}

const PIXELS = 32 * 32

/** A loss of a picture whose first pixels are an object, by the logit that all its pixels or all others have. */
function picture(
  loss: (logits: Float32Array, mask: Float32Array) => { value: number; grad: Float32Array },
  share: number,
  logitsAt: (x: number) => { object: number; rest: number },
  moved: 'object' | 'rest',
): Curve['at'] {
  const size = Math.round(share * PIXELS)
  const mask = new Float32Array(PIXELS).fill(1, 0, size)
  return (x) => {
    const { object, rest } = logitsAt(x)
    const { value, grad } = loss(new Float32Array(PIXELS).fill(rest).fill(object, 0, size), mask)
    const slope = grad.subarray(...(moved === 'object' ? [0, size] : [size])).reduce((sum, g) => sum + g, 0)
    return [value, slope]
  }
}

const asPicture = { shape: [1, 1, 32, 32], smoothNr: 2, smoothDr: 1 }
const softDice = dice.with({ ...asPicture, activation: 'sigmoid' }).valueAndGrad
/** Background that is right: only the object is to be found. */
const object = (x: number) => ({ object: x, rest: -8 })
/** An object that is found: only the background is to be got right. */
const rest = (x: number) => ({ object: 4, rest: x })

const binary = (target: number) =>
  row(
    (x) => bceWithLogits.valueAndGrad(x, Float32Array.of(target)),
    (x) => Float32Array.of(x),
    0,
  )
const ofThree = (label: number) =>
  row(
    (x) => crossEntropy.valueAndGrad(x, Int32Array.of(label), { shape: [1, 3] }),
    (x) => Float32Array.of(x, 0, 0),
    0,
  )
/** The mean over one row would divide its weight away. */
const weighted = (label: number, weight: number[]) =>
  row(
    (x) => crossEntropy.valueAndGrad(x, Int32Array.of(label), { shape: [1, 2], weight, reduction: 'sum' }),
    (x) => (label === 1 ? Float32Array.of(0, x) : Float32Array.of(x, 0)),
    label,
  )
const softened = (temperature: number) =>
  row(
    (x) => crossEntropy.valueAndGrad(x, Int32Array.of(1), { shape: [1, 2], temperature }),
    (x) => Float32Array.of(0, x),
    1,
  )
const focal = (gamma: number) =>
  row(
    (x) => softmaxFocal.valueAndGrad(x, Int32Array.of(1), { shape: [1, 2], gamma }),
    (x) => Float32Array.of(0, x),
    1,
  )

const descriptions: Readonly<Record<string, Plot>> = {
  bce: {
    x: 'logit',
    range: [-6, 6],
    curves: [
      { name: 'target 1', at: binary(1) },
      { name: 'target 0', at: binary(0) },
      { name: 'target 0.8', at: binary(0.8) },
    ],
  },
  'cross-entropy': {
    x: 'logit of one of three classes, the others at 0',
    range: [-6, 6],
    curves: [
      { name: 'it is the right class', at: ofThree(0) },
      { name: 'it is a wrong class', at: ofThree(1) },
    ],
  },
  'weighted-cross-entropy': {
    x: 'logit of the right class, the other at 0',
    range: [-6, 6],
    curves: [
      { name: 'no weights', at: weighted(1, [1, 1]) },
      { name: 'rare class, 10 % of all', at: weighted(1, [0.1, 0.9]) },
      { name: 'frequent class, 90 % of all', at: weighted(0, [0.1, 0.9]) },
    ],
  },
  temperature: {
    x: 'logit of the right class, the other at 0',
    range: [-6, 6],
    curves: [0.5, 1, 2, 4].map((temperature) => ({ name: `T = ${temperature}`, at: softened(temperature) })),
  },
  mse: {
    x: 'prediction − target',
    range: [-3, 3],
    curves: [
      {
        name: 'MSE',
        at: row(
          (x) => mse.valueAndGrad(x, Float32Array.of(0)),
          (x) => Float32Array.of(x),
          0,
        ),
      },
    ],
  },
  dice: {
    x: 'logit of all pixels of the object, the background at −8',
    range: [-8, 8],
    curves: [0.5, 0.1, 0.01].map((share) => ({
      name: `object: ${100 * share} % of the pixels`,
      at: picture(softDice, share, object, 'object'),
    })),
  },
  focal: {
    x: 'logit of the right class, the other at 0',
    range: [-6, 6],
    curves: [0, 1, 2, 5].map((gamma) => ({ name: `γ = ${gamma}`, at: focal(gamma) })),
  },
  'bce-dice': {
    x: 'logit of all pixels of an object of 1 %, the background at −8',
    range: [-8, 8],
    curves: [
      { name: 'BCE + Dice', at: picture(bceDice.with(asPicture).valueAndGrad, 0.01, object, 'object') },
      { name: 'Dice', at: picture(softDice, 0.01, object, 'object') },
      { name: 'BCE', at: picture(bceWithLogits.valueAndGrad, 0.01, object, 'object') },
    ],
  },
  'focal-dice': {
    x: 'logit of all pixels around an object of 1 %, the object at 4',
    range: [-8, 4],
    curves: [
      { name: 'Focal + Dice', at: picture(focalDice.with(asPicture).valueAndGrad, 0.01, rest, 'rest') },
      { name: 'BCE + Dice', at: picture(bceDice.with(asPicture).valueAndGrad, 0.01, rest, 'rest') },
      { name: 'Dice', at: picture(softDice, 0.01, rest, 'rest') },
    ],
  },
}

function draw({ x, range: [from, to], curves }: Plot): string {
  const places = Array.from({ length: POINTS }, (_, i) => from + ((to - from) * i) / (POINTS - 1))
  const results = curves.map(({ at }) => places.map(at))
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: 760, height: 300 })
  const grid = { top: 36, width: 320, height: 180 }
  const lines = { axisLine: { onZero: false }, splitLine: { lineStyle: { color: '#e6e6e6' } } }
  const xAxis = {
    type: 'value' as const,
    min: from,
    max: to,
    interval: to - from > 6 ? 2 : 1,
    ...lines,
  }
  const yAxis = { type: 'value' as const, ...lines }
  chart.setOption({
    animation: false,
    backgroundColor: '#ffffff',
    color: colors,
    title: [
      { text: 'value', left: 46, top: 6, textStyle: { fontSize: 13 } },
      { text: 'gradient', left: 426, top: 6, textStyle: { fontSize: 13 } },
      { text: x, left: 'center', top: 242, textStyle: { fontSize: 12, fontWeight: 'normal' } },
    ],
    legend: { bottom: 4, itemWidth: 34, itemGap: 24, itemStyle: { opacity: 0 } },
    grid: [
      { ...grid, left: 46 },
      { ...grid, left: 426 },
    ],
    xAxis: [xAxis, { ...xAxis, gridIndex: 1 }],
    yAxis: [yAxis, { ...yAxis, gridIndex: 1 }],
    series: curves.flatMap(({ name }, i) =>
      ([0, 1] as const).map((panel) => ({
        type: 'line' as const,
        name,
        xAxisIndex: panel,
        yAxisIndex: panel,
        symbol: 'none',
        lineStyle: { width: 2, type: dashes[i] as 'solid' },
        data: places.map((place, k) => [place, results[i][k][panel]]),
      })),
    ),
  })
  const svg = chart.renderToSVGString()
  chart.dispose()
  // What reacts to a pointer goes; its names, and those of the clip paths, count the charts of the process.
  return svg
    .replace(/<style[\s\S]*?<\/style>\n?/g, '')
    .replace(/ (?:class|pointer-events|ecmeta_\w+)="[^"]*"/g, '')
    .replace(/\bzr\d+-/g, '')
}

/** Each picture as SVG, by the name of its file. */
export const plots = (): Map<string, string> =>
  new Map(Object.entries(descriptions).map(([name, plot]) => [`${name}.svg`, draw(plot)]))
