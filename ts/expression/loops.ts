/* Written by scripts/loops.mjs from the formulas of operations.ts. */

import { exp, expNonpositive, log1pUnit, oneMinusTail, pow } from './math.js'

const { fround } = Math

/** An instruction, whose operands are indices into the arrays of a {@link Machine}. */
export interface Step {
  readonly d: number
  readonly a: number
  readonly b: number
  readonly c: number
  readonly e: number
  readonly f: number
}

/** Where the operands of a block are. */
export interface Machine {
  readonly floats: Float32Array[]
  /** The same memory, for selections by masks: a branch on random data is guessed wrong half the time. */
  readonly ints: Int32Array[]
  /** Index of the block's first element. */
  readonly at: number[]
}

export type Loop = (machine: Machine, step: Step, count: number) => void

// What passes between the selections of one formula.
const T = new Float32Array(2)
const TI = new Int32Array(T.buffer)

export const LOOPS = {
  mov(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      D[d0 + k] = a
    }
  },
  add(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      D[d0 + k] = a + b
    }
  },
  sub(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      D[d0 + k] = a - b
    }
  },
  mul(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      D[d0 + k] = a * b
    }
  },
  div(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      D[d0 + k] = a / b
    }
  },
  neg(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      D[d0 + k] = -a
    }
  },
  abs(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      D[d0 + k] = Math.abs(a)
    }
  },
  min(m: Machine, s: Step, n: number): void {
    const { floats, ints, at } = m
    const d0 = at[s.d]
    const DI = ints[s.d]
    const A = floats[s.a]
    const AI = ints[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const BI = ints[s.b]
    const b0 = at[s.b]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const mask = -(Number(a < b) | Number(Number.isNaN(a)))
      DI[d0 + k] = (AI[a0 + k] & mask) | (BI[b0 + k] & ~mask)
    }
  },
  max(m: Machine, s: Step, n: number): void {
    const { floats, ints, at } = m
    const d0 = at[s.d]
    const DI = ints[s.d]
    const A = floats[s.a]
    const AI = ints[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const BI = ints[s.b]
    const b0 = at[s.b]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const mask = -(Number(a > b) | Number(Number.isNaN(a)))
      DI[d0 + k] = (AI[a0 + k] & mask) | (BI[b0 + k] & ~mask)
    }
  },
  sqrt(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      D[d0 + k] = Math.sqrt(a)
    }
  },
  madd(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      D[d0 + k] = fround(a * b) + c
    }
  },
  msub(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      D[d0 + k] = fround(a * b) - c
    }
  },
  nmadd(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      D[d0 + k] = c - fround(a * b)
    }
  },
  fma(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      D[d0 + k] = a * b + c
    }
  },
  fms(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      D[d0 + k] = a * b - c
    }
  },
  fnma(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      D[d0 + k] = c - a * b
    }
  },
  sign(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      D[d0 + k] = (Math.abs(a) > 0 ? 1 - 2 * Number(a < 0) : a)
    }
  },
  mulsign(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      D[d0 + k] = (Math.abs(b) > 0 ? a * (1 - 2 * Number(b < 0)) : b)
    }
  },
  lt(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      D[d0 + k] = Number(a < b)
    }
  },
  le(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      D[d0 + k] = Number(a <= b)
    }
  },
  eq(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      D[d0 + k] = Number(a === b)
    }
  },
  sel(m: Machine, s: Step, n: number): void {
    const { floats, ints, at } = m
    const d0 = at[s.d]
    const DI = ints[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const BI = ints[s.b]
    const b0 = at[s.b]
    const CI = ints[s.c]
    const c0 = at[s.c]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const mask = -(Number(a !== 0))
      DI[d0 + k] = (BI[b0 + k] & mask) | (CI[c0 + k] & ~mask)
    }
  },
  sellt(m: Machine, s: Step, n: number): void {
    const { floats, ints, at } = m
    const d0 = at[s.d]
    const DI = ints[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const CI = ints[s.c]
    const c0 = at[s.c]
    const EI = ints[s.e]
    const e0 = at[s.e]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const mask = -(Number(a < b))
      DI[d0 + k] = (CI[c0 + k] & mask) | (EI[e0 + k] & ~mask)
    }
  },
  selle(m: Machine, s: Step, n: number): void {
    const { floats, ints, at } = m
    const d0 = at[s.d]
    const DI = ints[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const CI = ints[s.c]
    const c0 = at[s.c]
    const EI = ints[s.e]
    const e0 = at[s.e]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const mask = -(Number(a <= b))
      DI[d0 + k] = (CI[c0 + k] & mask) | (EI[e0 + k] & ~mask)
    }
  },
  seleq(m: Machine, s: Step, n: number): void {
    const { floats, ints, at } = m
    const d0 = at[s.d]
    const DI = ints[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const CI = ints[s.c]
    const c0 = at[s.c]
    const EI = ints[s.e]
    const e0 = at[s.e]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const mask = -(Number(a === b))
      DI[d0 + k] = (CI[c0 + k] & mask) | (EI[e0 + k] & ~mask)
    }
  },
  mul0(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      D[d0 + k] = (a === 0 ? 0 : a * b)
    }
  },
  exp(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      D[d0 + k] = exp(a)
    }
  },
  expm1(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      D[d0 + k] = Math.expm1(a) + 0
    }
  },
  log(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      D[d0 + k] = Math.log(a)
    }
  },
  log1p(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      D[d0 + k] = Math.log1p(a) + 0
    }
  },
  tail(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      D[d0 + k] = expNonpositive(-Math.abs(a))
    }
  },
  log1pu(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      D[d0 + k] = log1pUnit(a)
    }
  },
  rcp1p(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      D[d0 + k] = 1 / fround(1 + a)
    }
  },
  omtail(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      D[d0 + k] = oneMinusTail(a, b)
    }
  },
  pow(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      D[d0 + k] = pow(a, b)
    }
  },
  atan(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      D[d0 + k] = Math.atan(a) + 0
    }
  },
  addmul(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      D[d0 + k] = fround(a + b) * c
    }
  },
  submul(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      D[d0 + k] = fround(a - b) * c
    }
  },
  mulmul(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      D[d0 + k] = fround(a * b) * c
    }
  },
  subabs(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      D[d0 + k] = Math.abs(a - b)
    }
  },
  minsub(m: Machine, s: Step, n: number): void {
    const { floats, ints, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const AI = ints[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const BI = ints[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      const mask0 = -(Number(a < b) | Number(Number.isNaN(a)))
      TI[0] = (AI[a0 + k] & mask0) | (BI[b0 + k] & ~mask0)
      D[d0 + k] = T[0] - c
    }
  },
  maxsub(m: Machine, s: Step, n: number): void {
    const { floats, ints, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const AI = ints[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const BI = ints[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      const mask0 = -(Number(a > b) | Number(Number.isNaN(a)))
      TI[0] = (AI[a0 + k] & mask0) | (BI[b0 + k] & ~mask0)
      D[d0 + k] = T[0] - c
    }
  },
  dot(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    const E = floats[s.e]
    const e0 = at[s.e]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      const e = E[e0 + k]
      D[d0 + k] = fround(a * b) + fround(c * e)
    }
  },
  dotsub(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    const E = floats[s.e]
    const e0 = at[s.e]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      const e = E[e0 + k]
      D[d0 + k] = fround(a * b) - fround(c * e)
    }
  },
  mul4(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    const E = floats[s.e]
    const e0 = at[s.e]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      const e = E[e0 + k]
      D[d0 + k] = fround(a * b) * fround(c * e)
    }
  },
  subsubmul(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    const E = floats[s.e]
    const e0 = at[s.e]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      const e = E[e0 + k]
      D[d0 + k] = fround(a - b) * fround(c - e)
    }
  },
  fdot(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    const E = floats[s.e]
    const e0 = at[s.e]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      const e = E[e0 + k]
      D[d0 + k] = a * b + fround(c * e)
    }
  },
  fdotsub(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    const E = floats[s.e]
    const e0 = at[s.e]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      const e = E[e0 + k]
      D[d0 + k] = a * b - fround(c * e)
    }
  },
  minmaxsub(m: Machine, s: Step, n: number): void {
    const { floats, ints, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const AI = ints[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const BI = ints[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const CI = ints[s.c]
    const c0 = at[s.c]
    const E = floats[s.e]
    const EI = ints[s.e]
    const e0 = at[s.e]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      const e = E[e0 + k]
      const mask0 = -(Number(a < b) | Number(Number.isNaN(a)))
      TI[0] = (AI[a0 + k] & mask0) | (BI[b0 + k] & ~mask0)
      const mask1 = -(Number(c > e) | Number(Number.isNaN(c)))
      TI[1] = (CI[c0 + k] & mask1) | (EI[e0 + k] & ~mask1)
      D[d0 + k] = T[0] - T[1]
    }
  },
  maxminsub(m: Machine, s: Step, n: number): void {
    const { floats, ints, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const AI = ints[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const BI = ints[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const CI = ints[s.c]
    const c0 = at[s.c]
    const E = floats[s.e]
    const EI = ints[s.e]
    const e0 = at[s.e]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      const e = E[e0 + k]
      const mask0 = -(Number(a > b) | Number(Number.isNaN(a)))
      TI[0] = (AI[a0 + k] & mask0) | (BI[b0 + k] & ~mask0)
      const mask1 = -(Number(c < e) | Number(Number.isNaN(c)))
      TI[1] = (CI[c0 + k] & mask1) | (EI[e0 + k] & ~mask1)
      D[d0 + k] = T[0] - T[1]
    }
  },
  submulmul(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    const E = floats[s.e]
    const e0 = at[s.e]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      const e = E[e0 + k]
      D[d0 + k] = fround(fround(a - b) * c) * e
    }
  },
  addmulmul(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    const E = floats[s.e]
    const e0 = at[s.e]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      const e = E[e0 + k]
      D[d0 + k] = fround(fround(a + b) * c) * e
    }
  },
  selltmul(m: Machine, s: Step, n: number): void {
    const { floats, ints, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const CI = ints[s.c]
    const c0 = at[s.c]
    const EI = ints[s.e]
    const e0 = at[s.e]
    const F = floats[s.f]
    const f0 = at[s.f]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const f = F[f0 + k]
      const mask0 = -(Number(a < b))
      TI[0] = (CI[c0 + k] & mask0) | (EI[e0 + k] & ~mask0)
      D[d0 + k] = T[0] * f
    }
  },
  sellemul(m: Machine, s: Step, n: number): void {
    const { floats, ints, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const CI = ints[s.c]
    const c0 = at[s.c]
    const EI = ints[s.e]
    const e0 = at[s.e]
    const F = floats[s.f]
    const f0 = at[s.f]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const f = F[f0 + k]
      const mask0 = -(Number(a <= b))
      TI[0] = (CI[c0 + k] & mask0) | (EI[e0 + k] & ~mask0)
      D[d0 + k] = T[0] * f
    }
  },
  addsub(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      D[d0 + k] = fround(a + b) - c
    }
  },
  addadd(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      D[d0 + k] = fround(a + b) + c
    }
  },
  subsub(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      D[d0 + k] = fround(a - b) - c
    }
  },
  submax(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      const d = fround(a - b)
      D[d0 + k] = Number(d > c) | Number(Number.isNaN(d)) ? d : c
    }
  },
  mulmax(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      const d = fround(a * b)
      D[d0 + k] = Number(d > c) | Number(Number.isNaN(d)) ? d : c
    }
  },
  divmul(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      D[d0 + k] = fround(a / b) * c
    }
  },
  fmamul(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    const E = floats[s.e]
    const e0 = at[s.e]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      const e = E[e0 + k]
      D[d0 + k] = fround(a * b + c) * e
    }
  },
  fmsmul(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    const E = floats[s.e]
    const e0 = at[s.e]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      const e = E[e0 + k]
      D[d0 + k] = fround(a * b - c) * e
    }
  },
  fnmamul(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    const E = floats[s.e]
    const e0 = at[s.e]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      const e = E[e0 + k]
      D[d0 + k] = fround(c - a * b) * e
    }
  },
  maddmul(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    const E = floats[s.e]
    const e0 = at[s.e]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      const e = E[e0 + k]
      D[d0 + k] = fround(fround(a * b) + c) * e
    }
  },
  msubmul(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    const E = floats[s.e]
    const e0 = at[s.e]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      const e = E[e0 + k]
      D[d0 + k] = fround(fround(a * b) - c) * e
    }
  },
  nmaddmul(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    const E = floats[s.e]
    const e0 = at[s.e]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      const e = E[e0 + k]
      D[d0 + k] = fround(c - fround(a * b)) * e
    }
  },
  dotmul(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    const E = floats[s.e]
    const e0 = at[s.e]
    const F = floats[s.f]
    const f0 = at[s.f]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      const e = E[e0 + k]
      const f = F[f0 + k]
      D[d0 + k] = fround(fround(a * b) + fround(c * e)) * f
    }
  },
  dotsubmul(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    const E = floats[s.e]
    const e0 = at[s.e]
    const F = floats[s.f]
    const f0 = at[s.f]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      const e = E[e0 + k]
      const f = F[f0 + k]
      D[d0 + k] = fround(fround(a * b) - fround(c * e)) * f
    }
  },
  fdotmul(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    const E = floats[s.e]
    const e0 = at[s.e]
    const F = floats[s.f]
    const f0 = at[s.f]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      const e = E[e0 + k]
      const f = F[f0 + k]
      D[d0 + k] = fround(a * b + fround(c * e)) * f
    }
  },
  fdotsubmul(m: Machine, s: Step, n: number): void {
    const { floats, at } = m
    const d0 = at[s.d]
    const D = floats[s.d]
    const A = floats[s.a]
    const a0 = at[s.a]
    const B = floats[s.b]
    const b0 = at[s.b]
    const C = floats[s.c]
    const c0 = at[s.c]
    const E = floats[s.e]
    const e0 = at[s.e]
    const F = floats[s.f]
    const f0 = at[s.f]
    for (let k = 0; k < n; k++) {
      const a = A[a0 + k]
      const b = B[b0 + k]
      const c = C[c0 + k]
      const e = E[e0 + k]
      const f = F[f0 + k]
      D[d0 + k] = fround(a * b - fround(c * e)) * f
    }
  },
} as const satisfies Record<string, Loop>

/** The loops that read `ints`. */
export const READING_BITS: ReadonlySet<Loop> = new Set<Loop>([
  LOOPS.min,
  LOOPS.max,
  LOOPS.sel,
  LOOPS.sellt,
  LOOPS.selle,
  LOOPS.seleq,
  LOOPS.minsub,
  LOOPS.maxsub,
  LOOPS.minmaxsub,
  LOOPS.maxminsub,
  LOOPS.selltmul,
  LOOPS.sellemul,
])
