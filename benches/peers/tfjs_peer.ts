/** tfjs on the backend that the second argument names. Value and gradient are new tensors with each call, and read. */

import '@tensorflow/tfjs-backend-cpu'
import * as tf from '@tensorflow/tfjs-core'
// Registers the gradients, too.
import { metrics } from '@tensorflow/tfjs-layers'
import { startTfjs } from '../../examples/common.js'
import { answer, type Introduction, readCase } from './common.js'

/** A loss as a function of its input, of a target that is brought into the form that it takes once. */
type TfjsLoss = (target: tf.Tensor, shape: readonly number[]) => (input: tf.Tensor) => tf.Tensor

const LOSSES: Readonly<Record<string, TfjsLoss>> = {
  mse: (t) => (x) => tf.losses.meanSquaredError(t, x),
  l1: (t) => (x) => tf.losses.absoluteDifference(t, x),
  // With β = δ = 1 these are the same.
  smoothL1: (t) => (x) => tf.losses.huberLoss(t, x),
  huber: (t) => (x) => tf.losses.huberLoss(t, x),
  bceWithLogits: (t) => (x) => tf.losses.sigmoidCrossEntropy(t, x),
  crossEntropy(t, [, classes]) {
    const hot = tf.cast(tf.oneHot(t, classes), 'float32')
    return (x) => tf.losses.softmaxCrossEntropy(hot, x)
  },
  hinge(t) {
    const bits = tf.div(tf.add(t, 1), 2)
    return (x) => tf.losses.hingeLoss(bits, x)
  },
  mape: (t) => (x) => metrics.meanAbsolutePercentageError(t, x),
}

if (process.argv[2] === 'losses') {
  const names = Object.keys(LOSSES)
  console.log(
    JSON.stringify({ versions: { tfjs: tf.version_core }, losses: names, composed: [] } satisfies Introduction),
  )
} else {
  if (process.argv[3] === 'wasm') await startTfjs()
  else await tf.setBackend('cpu')

  const { given, arrays } = readCase()
  const [x, t] = given.inputs.map(({ shape }, k) => tf.tensor(arrays[k], [...shape]))
  const loss = LOSSES[given.loss](t, given.inputs[0].shape)
  const step = tf.valueAndGrad((input: tf.Tensor) => loss(input))

  answer(
    given,
    () => {
      const { value, grad } = step(x)
      const numbers = { value: value.dataSync()[0], grads: [grad.dataSync<'float32'>()] }
      tf.dispose([value, grad])
      return numbers
    },
    (numbers) => numbers,
  )
}
