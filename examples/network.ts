/** A small convolutional network that gives a logit per pixel, and the kernels that it lacks on tfjs' wasm backend. */

import * as tf from '@tensorflow/tfjs-core'
import { initializers, input, type LayersModel, layers, model, type SymbolicTensor } from '@tensorflow/tfjs-layers'

const FILTERS = 8

/** Two steps down and two up, as in U-Net; the way up adds what the way down saw at the same resolution. */
export function network(size: number, seed: number): LayersModel {
  let conv = 0
  const layer = (x: SymbolicTensor, filters: number, kernelSize: number, activation: 'elu' | 'linear') => {
    const initializer = activation === 'elu' ? initializers.heNormal : initializers.glorotNormal
    const kernelInitializer = initializer({ seed: seed + conv++ })
    return apply(layers.conv2d({ filters, kernelSize, padding: 'same', activation, kernelInitializer }), x)
  }
  const down = (x: SymbolicTensor) => apply(layers.maxPooling2d({ poolSize: 2 }), x)
  const upTo = (finer: SymbolicTensor, x: SymbolicTensor) => {
    const coarse = layer(x, finer.shape.at(-1)!, 1, 'linear')
    return apply(layers.add(), [finer, apply(layers.upSampling2d({ size: [2, 2] }), coarse)])
  }

  const image = input({ shape: [size, size, 1] })
  const full = layer(image, FILTERS, 3, 'elu')
  const half = layer(down(full), 2 * FILTERS, 3, 'elu')
  const quarter = layer(layer(down(half), 3 * FILTERS, 3, 'elu'), 3 * FILTERS, 3, 'elu')
  const halfAgain = layer(upTo(half, quarter), 2 * FILTERS, 3, 'elu')
  const fullAgain = layer(upTo(full, halfAgain), FILTERS, 3, 'elu')
  return model({ inputs: image, outputs: layer(fullAgain, 1, 1, 'linear') })
}

const apply = (layer: InstanceType<typeof layers.Layer>, x: SymbolicTensor | SymbolicTensor[]) =>
  layer.apply(x) as SymbolicTensor

/**
 * The wasm backend has no gradient of a convolution by its filter, and by its input one that takes
 * over ten times as long as this one. Both are convolutions themselves where, as here, the stride is 1, the padding `same` and the
 * edges of the filter odd.
 */
export function registerConvolutionGradients(): void {
  register(tf.Conv2DBackpropFilter, ({ x, dy }, { filterShape }) => {
    // The batch is what a sum runs over, as channels are in the forward pass: they change places.
    const images = tf.transpose(x, [3, 1, 2, 0])
    const filters = tf.transpose(dy, [1, 2, 0, 3])
    const [rows, columns] = filterShape.map((edge) => (edge - 1) / 2)
    // Not the number: tfjs would take the filter, here a picture, for a square.
    const padding = [
      [0, 0],
      [rows, rows],
      [columns, columns],
      [0, 0],
    ] satisfies tf.backend_util.ExplicitPadding
    return tf.transpose(tf.conv2d(images, filters, 1, padding), [1, 2, 0, 3])
  })
  register(tf.Conv2DBackpropInput, ({ dy, filter }) =>
    tf.conv2d(dy, tf.transpose(tf.reverse(filter, [0, 1]), [0, 1, 3, 2]), 1, 'same'),
  )
}

type Kernel = (
  inputs: Record<'x' | 'dy' | 'filter', tf.Tensor4D>,
  attributes: { filterShape: [number, number, number, number] },
) => tf.Tensor

function register(kernelName: string, kernel: Kernel) {
  const backendName = 'wasm'
  if (tf.getKernel(kernelName, backendName)) tf.unregisterKernel(kernelName, backendName)
  tf.registerKernel({
    kernelName,
    backendName,
    kernelFunc({ inputs, attrs }) {
      const { strides, pad } = attrs as { strides: number | [number, number]; pad: unknown }
      if (pad !== 'same' || [strides].flat().some((stride) => stride !== 1)) {
        throw new Error(`${kernelName} is here for a stride of 1 and 'same', got ${strides} and ${pad}`)
      }
      return tf.tidy(() => kernel(inputs as never, attrs as never))
    },
  })
}
