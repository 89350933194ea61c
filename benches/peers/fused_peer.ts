/** fused-loss, on the backend that the environment forces. The gradients go into the same buffers with each call. */

import * as library from '../../ts/index.js'
import { answer, readCase } from './common.js'

/** A loss of any arrays. */
interface Calls {
  with(options: object): Calls
  valueAndGrad(...arrays: unknown[]): { readonly value: number }
}

const { given, arrays } = readCase()
const buffers = Object.fromEntries(
  given.inputs.flatMap(({ gradName }, k) =>
    gradName === undefined ? [] : [[gradName, new Float32Array(arrays[k].length)]],
  ),
)
const loss = (library as unknown as Readonly<Record<string, Calls>>)[given.loss]
const bound = loss.with({ ...given.options, ...buffers })
answer(
  given,
  () => bound.valueAndGrad(...arrays),
  ({ value }) => ({ value, grads: Object.values(buffers) }),
)
