/** What the segmentation example has of its own: gradients for tfjs, and its pictures. */

import * as tf from '@tensorflow/tfjs-core'
import test from 'ava'
import { startTfjs } from '../examples/common.js'
import { drawPictures, SIZE } from '../examples/digits.js'
import { registerConvolutionGradients } from '../examples/network.js'

const normal = (shape: number[], seed: number) => tf.randomNormal(shape, 0, 1, 'float32', seed)
const inner = (a: tf.Tensor, b: tf.Tensor) => tf.sum(tf.mul(a, b)).dataSync()[0]

test('the gradients of a convolution are its adjoints', async (t) => {
  await startTfjs()
  registerConvolutionGradients()
  for (const [edge, inputs, outputs] of [
    [1, 5, 2],
    [3, 2, 4],
    [5, 3, 1],
  ]) {
    // No two lengths are the same, so that none is taken for another.
    const image = [6, 7, 8, inputs]
    const filter = [edge, edge, inputs, outputs]
    const convolution = (x: tf.Tensor, w: tf.Tensor) => tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, 1, 'same')
    const [x, w, dy] = [normal(image, 1), normal(filter, 2), normal([6, 7, 8, outputs], 3)]
    const [dx, dw] = tf.grads(convolution)([x, w], dy)
    t.deepEqual(dw.shape, filter)
    // A convolution is linear in each argument: its derivative along any direction is the convolution with it.
    const [u, v] = [normal(image, 4), normal(filter, 5)]
    for (const [gradient, direction, change] of [
      [dx, u, convolution(u, w)],
      [dw, v, convolution(x, v)],
    ]) {
      const difference = inner(gradient, direction) - inner(dy, change)
      const size = Math.sqrt(inner(dy, dy) * inner(change, change))
      t.true(Math.abs(difference) < 1e-6 * size, `${edge}: ${difference} of ${size}`)
    }
  }
})

test('pictures repeat, have a digit each, and about 3 % foreground', (t) => {
  const pictures = drawPictures(100, 'training', 7)
  t.deepEqual(drawPictures(100, 'training', 7), pictures)
  t.true(pictures.images.every(Number.isFinite))
  const areas = Array.from({ length: 100 }, (_, n) => {
    const mask = pictures.masks.subarray(n * SIZE * SIZE, (n + 1) * SIZE * SIZE)
    return mask.reduce((sum, pixel) => sum + pixel, 0)
  })
  t.true(Math.min(...areas) > 0)
  const share = areas.reduce((a, b) => a + b, 0) / (100 * SIZE * SIZE)
  t.true(share > 0.025 && share < 0.035, String(share))
})
