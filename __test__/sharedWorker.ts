/** A worker that fills and computes on arrays that it shares with the test that has started it. */

import { parentPort, workerData } from 'node:worker_threads'
import { crossEntropy, mse } from '../ts/index.js'
import { platforms } from './platforms.js'

/** The arrays that both see. */
export interface Shared {
  readonly x: Float32Array
  readonly target: Float32Array
  readonly labels: Int32Array
  readonly grad: Float32Array
}

/** What the worker answers with. */
export interface Answer {
  readonly mse: number
  readonly crossEntropy: number
}

/** Scores of a row of {@link Shared.x}. */
export const CLASSES = 5

if (parentPort !== null) {
  const { x, target, labels, grad } = workerData as Shared
  const port = parentPort
  port.on('message', (message: { fill: number } | { compute: string }) => {
    if ('fill' in message) {
      for (let i = 0; i < x.length; i++) {
        x[i] = ((i * 7 + message.fill) % 13) - 6
        target[i] = ((i * 5) % 11) - 5
      }
      for (let i = 0; i < labels.length; i++) labels[i] = (i + message.fill) % CLASSES
      port.postMessage('filled')
    } else {
      platforms.find(({ name }) => name === message.compute)!.activate()
      // The gradient of the first stays in the shared buffer.
      const answer: Answer = {
        crossEntropy: crossEntropy(x, labels),
        mse: mse.valueAndGrad(x, target, { grad }).value,
      }
      port.postMessage(answer)
    }
  })
}
