/** Tests on every platform, and calls that must be refused. */

import test, { type ExecutionContext } from 'ava'
import { platforms } from './platforms.js'

/** A test that runs on every platform. */
export function everywhere(title: string, run: (t: ExecutionContext) => void): void {
  for (const platform of platforms) {
    test.serial(`${title} on ${platform.name}`, (t) => {
      platform.activate()
      run(t)
    })
  }
}

/** Any loss with any arguments: what is wrong here is so on purpose. */
export type Loose = {
  (...args: unknown[]): unknown
  backward(...args: unknown[]): unknown
  valueAndGrad(...args: unknown[]): { value: unknown; grad: Float32Array }
  with(options: unknown): Loose
}
export const loose = (loss: unknown) => loss as Loose

/** The call throws, names the parameter, and leaves the gradient buffer alone. */
export function refuses(
  t: ExecutionContext,
  error: ErrorConstructor,
  message: RegExp,
  loss: Loose,
  input: unknown,
  target: unknown,
  options: Record<string, unknown> = {},
): void {
  const grad = new Float32Array(6).fill(77)
  t.throws(() => loss.valueAndGrad(input, target, { grad, ...options }), { instanceOf: error, message })
  t.deepEqual(grad, new Float32Array(6).fill(77))
  t.throws(() => loss.backward(input, target, { grad, ...options }), { instanceOf: error, message })
  t.deepEqual(grad, new Float32Array(6).fill(77))
}

/** The array, whose memory has gone. */
export function detached<A extends Float32Array | Int32Array>(array: A): A {
  structuredClone(array.buffer, { transfer: [array.buffer as ArrayBuffer] })
  return array
}
