/**
 * The operations of the interpreters: the numbers are those of `crate/core/src/expression/program.rs`, and the formulas say what
 * every backend computes. `scripts/loops.mjs` writes the loops of the TypeScript interpreter from these formulas.
 */

import { exp, expNonpositive, log1pUnit, oneMinusTail, pow } from './math.js'

/** Bytes of an instruction. */
export const STEP = 8

/** Rounds to single precision, or not at all where a block is computed again in double. */
export type Round = (value: number) => number

/** The result of one element, of up to five operands. The last rounding is that of the store. */
export type Formula = (r: Round, a: number, b: number, c: number, e: number, f: number) => number

export interface Operation {
  readonly code: number
  /** How many operands it reads: a, b, c, e, f in this order. */
  readonly operands: number
  /** Whether all backends have the same bits. */
  readonly exact: boolean
  /** Cycles of a vector, about, where it is not the one of an addition: schedules go by it. */
  readonly cost: number
  readonly formula: Formula
}

const exact = (code: number, formula: Formula, cost = 1): Operation => ({
  code,
  operands: formula.length - 1,
  exact: true,
  cost,
  formula,
})
const close = (code: number, formula: Formula, cost = 1): Operation => ({ ...exact(code, formula, cost), exact: false })

/** Operations of one result, which a loop over a block computes. */
export const OPERATIONS = {
  mov: exact(0, (_, a) => a),
  add: exact(1, (_, a, b) => a + b),
  sub: exact(2, (_, a, b) => a - b),
  mul: exact(3, (_, a, b) => a * b),
  div: exact(4, (_, a, b) => a / b, 16),
  neg: exact(5, (_, a) => -a),
  abs: exact(6, (_, a) => Math.abs(a)),
  // NaN in either is NaN; of two zeros it is the second.
  min: exact(7, (_, a, b) => (Number(a < b) | Number(Number.isNaN(a)) ? a : b)),
  max: exact(8, (_, a, b) => (Number(a > b) | Number(Number.isNaN(a)) ? a : b)),
  sqrt: exact(9, (_, a) => Math.sqrt(a), 16),
  madd: exact(10, (r, a, b, c) => r(a * b) + c),
  msub: exact(11, (r, a, b, c) => r(a * b) - c),
  nmadd: exact(12, (r, a, b, c) => c - r(a * b)),
  // With one rounding where there is an instruction for it; TypeScript rounds to double in between, which is as close.
  fma: close(13, (_, a, b, c) => a * b + c),
  fms: close(14, (_, a, b, c) => a * b - c),
  fnma: close(15, (_, a, b, c) => c - a * b),
  // −1 or 1, and a itself where that is 0 or NaN.
  sign: exact(16, (_, a) => (Math.abs(a) > 0 ? 1 - 2 * Number(a < 0) : a)),
  // a·sign(b), and b itself where that is 0 or NaN.
  mulsign: exact(17, (_, a, b) => (Math.abs(b) > 0 ? a * (1 - 2 * Number(b < 0)) : b)),
  lt: exact(18, (_, a, b) => Number(a < b)),
  le: exact(19, (_, a, b) => Number(a <= b)),
  eq: exact(20, (_, a, b) => Number(a === b)),
  sel: exact(21, (_, a, b, c) => (a !== 0 ? b : c)),
  sellt: exact(22, (_, a, b, c, e) => (a < b ? c : e)),
  selle: exact(23, (_, a, b, c, e) => (a <= b ? c : e)),
  seleq: exact(24, (_, a, b, c, e) => (a === b ? c : e)),
  // 0 · ∞ is 0.
  mul0: exact(25, (_, a, b) => (a === 0 ? 0 : a * b)),
  exp: close(30, (_, a) => exp(a), 12),
  // Of −0 these three are 0.
  expm1: close(31, (_, a) => Math.expm1(a) + 0, 11),
  log: close(32, (_, a) => Math.log(a), 28),
  log1p: close(33, (_, a) => Math.log1p(a) + 0, 28),
  // e^−|a|
  tail: close(34, (_, a) => expNonpositive(-Math.abs(a)), 9),
  // ln(1 + a) for a in [0, 1]
  log1pu: close(35, (_, a) => log1pUnit(a), 7),
  rcp1p: exact(36, (r, a) => 1 / r(1 + a), 17),
  // 1 − e^−|a|, where b is e^−|a|
  omtail: close(39, (_, a, b) => oneMinusTail(a, b), 5),
  // A negative a counts as 0.
  pow: close(40, (_, a, b) => pow(a, b), 40),
  atan: close(41, (_, a) => Math.atan(a) + 0, 30),
  addmul: exact(44, (r, a, b, c) => r(a + b) * c),
  submul: exact(45, (r, a, b, c) => r(a - b) * c),
  mulmul: exact(46, (r, a, b, c) => r(a * b) * c),
  subabs: exact(47, (_, a, b) => Math.abs(a - b)),
  minsub: exact(48, (_, a, b, c) => (Number(a < b) | Number(Number.isNaN(a)) ? a : b) - c),
  maxsub: exact(49, (_, a, b, c) => (Number(a > b) | Number(Number.isNaN(a)) ? a : b) - c),
  dot: exact(80, (r, a, b, c, e) => r(a * b) + r(c * e)),
  dotsub: exact(81, (r, a, b, c, e) => r(a * b) - r(c * e)),
  mul4: exact(82, (r, a, b, c, e) => r(a * b) * r(c * e)),
  subsubmul: exact(83, (r, a, b, c, e) => r(a - b) * r(c - e)),
  fdot: close(84, (r, a, b, c, e) => a * b + r(c * e)),
  fdotsub: close(85, (r, a, b, c, e) => a * b - r(c * e)),
  minmaxsub: exact(
    86,
    (_, a, b, c, e) =>
      (Number(a < b) | Number(Number.isNaN(a)) ? a : b) - (Number(c > e) | Number(Number.isNaN(c)) ? c : e),
  ),
  maxminsub: exact(
    87,
    (_, a, b, c, e) =>
      (Number(a > b) | Number(Number.isNaN(a)) ? a : b) - (Number(c < e) | Number(Number.isNaN(c)) ? c : e),
  ),
  submulmul: exact(88, (r, a, b, c, e) => r(r(a - b) * c) * e),
  addmulmul: exact(89, (r, a, b, c, e) => r(r(a + b) * c) * e),
  selltmul: exact(90, (_, a, b, c, e, f) => (a < b ? c : e) * f),
  sellemul: exact(91, (_, a, b, c, e, f) => (a <= b ? c : e) * f),
  addsub: exact(92, (r, a, b, c) => r(a + b) - c),
  addadd: exact(93, (r, a, b, c) => r(a + b) + c),
  subsub: exact(94, (r, a, b, c) => r(a - b) - c),
  submax: exact(95, (r, a, b, c) => {
    const d = r(a - b)
    return Number(d > c) | Number(Number.isNaN(d)) ? d : c
  }),
  mulmax: exact(96, (r, a, b, c) => {
    const d = r(a * b)
    return Number(d > c) | Number(Number.isNaN(d)) ? d : c
  }),
  divmul: exact(97, (r, a, b, c) => r(a / b) * c, 16),
  fmamul: close(100, (r, a, b, c, e) => r(a * b + c) * e),
  fmsmul: close(101, (r, a, b, c, e) => r(a * b - c) * e),
  fnmamul: close(102, (r, a, b, c, e) => r(c - a * b) * e),
  maddmul: exact(103, (r, a, b, c, e) => r(r(a * b) + c) * e),
  msubmul: exact(104, (r, a, b, c, e) => r(r(a * b) - c) * e),
  nmaddmul: exact(105, (r, a, b, c, e) => r(c - r(a * b)) * e),
  dotmul: exact(106, (r, a, b, c, e, f) => r(r(a * b) + r(c * e)) * f),
  dotsubmul: exact(107, (r, a, b, c, e, f) => r(r(a * b) - r(c * e)) * f),
  fdotmul: close(108, (r, a, b, c, e, f) => r(a * b + r(c * e)) * f),
  fdotsubmul: close(109, (r, a, b, c, e, f) => r(a * b - r(c * e)) * f),
} as const satisfies Record<string, Operation>

export type OperationName = keyof typeof OPERATIONS

/** Operations that add the results of another one to the sum of the values. */
export const SUMS = {
  sum: { code: 50, of: 'mov' },
  summul: { code: 51, of: 'mul' },
  sumadd: { code: 52, of: 'add' },
  sumsub: { code: 53, of: 'sub' },
  sumfma: { code: 54, of: 'fma' },
  sumfms: { code: 55, of: 'fms' },
  sumfnma: { code: 56, of: 'fnma' },
  summadd: { code: 57, of: 'madd' },
  sumsellt: { code: 58, of: 'sellt' },
  sumselle: { code: 59, of: 'selle' },
  sumdot: { code: 110, of: 'dot' },
  sumfdot: { code: 111, of: 'fdot' },
  summax: { code: 112, of: 'max' },
  sumdotsub: { code: 113, of: 'dotsub' },
  sumfdotsub: { code: 114, of: 'fdotsub' },
} as const satisfies Record<string, { readonly code: number; readonly of: OperationName }>

export type SumName = keyof typeof SUMS

/**
 * Operations of a logit x, which is the operand e, with up to four results: σ(x), σ(−x), ln(1 + e^x), ln(1 + e^−x) go to d, a, b
 * and c. `sigmoid` gives the first two, `softplus` the last two, and all leave what they like in the other destinations.
 */
export const LOGISTIC = {
  logistic: { code: 70, results: [0, 1, 2, 3], cost: 26 },
  sigmoid: { code: 71, results: [0, 1], cost: 20 },
  softplus: { code: 72, results: [2, 3], cost: 17 },
} as const

export type LogisticName = keyof typeof LOGISTIC

/** The four results of {@link LOGISTIC}, in order. */
export function logistic(x: number): readonly [number, number, number, number] {
  const e = Math.exp(-Math.abs(x))
  const large = 1 / (1 + e)
  const small = e * large
  const soft = Math.log1p(e)
  return [x < 0 ? small : large, x < 0 ? large : small, Math.max(x, 0) + soft, Math.max(-x, 0) + soft]
}

/**
 * Columns of rows. `load4` and `store4` move the four columns of the operand e to or from d, a, b and c; `loadc` moves column c of e
 * to d, `storec` a to column c of e.
 */
export const COLUMNS = {
  load4: { code: 60 },
  store4: { code: 61 },
  loadc: { code: 62 },
  storec: { code: 63 },
} as const

export type ColumnName = keyof typeof COLUMNS

export type Mnemonic = OperationName | SumName | LogisticName | ColumnName

const CODES = Object.entries({ ...OPERATIONS, ...SUMS, ...LOGISTIC, ...COLUMNS }).map(
  ([name, { code }]) => [name as Mnemonic, code] as const,
)

/** Everything that an instruction can be, by its number. */
export const NAMES: ReadonlyMap<number, Mnemonic> = new Map(CODES.map(([name, code]) => [code, name]))

const numbers: ReadonlyMap<Mnemonic, number> = new Map(CODES)

/** The number of an operation. */
export const codeOf = (name: Mnemonic): number => numbers.get(name)!
