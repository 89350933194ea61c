/** The bits of expressions are a promise, and with them the programs. */

import { readFileSync } from 'node:fs'
import test from 'ava'
import * as e from '../../ts/expression/index.js'
import { loosely } from './losses.js'
import { file, libraryFile, libraryPrograms, programs } from './programs.js'

for (const [what, write, path] of [
  ['a dozen losses', programs, file],
  ['the losses of the library', libraryPrograms, libraryFile],
] as const) {
  test(`the programs of ${what} are what they were`, (t) => {
    const [got, expected] = [write(), readFileSync(path, 'utf8')].map((text) => text.split('\n'))
    t.deepEqual(
      got,
      expected,
      'node dist/__test__/expression/programs.js writes them; say in the changelog that bits change',
    )
  })
}

test('a program does not depend on what was compiled before', (t) => {
  const loss = () =>
    loosely(
      e.defineLoss({
        name: 'mixed',
        inputs: { x: e.input, y: e.input },
        loss: ({ x, y }) => e.add(e.mul(e.exp(x), y), e.div(e.sigmoid(y), e.add(1, e.square(x)))),
      }),
    )
  const [first, second] = [loss(), loss()]
  const arrays = [Float32Array.of(1, 2), Float32Array.of(3, -4)]
  second(...arrays)
  second.backward(...arrays, { yGrad: new Float32Array(2) })
  second.valueAndGrad(...arrays, { weight: [1, 2] })
  for (const options of [{}, { yGrad: true }, { weight: [1, 2] }]) t.is(first.explain(options), second.explain(options))
})

const {
  abs,
  add,
  custom,
  defineLoss,
  div,
  exp,
  fixed,
  input,
  log,
  mul,
  mul0,
  neg,
  pow,
  sigmoid,
  softplus,
  sqrt,
  square,
  sub,
  tanh,
  where,
} = e

/** The lines of the program of a loss of x and y. */
function linesOf(loss: (x: e.Value, y: e.Value) => e.Value): string[] {
  const defined = loosely(defineLoss({ name: 'one', inputs: { x: input, y: fixed }, loss: ({ x, y }) => loss(x, y) }))
  const [, ...lines] = defined.explain().split('\n')
  return lines.filter((line) => line.startsWith('  ')).map((line) => line.trim())
}

test('simple losses have short programs', (t) => {
  t.deepEqual(
    linesOf((x, y) => square(sub(x, y))),
    ['sub r0 in0 in1', 'mul out0 u0 r0', 'summul r0 r0'],
  )
  // σ and softplus of one logit come from one exponential.
  t.is(linesOf((x, y) => sub(softplus(x), mul(y, x))).length, 3)
  t.is(linesOf((x, y) => add(mul(sub(1, y), softplus(x)), mul(y, softplus(neg(x))))).length, 4)
  t.deepEqual(
    linesOf((x) => custom(softplus(neg(abs(x))), [x, 1])).map((line) => line.split(' ')[0]),
    ['tail', 'log1pu', 'sum', 'mov'],
  )
  // Signs and numbers are gathered.
  t.deepEqual(
    linesOf((x) => neg(mul(2, neg(mul(3, x))))),
    ['mov out0 u0', 'summul u1 in0'],
  )
  t.deepEqual(
    linesOf((x) => div(x, 4)),
    ['mov out0 u0', 'summul u1 in0'],
  )
  // Powers are products.
  t.is(linesOf((x) => pow(x, 3)).filter((line) => line.startsWith('pow')).length, 0)
  t.is(linesOf((x) => pow(x, 2.5)).filter((line) => line.startsWith('pow')).length, 1)
  t.is(linesOf((x) => pow(exp(x), 1)).filter((line) => line.startsWith('exp')).length, 1)
  // Of several quotients one is a division.
  t.is(
    linesOf((x, y) => add(div(x, add(y, 1)), div(square(x), add(y, 1)))).filter((line) => line.startsWith('div'))
      .length,
    1,
  )
  t.is(linesOf((x) => custom(x, [x, tanh(x)])).length, 8)
  t.is(linesOf((x) => sqrt(add(1, square(x)))).filter((line) => line.startsWith('sel')).length, 0)
  t.is(linesOf((x, y) => where(e.lt(x, y), mul(2, x), mul(2, x))).length, 2)
  t.is(
    linesOf((x, y) => add(mul0(y, log(x)), mul(0, sqrt(sigmoid(x))))).filter((line) => line.startsWith('sqrt')).length,
    0,
  )
})
