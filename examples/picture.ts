import { encode } from 'fast-png'
import { type Pictures, SIZE } from './digits.js'
import { draw } from './draw.js'

interface Run {
  readonly name: string
  /** One per epoch. */
  readonly scores: readonly number[]
  /** Of all pictures, one after another. */
  readonly logits: Float32Array
  readonly pictureScores: readonly number[]
}

const PICTURES = 4
const PIXELS = SIZE * SIZE
const EDGE = 2 * SIZE
const GAP = 14
const LEFT = 30
const TOP = 64
const ROW = EDGE + 2 * GAP

const BLACK = [20, 20, 20]
const WHITE = [255, 255, 255]
const MISSED = [61, 139, 212]
const FALSE_ALARM = [255, 159, 28]
const curveColors = ['#14213d', '#3d8bd4', '#f4a83d', '#c8553d']

/** Draws the first pictures, their truth, what each loss made of them, and the scores by epoch; returns the path. */
export function drawPredictions(runs: readonly Run[], { images, masks }: Pictures): string {
  const columns = [
    { name: 'input', colorOf: (i: number) => grey(images[i]) },
    { name: 'truth', colorOf: (i: number) => (masks[i] ? WHITE : BLACK) },
    ...runs.map(({ name, logits }) => ({
      name,
      colorOf(i: number) {
        if (logits[i] > 0) return masks[i] ? WHITE : FALSE_ALARM
        return masks[i] ? MISSED : BLACK
      },
    })),
  ]
  const xOf = (column: number) => LEFT + column * (EDGE + GAP)
  const width = xOf(columns.length) - GAP + LEFT
  const bottom = TOP + PICTURES * ROW

  const graphic: object[] = []
  const write = (text: string, x: number, y: number, fontSize: number, textAlign: string) =>
    graphic.push({ type: 'text', style: { text, x, y, fontSize, textAlign, textVerticalAlign: 'middle' } })
  write(`The first ${PICTURES} pictures held back, with the Dice score of each prediction`, LEFT, 18, 17, 'left')
  columns.forEach(({ name, colorOf }, column) => {
    const x = xOf(column)
    write(name, x + EDGE / 2, TOP - 14, 14, 'center')
    for (let n = 0; n < PICTURES; n++) {
      const y = TOP + n * ROW
      graphic.push({ type: 'image', style: { image: png(n, colorOf), x, y, width: EDGE, height: EDGE } })
      const score = runs[column - 2]?.pictureScores[n].toFixed(3)
      if (score !== undefined) write(score, x + EDGE / 2, y + EDGE + GAP, 12, 'center')
    }
  })
  const legend = [
    [WHITE, 'found'],
    [MISSED, 'missed'],
    [FALSE_ALARM, 'false alarm'],
  ] as const
  legend.forEach(([color, text], i) => {
    const [x, y] = [xOf(2) + i * (EDGE + GAP), bottom + 4]
    const style = { fill: `rgb(${color})`, stroke: '#888888' }
    graphic.push({ type: 'rect', shape: { x, y, width: 14, height: 14 }, style })
    write(text, x + 22, y + 8, 13, 'left')
  })

  const epochs = runs[0].scores.length
  return draw('segmentation', width, bottom + 400, {
    graphic: graphic as never,
    title: { text: 'Dice score on all pictures held back', left: LEFT - 5, top: bottom + 40 },
    legend: { bottom: 6, itemGap: 36 },
    grid: { left: LEFT + 30, right: LEFT + 10, top: bottom + 80, height: 230 },
    xAxis: { type: 'value', name: 'epoch', nameLocation: 'middle', nameGap: 26, min: 1, max: epochs },
    yAxis: { type: 'value', min: 0, max: 1 },
    series: runs.map(({ name, scores }, i) => ({
      type: 'line',
      name,
      data: scores.map((score, epoch) => [epoch + 1, score]),
      color: curveColors[i],
      symbol: 'circle',
      symbolSize: 7,
      clip: false,
    })),
  })
}

/** The inputs go from about −0.5 to 1.5. */
function grey(value: number): number[] {
  const level = Math.max(0, Math.min(255, 255 * (0.25 + value / 2)))
  return [level, level, level]
}

/** A picture as a data URL, each of its pixels twice as wide and high. */
function png(picture: number, colorOf: (pixel: number) => readonly number[]): string {
  const data = new Uint8Array(EDGE * EDGE * 3)
  for (let y = 0; y < EDGE; y++) {
    for (let x = 0; x < EDGE; x++) {
      data.set(colorOf(picture * PIXELS + (y >> 1) * SIZE + (x >> 1)), (y * EDGE + x) * 3)
    }
  }
  const file = encode({ width: EDGE, height: EDGE, channels: 3, data })
  return `data:image/png;base64,${Buffer.from(file).toString('base64')}`
}
