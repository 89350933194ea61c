/**
 * A convolutional network finds small handwritten digits in noisy pictures, where about 3 % of the pixels are foreground:
 * trained with BCE, BCE + Dice, Focal + Dice and Dice, each time from the same weights with the same batches.
 */

import * as tf from '@tensorflow/tfjs-core'
import Table from 'cli-table3'
import { backend, bceDice, bceWithLogits, dice, focalDice } from 'fused-loss'
import { runEpoch, startTfjs, tfjsLoss } from './common.js'
import { drawPictures, type Pictures, SIZE } from './digits.js'
import { network, registerConvolutionGradients } from './network.js'
import { drawPredictions } from './picture.js'

const PIXELS = SIZE * SIZE
const TRAINING = 320
const HELD_BACK = 64
const BATCH = 8
const STEPS = TRAINING / BATCH
const EPOCHS = 8
// At twice the rate Dice alone can fail to find anything: its first steps send every logit to where the sigmoid is flat.
const LEARNING_RATE = 0.003
const SEED = 42

interface Criterion {
  valueAndGrad(logits: Float32Array, masks: Float32Array): { value: number }
}

const grad = new Float32Array(BATCH * PIXELS)
const shape = [BATCH, 1, SIZE, SIZE]
const losses: readonly { name: string; loss: Criterion }[] = [
  { name: 'BCE', loss: bceWithLogits.with({ shape, grad }) },
  { name: 'BCE + Dice', loss: bceDice.with({ shape, grad }) },
  { name: 'Focal + Dice', loss: focalDice.with({ shape, grad }) },
  { name: 'Dice', loss: dice.with({ shape, grad, activation: 'sigmoid' }) },
]

/** How predictions of the pictures held back compare with the truth; a logit above 0 is foreground. */
interface Quality {
  /** Dice score of each picture, and their mean. */
  readonly pictureScores: readonly number[]
  readonly score: number
  /** Of the pixels called foreground those that are (NaN if there is none), and the other way round. */
  readonly precision: number
  readonly recall: number
}

interface Run {
  readonly name: string
  readonly logits: Float32Array
  /** One per epoch. */
  readonly qualities: readonly Quality[]
  /** Steps of training in which less than a tenth of the foreground's area was called foreground. */
  readonly blindSteps: number
}

function qualityOf(logits: Float32Array, { count, masks }: Pictures): Quality {
  const pictures = Array.from({ length: count }, (_, n) => {
    const counts = { hits: 0, predicted: 0, true: 0 }
    for (let i = n * PIXELS; i < (n + 1) * PIXELS; i++) {
      if (logits[i] > 0) counts.predicted++
      if (masks[i]) counts.true++
      if (logits[i] > 0 && masks[i]) counts.hits++
    }
    return counts
  })
  const sum = (key: keyof (typeof pictures)[0]) => pictures.reduce((total, counts) => total + counts[key], 0)
  // No picture is without a digit.
  const pictureScores = pictures.map((counts) => (2 * counts.hits) / (counts.predicted + counts.true))
  return {
    pictureScores,
    score: mean(pictureScores),
    precision: sum('hits') / sum('predicted'),
    recall: sum('hits') / sum('true'),
  }
}

const mean = (values: readonly number[] | Float32Array) => [...values].reduce((a, b) => a + b, 0) / values.length

/** How many pixels. */
const foregroundIn = (pixels: Float32Array) => pixels.reduce((sum, pixel) => (pixel > 0 ? sum + 1 : sum), 0)

const tensorOf = (images: Float32Array) => tf.tensor4d(images, [images.length / PIXELS, SIZE, SIZE, 1])

function train({ name, loss }: (typeof losses)[number], training: Pictures, heldBack: Pictures): Run {
  const model = network(SIZE, SEED)
  const optimizer = tf.train.adam(LEARNING_RATE)
  const logitsOf = (images: Float32Array) => model.apply(tensorOf(images)) as tf.Tensor
  const qualities: Quality[] = []
  let blindSteps = 0
  let logits: Float32Array = new Float32Array()

  console.log(`\n${name}`)
  for (let epoch = 1; epoch <= EPOCHS; epoch++) {
    const title = `  epoch ${epoch}/${EPOCHS}`
    const value = runEpoch(title, STEPS, SEED + epoch, (batch) => {
      const [from, to] = [batch * BATCH * PIXELS, (batch + 1) * BATCH * PIXELS]
      const masks = training.masks.subarray(from, to)
      const lossOf = tfjsLoss(grad, (logits) => {
        if (foregroundIn(logits) < foregroundIn(masks) / 10) blindSteps++
        return loss.valueAndGrad(logits, masks).value
      })
      return tf.tidy(() => {
        const step = () => lossOf(logitsOf(training.images.subarray(from, to)))
        return optimizer.minimize(step, true)!.dataSync()[0]
      })
    })
    logits = tf.tidy(() => logitsOf(heldBack.images).dataSync<'float32'>())
    const quality = qualityOf(logits, heldBack)
    qualities.push(quality)
    console.log(`${title}  loss ${value.toFixed(4)}  Dice score on pictures held back ${quality.score.toFixed(3)}`)
  }
  optimizer.dispose()
  model.dispose()
  return { name, logits, qualities, blindSteps }
}

/** The first epoch after which more than half was right, by the Dice score. */
function epochPastHalf({ qualities }: Run): number {
  const index = qualities.findIndex(({ score }) => score > 0.5)
  return index < 0 ? Number.POSITIVE_INFINITY : index + 1
}

const epochText = (epoch: number) => (Number.isFinite(epoch) ? String(epoch) : 'never')
const percent = (share: number, digits: number) => `${(100 * share).toFixed(digits)} %`
const signed = (number: number) => `${number < 0 ? '−' : '+'}${Math.abs(number).toFixed(3)}`
const last = ({ qualities }: Run) => qualities.at(-1)!

/** How far the scores of the same pictures are apart, with two standard errors. */
function lead(run: Run, other: Run): { mean: number; error: number } {
  const scores = last(other).pictureScores
  const differences = last(run).pictureScores.map((score, n) => score - scores[n])
  const center = mean(differences)
  const variance = mean(differences.map((difference) => (difference - center) ** 2))
  return { mean: center, error: 2 * Math.sqrt(variance / (differences.length - 1)) }
}

/** What is said of BCE where foreground is rare, whether it was so in these runs, and the numbers that say it. */
function findings([bce, ...others]: readonly Run[]): string {
  const compared = (textOf: (run: Run) => string) =>
    `BCE ${textOf(bce)}, ${others.map((run) => `${run.name} ${textOf(run)}`).join(', ')}.`
  const leads = others.map((run) => ({ name: run.name, ...lead(run, bce) }))
  const leadTexts = leads.map(({ name, mean, error }) => `${name} ${signed(mean)} ± ${error.toFixed(3)}`)
  // Of the last two epochs over the two before: one alone goes up and down.
  const gain = ({ qualities }: Run) => {
    const scores = qualities.map(({ score }) => score)
    return mean(scores.slice(-2)) - mean(scores.slice(-4, -2))
  }

  const findings: [claim: string, holds: boolean[], seen: string][] = [
    [
      'BCE sees only background for longer',
      others.map((run) => run.blindSteps < bce.blindSteps),
      `Steps of ${EPOCHS * STEPS} with less than a tenth of the foreground: ${compared((run) => `${run.blindSteps}`)}`,
    ],
    [
      'With a Dice term the foreground is found sooner',
      others.map((run) => epochPastHalf(run) < epochPastHalf(bce)),
      `Dice score above 0.5 in epoch: ${compared((run) => epochText(epochPastHalf(run)))}`,
    ],
    [
      'With a Dice term the score is better at the end',
      leads.map(({ mean, error }) => mean > error),
      `Ahead of BCE on the same pictures, ± two standard errors: ${leadTexts.join(', ')}.`,
    ],
    [
      'BCE misses more of the foreground',
      others.map((run) => last(bce).recall < last(run).recall),
      `Found: ${compared((run) => percent(last(run).recall, 1))}`,
    ],
    [
      'BCE is still gaining most when training ends',
      others.map((run) => gain(bce) > gain(run)),
      `Score of the last two epochs against the two before: ${compared((run) => signed(gain(run)))}`,
    ],
  ]
  const answer = (holds: boolean[]) => (holds.every(Boolean) ? 'yes' : holds.some(Boolean) ? 'for some' : 'no')
  const lines = findings.map(([claim, holds, seen]) => `${claim}: ${answer(holds)}.\n  ${seen}`)
  return `${lines.join('\n')}
One run each: the errors are those of ${HELD_BACK} pictures, and do not tell how other initial weights would do.`
}

await startTfjs()
registerConvolutionGradients()

const training = drawPictures(TRAINING, 'training', SEED)
const heldBack = drawPictures(HELD_BACK, 'heldBack', SEED + 1)
const foreground = mean(heldBack.masks)
const { name, instructionSet } = backend()
console.log(`fused-loss ${name} (${instructionSet})
${TRAINING} pictures for training, foreground ${percent(mean(training.masks), 2)} of the pixels
${HELD_BACK} pictures held back, foreground ${percent(foreground, 2)}`)

const runs = losses.map((loss) => train(loss, training, heldBack))

const table = new Table({
  head: ['loss', 'Dice score', 'precision', 'recall', 'score > 0.5 in epoch', 'pixels right'],
  colAligns: ['left', 'right', 'right', 'right', 'right', 'right'],
  style: { head: [], border: [] },
})
for (const run of runs) {
  const { score, precision, recall } = last(run)
  const right = mean(run.logits.map((logit, i) => (logit > 0 === heldBack.masks[i] > 0 ? 1 : 0)))
  table.push([
    run.name,
    score.toFixed(3),
    Number.isNaN(precision) ? '–' : precision.toFixed(3),
    recall.toFixed(3),
    epochText(epochPastHalf(run)),
    percent(right, 2),
  ])
}
table.push(['all background', '0.000', '–', '0.000', 'never', percent(1 - foreground, 2)])

const path = drawPredictions(
  runs.map((run) => ({
    name: run.name,
    logits: run.logits,
    scores: run.qualities.map(({ score }) => score),
    pictureScores: last(run).pictureScores,
  })),
  heldBack,
)
const best = runs.reduce((a, b) => (last(b).score > last(a).score ? b : a))
console.log(`\n${table}\n\n${findings(runs)}\n
Pictures: ${path}
best Dice score ${last(best).score.toFixed(3)} (${best.name})`)
