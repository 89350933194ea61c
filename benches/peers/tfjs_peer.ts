/** tfjs on the backend that the second argument names. Value and gradient are new tensors with each call, and read. */

import '@tensorflow/tfjs-backend-cpu'
import * as tf from '@tensorflow/tfjs-core'
// Registers the gradients.
import '@tensorflow/tfjs-layers'
import { startTfjs } from '../../examples/common.js'
import { answer, readCase } from './common.js'

if (process.argv[3] === 'wasm') await startTfjs()
else await tf.setBackend('cpu')

const { loss, shape, input, target, seconds } = readCase()
const x = tf.tensor(input, shape)
const t =
  loss.target === 'label' ? tf.cast(tf.oneHot(tf.tensor(target), shape[1]), 'float32') : tf.tensor(target, shape)
const step = tf.valueAndGrad((logits: tf.Tensor) => tf.losses[loss.tfjs!]<tf.Tensor, tf.Scalar>(t, logits))

answer(() => {
  const { value, grad } = step(x)
  const numbers = { value: value.dataSync()[0], grad: grad.dataSync<'float32'>() }
  tf.dispose([value, grad])
  return numbers
}, seconds)
