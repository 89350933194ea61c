/** What is wrong with a definition is said when the loss is defined. */

import test from 'ava'
import * as e from '../../ts/expression/index.js'
import * as library from '../../ts/index.js'
import { loosely } from './losses.js'

const { add, div, exp, fixed, input, lt, mul, pow, rows, square, sub, where } = e
const define = e.defineLoss as unknown as (definition: unknown) => unknown
const inputs = { x: input, t: fixed }

type Symbols = Record<string, e.Value>
/** A definition that is right but for what is given. */
const with_ = (more: Record<string, unknown>) => ({
  name: 'own',
  inputs,
  loss: ({ x, t }: Symbols) => square(sub(x, t)),
  ...more,
})
const lossOf = (loss: (inputs: Symbols, params: Symbols) => unknown, more = {}) => with_({ loss, ...more })

const wrong: readonly (readonly [what: string, definition: unknown, type: ErrorConstructor, message: RegExp])[] = [
  ['no definition', undefined, TypeError, /^defineLoss: the definition must be an object, got undefined/],
  ['no name', with_({ name: 3 }), TypeError, /^defineLoss: name must be a word, got 3/],
  [
    'another member',
    with_({ parameters: {} }),
    TypeError,
    /^own: a definition has name, inputs, params and loss, and not parameters/,
  ],
  [
    'no function',
    with_({ loss: 'x - t' }),
    TypeError,
    /^own: loss must be a function of inputs and params, got "x - t"/,
  ],
  [
    'inputs as a list',
    with_({ inputs: ['x', 't'] }),
    TypeError,
    /^own: inputs must be an object of input, fixed, rows\(n\)/,
  ],
  ['an input that is none', with_({ inputs: { x: 3 } }), TypeError, /^own: inputs\.x must be input, fixed, .* got 3/],
  [
    'an input called by a number',
    with_({ inputs: { 1: input } }),
    TypeError,
    /^own: the input "1" must have a name that is a word/,
  ],
  [
    'no gradient',
    with_({ inputs: { x: fixed, t: fixed } }),
    TypeError,
    /^own: inputs must have at least one with a gradient/,
  ],
  [
    'a parameter that is an option',
    with_({ params: { weight: 1 } }),
    TypeError,
    /^own: the parameter weight must have another name, since that is an option of the loss, as reduction, .*mask are$/,
  ],
  [
    'a parameter that is an input',
    with_({ params: { x: 1 } }),
    TypeError,
    /^own: the parameter x must have another name, since that is an input$/,
  ],
  [
    'a parameter that is a word',
    with_({ params: { p: '1' } }),
    TypeError,
    /^own: params\.p must be a number or \{ default/,
  ],
  [
    'a default that does not hold',
    with_({ params: { p: { default: -1, expected: 'a number > 0', holds: (p: number) => p > 0 } } }),
    RangeError,
    /^own: params\.p\.default must be a number > 0, got -1/,
  ],
  ['an unknown input', lossOf(({ y }) => square(y)), TypeError, /^own: there is no input y; there are x, t/],
  [
    'an unknown parameter',
    lossOf(({ x }, { delta }) => mul(x, delta)),
    TypeError,
    /^own: there is no parameter delta; there are none/,
  ],
  ['no result', lossOf(() => undefined), TypeError, /^own: the function loss must return an expression, got undefined/],
  [
    'a condition as the result',
    lossOf(({ x, t }) => lt(x, t)),
    TypeError,
    /^own: the function loss must return a number, got a condition/,
  ],
  [
    'no dependence',
    lossOf(({ t }) => square(t)),
    TypeError,
    /^own: the loss does not depend on x in a way that has a derivative; .* is fixed/,
  ],
  [
    'no derivative',
    lossOf(({ x, t }) => mul(e.detach(x), t)),
    TypeError,
    /^own: the loss does not depend on x in a way/,
  ],
  [
    'no dependence of rows',
    with_({ inputs: { x: input, b: rows(4) }, loss: ({ x }: Symbols) => x }),
    TypeError,
    /depend on b .* is fixedRows\(4\)/,
  ],
  [
    'JavaScript for a product',
    lossOf(({ x, t }) => (x as unknown as number) * (t as unknown as number)),
    TypeError,
    /^own: an expression has no value before the loss is called; write add, sub, mul/,
  ],
  [
    'JavaScript for a comparison',
    lossOf(({ x, t }) => (x < t ? t : mul(x, 2))),
    TypeError,
    /^own: an expression has no value .* where for/,
  ],
  ['JavaScript for text', lossOf(({ x }) => `${x}`), TypeError, /^own: an expression has no value/],
  [
    'a word for a number',
    lossOf(({ x }) => mul(x, '2' as never)),
    TypeError,
    /^own: mul: an argument must be an expression or a number, got "2"/,
  ],
  [
    'a missing argument',
    lossOf(({ x }) => (sub as (x: e.Value) => e.Value)(x)),
    TypeError,
    /^own: sub: an argument must be an expression or a number, got undefined/,
  ],
  [
    'columns for a number',
    with_({ inputs: { b: rows(2) }, loss: ({ b }: Symbols) => square(b) }),
    TypeError,
    /^own: square: an argument must be an expression or a number, got an array of 2; of rows it is one column, as box\[0\] is$/,
  ],
  ['NaN', lossOf(({ x }) => add(x, Number.NaN)), RangeError, /^own: add: a constant must not be NaN/],
  [
    'a number beyond the range',
    lossOf(({ x }) => add(x, 1e39)),
    RangeError,
    /^own: add: a constant must be a 32-bit float/,
  ],
  [
    'a condition as a number',
    lossOf(({ x, t }) => mul(x, lt(x, t) as never)),
    TypeError,
    /^own: mul: an argument must be a number, got a condition; where\(condition, 1, 0\)/,
  ],
  [
    'a number as a condition',
    lossOf(({ x, t }) => where(x as never, x, t)),
    TypeError,
    /^own: where: the condition must come from lt, le, gt, .* got a number/,
  ],
  [
    'true as a condition',
    lossOf(({ x, t }) => where(true as never, x, t)),
    TypeError,
    /^own: where: the condition must come from .* got true/,
  ],
  [
    'a parameter that is a gradient',
    with_({ params: { xGrad: 1 } }),
    TypeError,
    /^own: the parameter xGrad must have another name, since that is the option of a gradient$/,
  ],
  ...['valueOf', 'toString', 'hasOwnProperty', '__proto__'].flatMap((name) => [
    [
      `a parameter ${name}`,
      with_({ params: Object.fromEntries([[name, 1]]) }),
      TypeError,
      new RegExp(`^own: the parameter ${name} must have another name, since every object has that$`),
    ] as const,
    [
      `an input ${name}`,
      with_({ inputs: Object.fromEntries([[name, input]]) }),
      TypeError,
      new RegExp(`^own: the input ${name} must have another name, since every object has that$`),
    ] as const,
  ]),
  ['a name of two lines', with_({ name: 'a\nb' }), TypeError, /^defineLoss: name must be a word, got "a\\nb"/],
  [
    'an unknown member of a parameter',
    with_({ params: { p: { default: 1, min: 0 } } }),
    TypeError,
    /^own: params\.p has default, expected, holds, constant and samples, and not min$/,
  ],
  [
    'an unknown member of words',
    with_({ params: { p: { default: 'a', words: ['a', 'b'], holds: () => true } } }),
    TypeError,
    /^own: params\.p has default and words, and not holds$/,
  ],
  [
    'a default for which holds is false',
    with_({ params: { p: { default: -1, holds: (p: number) => p > 0 } } }),
    RangeError,
    /^own: params\.p\.default must be a number for which its holds returns true, got -1$/,
  ],
  ...([undefined, 'yes', 1, Promise.resolve(true)] as const).map(
    (answer) =>
      [
        `holds that returns ${typeof answer}`,
        with_({ params: { p: { default: 1, holds: () => answer } } }),
        TypeError,
        /^own: params\.p\.holds must return true or false, got /,
      ] as const,
  ),
  [
    'a comparison of what is no number',
    lossOf(({ x, t }) => where(e.gt(x, '1' as never), x, t)),
    TypeError,
    /^own: gt: an argument must be an expression or a number, got "1"$/,
  ],
  [
    'too many operations within each other',
    lossOf(({ x, t }) => Array.from({ length: 2000 }).reduce<e.Value>((u) => exp(e.neg(u)), sub(x, t))),
    RangeError,
    /^own: the loss is too large: there may be 500 operations one within the other/,
  ],
  [
    'too many operations',
    lossOf(({ x, t }) => Array.from({ length: 6000 }, (_, i) => e.abs(sub(x, i))).reduce((a, b) => e.max(a, b), t)),
    RangeError,
    /^own: the loss is too large: .* and 5000 of them/,
  ],
  [
    'slopes that are no pairs',
    lossOf(({ x }) => e.custom(x, x as never)),
    TypeError,
    /^own: custom: after the value there must be pairs/,
  ],
]

for (const [what, definition, instanceOf, message] of wrong) {
  test(`a definition with ${what} is refused`, (t) => {
    t.throws(() => define(definition), { instanceOf, message })
  })
}

test('a loss that needs too much memory is refused', (t) => {
  const big = {
    name: 'big',
    inputs: { a: rows(16), b: rows(16), c: rows(16), d: rows(16) },
    loss: (all: Record<string, readonly e.Value[]>) => Object.values(all).flat().map(exp).reduce(mul),
  }
  t.throws(() => define(big), {
    instanceOf: RangeError,
    message: /^big: the loss needs \d+ registers, .* room for 64; make it of several losses/,
  })
})

test('builders work within a definition only', (t) => {
  t.throws(() => add(1, 2), {
    instanceOf: TypeError,
    message: /expressions are built within the function loss of defineLoss/,
  })
  let leaked: e.Value | undefined
  define(lossOf(({ x, t }) => (leaked = mul(x, t))))
  t.throws(() => define(lossOf(({ x }) => add(x, leaked!))), {
    message: /^own: add: a node of another definition cannot be used/,
  })
  t.throws(() => e.square(2), { message: /^square: expressions are built within the function loss/ })
  let parameter: e.Value | undefined
  const keeping = ({ x, t }: Symbols, { p }: Symbols) => {
    parameter = p
    return sub(mul(p, x), t)
  }
  define(with_({ params: { p: 1 }, loss: keeping }))
  for (const result of [leaked, parameter]) {
    t.throws(() => define(lossOf(() => result)), {
      instanceOf: TypeError,
      message: /^own: the function loss must return an expression that it has built, got one of another definition/,
    })
  }
  // A definition within another one leaves the outer one as it was.
  const nested = lossOf(({ x, t }) => {
    define(with_({}))
    return mul(x, t)
  })
  t.notThrows(() => define(nested))
  // What a definition throws comes through, and the next one is not disturbed.
  t.throws(
    () =>
      define(
        lossOf(() => {
          throw new SyntaxError('mine')
        }),
      ),
    { instanceOf: SyntaxError, message: 'mine' },
  )
  t.notThrows(() => define(with_({})))
})

test('small definitions of large expressions take no long time', (t) => {
  const x = Float32Array.of(0.5)
  const times = <T>(count: number, first: T, next: (one: T, i: number) => T): T =>
    Array.from({ length: count }).reduce<T>((one, _, i) => next(one, i), first)
  const start = performance.now()
  const powers = loosely(
    define({
      name: 'powers',
      inputs: { x: input },
      loss: ({ x }: Symbols) =>
        add(
          times(25, x, (u) => mul(u, u)),
          x,
        ),
    }),
  )
  t.is(powers(x), 0.5)
  t.is(powers.backward(x)[0], 1)
  const uniform = loosely(
    define({
      name: 'uniform',
      inputs: { x: input },
      params: { p: -1 },
      loss: ({ x }: Symbols, { p }: Symbols) =>
        mul(
          x,
          times(40, p, (u) => mul(u, add(u, 2))),
        ),
    }),
  )
  t.is(uniform(x), -0.5)
  t.regex(uniform.explain(), /^uniform: /)
  const exponent = loosely(
    define({
      name: 'exponent',
      inputs: { x: input },
      params: { p: -1 },
      loss: ({ x }: Symbols, { p }: Symbols) =>
        pow(
          x,
          times(40, p, (u) => mul(u, add(u, 2))),
        ),
    }),
  )
  t.is(exponent(x), 2)
  const sure = loosely(
    define({
      name: 'sure',
      inputs: { x: input },
      loss: ({ x }: Symbols) => e.sqrt(times(30, e.abs(x), (u) => add(mul(u, 0.5), u))),
    }),
  )
  t.true(Math.abs((sure(x) as number) / Math.sqrt(0.5 * 1.5 ** 30) - 1) < 1e-6)
  const conditions = loosely(
    define({
      name: 'conditions',
      inputs: { x: input },
      loss: ({ x }: Symbols) =>
        where(
          times(25, lt(x, 0), (c, i) => e.or(e.and(c, lt(x, i)), e.not(c))),
          x,
          mul(2, x),
        ),
    }),
  )
  // With x = 0.5 the condition is false at first, and with i = 1, 2 … it stays true.
  t.is(conditions(x), 0.5)
  t.true(performance.now() - start < 5000)
})

test('rows have 2 to 16 columns', (t) => {
  for (const columns of [1, 0, 17, 2.5, Number.NaN]) {
    t.throws(() => rows(columns), { instanceOf: RangeError, message: /^rows: columns must be an integer from 2 to 16/ })
    t.throws(() => e.fixedRows(columns), { instanceOf: RangeError, message: /^fixedRows: columns/ })
  }
  t.throws(() => rows('4' as never), { instanceOf: TypeError, message: /^rows: columns must be a number, got "4"/ })
})

test('the loss and its derivatives are shown', (t) => {
  const loss = loosely(
    e.defineLoss({
      name: 'pseudoHuber',
      inputs: { x: input, t: fixed },
      params: { delta: 1 },
      loss: ({ x, t }, { delta }) => mul(square(delta), sub(e.sqrt(add(square(div(sub(x, t), delta)), 1)), 1)),
    }),
  )
  t.deepEqual(String(loss).split('\n  '), [
    'pseudoHuber(x, t, delta = 1)',
    't1 = delta²',
    't2 = (x − t) / delta',
    't3 = sqrt(t2² + 1)',
    'value = t1 · (t3 − 1)',
    'd/dx = 2 · 1 / delta · t2 · t1 · 0.5 / t3',
  ])
  t.is(loss.name, 'pseudoHuber')
  t.regex(loss.explain(), /^pseudoHuber: \d+ instructions, \d+ registers; exact: all backends have the same bits\n/)
  t.regex(
    loosely(define(lossOf(({ x, t }) => exp(sub(x, t))))).explain(),
    /close: .*\n[\s\S]*exp\(x − t\) is ∞ from 88\.73 on/,
  )
})

test('exponents are specialised', (t) => {
  let traced = 0
  const loss = loosely(
    e.defineLoss({
      name: 'power',
      inputs: { x: input },
      params: { gamma: 2, scale: 1 },
      loss({ x }, { gamma, scale }) {
        traced++
        return mul(scale, pow(x, sub(gamma, 1)))
      },
    }),
  )
  const x = Float32Array.of(0.5, 2, 3)
  const at = (gamma: number, scale = 1) =>
    Array.from(loss(x, { gamma, scale, reduction: 'none' }) as Float32Array, (value) => value / scale)
  // More than are kept, and twice.
  for (let gamma = -8; gamma <= 8; gamma += 0.25) {
    for (const scale of [1, 4]) {
      for (const [i, value] of at(gamma, scale).entries()) t.true(Math.abs(value / x[i] ** (gamma - 1) - 1) < 1e-6)
    }
    for (const [i, value] of at(-gamma).entries()) t.true(Math.abs(value / x[i] ** (-gamma - 1) - 1) < 1e-6)
  }
  t.is(traced, 1, 'the function of a definition runs once')
  t.true(loss.explain({ gamma: 2.9 }).includes('\n  pow'))
  t.false(loss.explain({ gamma: 3 }).includes('\n  pow'))
})

test('defineLoss comes from both entries', (t) => {
  t.is(library.defineLoss, e.defineLoss)
})
