/** What the examples share: tfjs, the way of a loss into it, the steps of an epoch. */

import { fileURLToPath } from 'node:url'
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm'
import * as tf from '@tensorflow/tfjs-core'
import { SingleBar } from 'cli-progress'

export async function startTfjs(): Promise<void> {
  setWasmPaths(fileURLToPath(new URL('.', import.meta.resolve('@tensorflow/tfjs-backend-wasm'))))
  await tf.setBackend('wasm')
}

/** The integers below n in an order that the seed determines: that of random keys. */
export const shuffled = (n: number, seed: number) =>
  tf.topk(tf.randomUniform([n], 0, 1, 'float32', seed), n).indices as tf.Tensor1D

/**
 * A loss for tfjs. `call` gets the logits as a Float32Array, leaves their gradient in `grad` and returns the value. One
 * buffer serves all steps: tfjs copies it into the memory of its backend.
 */
export function tfjsLoss(grad: Float32Array, call: (logits: Float32Array) => number): (logits: tf.Tensor) => tf.Scalar {
  return tf.customGrad<tf.Scalar>((x) => {
    const logits = x as tf.Tensor
    const value = call(logits.dataSync<'float32'>())
    return { value: tf.scalar(value), gradFunc: (dy) => tf.mul(dy, tf.tensor(grad, logits.shape)) }
  })
}

/** Takes a step with each batch, in an order of its own in each epoch, and returns the mean of their losses. */
export function runEpoch(title: string, batches: number, seed: number, step: (batch: number) => number): number {
  // Draws only on a terminal. Its handler of SIGINT, left out, would have to wait for the end of this loop.
  const bar = new SingleBar({
    format: `${title} {bar} {percentage} %  loss {loss}`,
    stream: process.stdout,
    clearOnComplete: true,
    gracefulExit: false,
  })
  bar.start(batches, 0, { loss: '' })
  let sum = 0
  const order = tf.tidy(() => shuffled(batches, seed).dataSync<'int32'>())
  order.forEach((batch, i) => {
    sum += step(batch)
    bar.update(i + 1, { loss: (sum / (i + 1)).toFixed(4) })
  })
  bar.stop()
  return sum / batches
}
