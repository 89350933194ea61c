/** What compiles and what does not, and what the compiler says then. */

import { join } from 'node:path'
import test from 'ava'
import { expectTypeOf } from 'expect-type'
import type { InferenceSession, Tensor } from 'onnxruntime-common'
import ts from 'typescript'
import {
  combine,
  cosineEmbedding,
  cosineSimilarity,
  crossEntropy,
  dice,
  diceCe,
  distillation,
  type Floats,
  klDiv,
  type Labels,
  l1,
  mse,
  nll,
  type Reduction,
  tripletMargin,
} from '../ts/index.js'
import { root } from './examples.js'

const x = Float32Array.of(1, 2, 3, 4)
const y = Float32Array.of(1, 0, 0, 1)
const labels = Int32Array.of(1, 0)
const shape = [2, 2] as const

test('the value has the type of the reduction', (t) => {
  expectTypeOf(mse(x, y)).toEqualTypeOf<number>()
  expectTypeOf(mse(x, y, { reduction: 'none' })).toEqualTypeOf<Float32Array>()
  expectTypeOf(mse.with({ reduction: 'none' })(x, y)).toEqualTypeOf<Float32Array>()
  expectTypeOf(mse.with({ reduction: 'none' })(x, y, { reduction: 'sum' })).toEqualTypeOf<number>()
  expectTypeOf(mse.with({ reduction: 'none' }).with({ weight: y })(x, y)).toEqualTypeOf<Float32Array>()
  expectTypeOf(mse(x, y, { reduction: 'sum' as Reduction })).toEqualTypeOf<number | Float32Array>()
  expectTypeOf(klDiv(x, y, { reduction: 'batchmean', shape })).toEqualTypeOf<number>()
  expectTypeOf(distillation(x, y, { shape })).toEqualTypeOf<number>()
  expectTypeOf(crossEntropy.valueAndGrad(x, labels, { reduction: 'none' }).value).toEqualTypeOf<Float32Array>()
  expectTypeOf(diceCe.valueAndGrad(x, labels, { shape: [1, 2, 2] }).parts).toEqualTypeOf<
    Record<'ce' | 'dice', number>
  >()
  expectTypeOf(mse.backward(x, y, { targetGrad: new Float32Array(4) })).toEqualTypeOf<Float32Array>()
  const sigmoidDice = dice.with({ activation: 'sigmoid' })
  // A list of losses can be called.
  for (const loss of [mse, sigmoidDice, crossEntropy, klDiv, distillation]) {
    expectTypeOf(loss(x, y, { shape })).toEqualTypeOf<number>()
  }
  t.pass()
})

test('losses of rows have their arguments by name, and a gradient for each', (t) => {
  const rows = { shape }
  expectTypeOf(cosineSimilarity(x, y, rows)).toEqualTypeOf<number>()
  expectTypeOf(cosineSimilarity.valueAndGrad(x, y, { ...rows, targetGrad: true }).targetGrad).toEqualTypeOf<
    Float32Array | undefined
  >()
  expectTypeOf(
    cosineEmbedding(x, y, labels, { ...rows, zeroOne: true, reduction: 'none' }),
  ).toEqualTypeOf<Float32Array>()
  expectTypeOf(cosineEmbedding).parameter(2).toEqualTypeOf<Floats | Labels>()
  const pair = cosineEmbedding.valueAndGrad(x, y, labels, { ...rows, zeroOne: true, input2Grad: true })
  expectTypeOf(pair.input2Grad).toEqualTypeOf<Float32Array | undefined>()
  const triplet = tripletMargin.with({ ...rows, distance: 'cosine', reduction: 'none' })
  expectTypeOf(triplet(x, y, x)).toEqualTypeOf<Float32Array>()
  const all = tripletMargin.valueAndGrad(x, y, x, { ...rows, p: Infinity, positiveGrad: true, negativeGrad: y.slice() })
  expectTypeOf(all.value).toEqualTypeOf<number>()
  expectTypeOf(all.positiveGrad).toEqualTypeOf<Float32Array | undefined>()
  expectTypeOf(all.negativeGrad).toEqualTypeOf<Float32Array | undefined>()
  expectTypeOf(all.denominator).toEqualTypeOf<number>()
  t.true(all.positiveGrad instanceof Float32Array && pair.input2Grad instanceof Float32Array)
})

test('a sum of losses has the targets and options of its parts', (t) => {
  const plain = combine([[mse, 0.5], [l1]])
  expectTypeOf(plain).parameter(1).toEqualTypeOf<Floats>()
  expectTypeOf(plain.valueAndGrad(x, y).parts).toEqualTypeOf<number[]>()
  expectTypeOf(plain.valueAndGrad(x, y).denominators).toEqualTypeOf<[number, number]>()
  const several = combine([[diceCe, 2], [crossEntropy], [combine([[crossEntropy], [diceCe]])]])
  expectTypeOf(several.valueAndGrad(x, labels, { shape: [1, 2, 2] }).denominators).toEqualTypeOf<
    [Record<'ce' | 'dice', number>, number, [number, Record<'ce' | 'dice', number>]]
  >()
  expectTypeOf(plain(x, y, { reduction: 'sum', weight: y, shape: [4] })).toEqualTypeOf<number>()
  // What both can be.
  const scores = combine([[crossEntropy], [distillation]])
  expectTypeOf(scores).parameter(1).toEqualTypeOf<Floats>()
  expectTypeOf(combine([[nll], [crossEntropy]]))
    .parameter(1)
    .toEqualTypeOf<Labels>()
  const named = combine([
    [crossEntropy, 0.5, { target: 'hard' }],
    [distillation, 0.5, { target: 'soft', temperature: 4 }],
  ])
  expectTypeOf(named).parameter(1).toEqualTypeOf<{ readonly hard: Floats | Labels; readonly soft: Floats }>()
  const nested = combine([
    [named, 2],
    [mse, 0.1, { target: y }],
  ])
  expectTypeOf(nested).parameter(1).toEqualTypeOf<{ readonly hard: Floats | Labels; readonly soft: Floats }>()
  expectTypeOf(nested(x, { hard: labels, soft: y }, { shape })).toEqualTypeOf<number>()
  const fixed = combine([
    [crossEntropy, 0.5, { target: labels }],
    [distillation, 0.5],
  ])
  expectTypeOf(fixed).parameter(1).toEqualTypeOf<Floats>()
  const list: [typeof mse | typeof l1, number][] = [
    [mse, 1],
    [l1, 2],
  ]
  expectTypeOf(combine(list)(x, y, { reduction: 'sum' })).toEqualTypeOf<number>()
  expectTypeOf(combine(list).valueAndGrad(x, y).denominators).toEqualTypeOf<number[]>()
  t.pass()
})

test('tensors as onnxruntime returns them are taken, and checked in the call', (t) => {
  const tensor = (data: unknown, dims: readonly number[]) => ({ type: 'float32', data, dims }) as Tensor
  const outputs: InferenceSession.OnnxValueMapType = {
    logits: tensor(x, shape),
    labels: tensor(BigInt64Array.of(1n, 0n), [2]),
    text: tensor(['a', 'b', 'c', 'd'], [2, 2]),
  }
  t.is(mse(outputs.logits, outputs.logits), 0)
  t.is(crossEntropy(outputs.logits, outputs.labels), crossEntropy(x, labels))
  const sigmoid = { activation: 'sigmoid' } as const
  t.is(dice(outputs.logits, outputs.labels, sigmoid), dice(x, labels, { shape, ...sigmoid }))
  t.throws(() => mse(outputs.text, outputs.logits), {
    instanceOf: TypeError,
    message: 'mse: input must be a Float32Array, got an array of 4; convert it with Float32Array.from',
  })
  t.throws(() => nll(outputs.logits, outputs.logits), { message: /^nll: target must be class indices/ })
})

/** What does not compile, and what the compiler says. */
const refused: Readonly<Record<string, readonly [code: string, message: RegExp]>> = {
  'a reduction that a compound loss lacks': [
    "diceCe(x, y, { reduction: 'none' })",
    /^Type '"none"' is not assignable to type '"mean" \| "sum"/,
  ],
  'the same, bound': [
    "diceCe.with({ reduction: 'none' })",
    /^Type '"none"' is not assignable to type '"mean" \| "sum"/,
  ],
  'the same, of a step': [
    "diceCe.valueAndGrad(x, y, { reduction: 'none' })",
    /^Type '"none"' is not assignable to type '"mean" \| "sum"/,
  ],
  'batchmean where there is none': [
    "mse(x, y, { reduction: 'batchmean' })",
    /^Type '"batchmean"' is not assignable to type '("mean"|"sum"|"none"| \| ){5}/,
  ],
  'a reduction that a sum lacks': [
    "combine([[mse], [l1]])(x, y, { reduction: 'none' })",
    /^Type '"none"' is not assignable to type '"mean" \| "sum"/,
  ],
  'a reduction that a part lacks': [
    "combine([[mse, 1, { reduction: 'none' }]])",
    /^Type '"none"' is not assignable to type '"mean" \| "sum"/,
  ],
  'an option that a part lacks': [
    "combine([[mse, 1, { reduction: 'sum', beta: 1 }]])",
    /'beta' does not exist in type 'PartOptions</,
  ],
  'an option of the wrong type in a part': [
    "combine([[mse, 1, { weight: 'heavy' }]])",
    /^Type 'string' is not assignable to type 'Float32Array.* \| readonly number\[\]'/,
  ],
  'a buffer in a part': ['combine([[mse, 1, { grad: x }]])', /'grad' does not exist in type 'PartOptions</],
  'an option that only one part has': [
    'combine([[mse], [smoothL1]])(x, y, { beta: 1 })',
    /'beta' does not exist in type/,
  ],
  'parts that share a target that cannot be': [
    'combine([[mse], [nll]])',
    /These parts share a target that no kind of array can be: give each a name/,
  ],
  'the same by name': [
    "combine([[mse, 1, { target: 'a' }], [nll, 1, { target: 'a' }], [l1, 1, { target: 'b' }]])",
    /These parts share a target that no kind of array can be/,
  ],
  'parts of which only some name their target': [
    "combine([[mse], [crossEntropy, 1, { target: 'labels' }]])",
    /Where a part names its target, each must name its own/,
  ],
  'a target of the wrong type for a part': [
    'combine([[mse, 1, { target: labels }]])',
    /^Type 'Int32Array.*' is not assignable to type 'string \| Floats'/,
  ],
  'no target for a name': ['named(x, { hard: labels })', /Property 'soft' is missing/],
  'one target for several names': ['named(x, y)', /missing the following properties .*: hard, soft/],
  'a target that not all parts take': [
    'combine([[crossEntropy], [distillation]])(x, labels)',
    /'Int32Array.*' is not assignable to parameter of type 'Floats'/,
  ],
  'a target gradient that backward has no place for': [
    'mse.backward(x, y, { targetGrad: true })',
    /^Type 'true' is not assignable to type 'false \| Float32Array/,
  ],
  'an unknown option': [
    "mse.with({ reduction: 'sum', wieght: [1] })",
    /'wieght' does not exist in type .*Did you mean to write 'weight'\?/,
  ],
  'labels where real numbers are compared': [
    'mse(x, labels)',
    /'Int32Array.*' is not assignable to parameter of type 'Floats'/,
  ],
  'a tensor of the wrong type': [
    'mse({ data: labels, shape: [2] }, y)',
    /^Type 'Int32Array.*' is not assignable to type 'Float32Array/,
  ],
  'a third row that is missing': [
    'tripletMargin(x, y, { shape: [2, 2] })',
    /is not assignable to parameter of type 'Floats'/,
  ],
  'labels for a row': [
    'tripletMargin(x, y, labels, { shape: [2, 2] })',
    /'Int32Array.*' is not assignable to parameter of type 'Floats'/,
  ],
  'a distance that there is not': [
    "tripletMargin(x, y, x, { distance: 'l2' })",
    /^Type '"l2"' is not assignable to type '"lp" \| "squared" \| "cosine"/,
  ],
  'a gradient of rows that have another name': [
    'cosineEmbedding.valueAndGrad(x, y, labels, { targetGrad: true })',
    /'targetGrad' does not exist in type/,
  ],
  'a gradient of rows that backward has no place for': [
    'cosineSimilarity.backward(x, y, { targetGrad: true })',
    /^Type 'true' is not assignable to type 'false \| Float32Array/,
  ],
  'a list of labels': ['nll(x, [1, 0] as number[])', /'number\[\]' is not assignable to parameter of type 'Labels'/],
}

/** What compiles, also by looser rules than ours. */
const accepted = [
  "const value: Float32Array = mse(x, y, { reduction: 'none' })",
  'mse.backward(x, y, { targetGrad: new Float32Array(4) })',
  'mse.backward(x, y, { targetGrad: false })',
  'mse.valueAndGrad(x, y, { targetGrad: true }).targetGrad',
  'cosineEmbedding.backward(x, y, Int8Array.of(1, -1), { shape: [2, 2], grad: x, input2Grad: new Float32Array(4) })',
  'tripletMargin({ data: x, shape: [2, 2] }, y, { data: x, dims: [2, 2] }).toFixed(2)',
  'tripletMargin.backward(x, y, x, { shape: [2, 2], swap: true, negativeGrad: new Float32Array(4) })',
  'combine([[tripletMargin.with({ shape: [2, 2] }), 2]])(x, [y, x])',
  'combine([[cosineEmbedding, 2]])(x, [y, labels], { shape: [2, 2] })',
  'combine([[cosineSimilarity, 2], [mse]])(x, y, { shape: [2, 2] })',
  'bceWithLogits(x, Int32Array.of(1, 0, 0, 1))',
  'crossEntropy(x, Int8Array.of(1, 0))',
  'crossEntropy(x, new Uint8ClampedArray(2))',
  'named.valueAndGrad(x, { hard: labels, soft: y }, { shape: [2, 2], grad: x }).parts[0]',
  "named.with({ shape: [2, 2], reduction: 'sum' })(x, { hard: labels, soft: y })",
  'combine([[dice.with({ activation: "sigmoid" })], [bceWithLogits, 1, { posWeight: [1, 2] }]])(x, y, { shape: [1, 2, 2] })',
  'combine([[combine([[mse], [l1]]), 2], [l1]])(x, y)',
  'combine([[crossEntropy, 0.5, { target: labels }], [distillation, 0.5]])(x, y)',
  // As transformers.js declares its tensors.
  'declare const out: { type: string; data: Float32Array | BigInt64Array | any[]; dims: number[]; stride(): number[] }' +
    ';crossEntropy(out, out); mse(out, out); dice(out, out)',
]

const prelude = `
import { bceWithLogits, combine, cosineEmbedding, cosineSimilarity, crossEntropy, dice, diceCe, distillation } from '../ts/index.js'
import { l1, mse, nll, smoothL1, tripletMargin } from '../ts/index.js'
declare const x: Float32Array, y: Float32Array, labels: Int32Array
const named = combine([
  [crossEntropy, 0.5, { target: 'hard' }],
  [distillation, 0.5, { target: 'soft', temperature: 4 }],
])
`

/** What the compiler says about each text, as a module that uses the package. */
function messagesOf(texts: readonly string[], options: ts.CompilerOptions): string[][] {
  const all = {
    target: ts.ScriptTarget.ES2023,
    lib: ['lib.es2023.d.ts'],
    module: ts.ModuleKind.NodeNext,
    types: [],
    noEmit: true,
    ...options,
  }
  const names = texts.map((_, i) => join(root, 'dist', '__test__', `snippet${i}.ts`))
  const host = ts.createCompilerHost(all)
  const { fileExists, getSourceFile } = host
  const sources = new Map(names.map((name, i) => [name, `${prelude}${texts[i]}\n`]))
  host.fileExists = (name) => sources.has(name) || fileExists(name)
  host.getSourceFile = (name, version, ...rest) => {
    const text = sources.get(name)
    return text === undefined
      ? getSourceFile(name, version, ...rest)
      : ts.createSourceFile(name, text, typeof version === 'object' ? version : { languageVersion: version })
  }
  const program = ts.createProgram(names, all, host)
  return names.map((name) => {
    const source = program.getSourceFile(name)!
    const diagnostics = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
    return diagnostics.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))
  })
}

test('what does not compile says why', (t) => {
  const names = Object.keys(refused)
  const messages = messagesOf(
    names.map((name) => refused[name][0]),
    { strict: true, exactOptionalPropertyTypes: true },
  )
  names.forEach((name, i) => {
    t.is(messages[i].length, 1, `${name}: ${messages[i].join('\n')}`)
    t.regex(messages[i][0] ?? '', refused[name][1], name)
  })
})

for (const [title, options] of Object.entries({
  'by the strictest rules': { strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true },
  'by the usual rules': { strict: true },
  'without strict': { strict: false },
})) {
  test(`what compiles ${title}`, (t) => {
    for (const [i, messages] of messagesOf(accepted, options).entries()) t.deepEqual(messages, [], accepted[i])
  })
}
