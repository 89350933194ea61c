/** fused-loss, on the backend that the environment forces. The gradient goes into the same buffer with each call. */

import { forms } from '../data.js'
import { answer, readCase } from './common.js'

const { loss, shape, input, target, seconds } = readCase()
const options = { ...loss.options, shape, grad: new Float32Array(input.length) }
const bound = forms.get(loss.name)!.loss.with(options)
answer(() => bound.valueAndGrad(input, target), seconds)
