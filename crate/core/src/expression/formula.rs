//! What the operations compute.

use crate::math::{atan, exp, log, pow, sigmoid};
use crate::simd::{Lanes, Map};

/// Formulas of one result, some of which are long.
macro_rules! formulas {
    ($long:literal $($name:ident($v:ident, $($x:ident),*) => $value:expr;)*) => {
        $(
            #[derive(Clone, Copy)]
            pub(super) struct $name;
            impl Map<{ [$(stringify!($x)),*].len() }, 1> for $name {
                const LONG: bool = $long;

                #[inline(always)]
                fn eval<V: Lanes>(
                    self,
                    $v: V,
                    [$($x),*]: [V::F32; [$(stringify!($x)),*].len()],
                ) -> [V::F32; 1] {
                    [$value]
                }
            }
        )*
    };
}

/// The smaller one, b where they are equal; NaN where either is NaN.
#[inline(always)]
fn min<V: Lanes>(v: V, a: V::F32, b: V::F32) -> V::F32 {
    v.select(v.eq(a, a), v.min(a, b), a)
}

/// The larger one, b where they are equal; NaN where either is NaN.
#[inline(always)]
fn max<V: Lanes>(v: V, a: V::F32, b: V::F32) -> V::F32 {
    v.select(v.eq(a, a), v.max(a, b), a)
}

/// 1 or 0
#[inline(always)]
fn truth<V: Lanes>(v: V, mask: V::Mask) -> V::F32 {
    v.select(mask, v.splat(1.0), v.splat(0.0))
}

/// a with the sign of b, as far as b has one: b itself where it is ±0 or NaN.
#[inline(always)]
fn with_sign<V: Lanes>(v: V, a: V::F32, b: V::F32) -> V::F32 {
    let zero = v.splat(0.0);
    let signed = v.neg_where(v.lt(b, zero), a);
    v.select(v.lt(zero, v.abs(b)), signed, b)
}

// Every operation of these rounds once. The names of trees say what they do in the order of their operations; the operands
// are a, b, c, e, f, and those of programs that are not exact begin with F where a product and a sum are rounded once.
formulas! { false
    Move(_v, a) => a;
    Add(v, a, b) => v.add(a, b);
    Sub(v, a, b) => v.sub(a, b);
    Mul(v, a, b) => v.mul(a, b);
    Div(v, a, b) => v.div(a, b);
    Neg(v, a) => v.neg(a);
    Abs(v, a) => v.abs(a);
    Min(v, a, b) => min(v, a, b);
    Max(v, a, b) => max(v, a, b);
    Sqrt(v, a) => v.sqrt(a);

    MulAdd(v, a, b, c) => v.add(v.mul(a, b), c);
    MulSub(v, a, b, c) => v.sub(v.mul(a, b), c);
    NegMulAdd(v, a, b, c) => v.sub(c, v.mul(a, b));
    FMulAdd(v, a, b, c) => v.mul_add(a, b, c);
    FMulSub(v, a, b, c) => v.mul_add(a, b, v.neg(c));
    FNegMulAdd(v, a, b, c) => v.mul_add(v.neg(a), b, c);

    Sign(v, a) => with_sign(v, v.splat(1.0), a);
    MulSign(v, a, b) => with_sign(v, a, b);
    Less(v, a, b) => truth(v, v.lt(a, b));
    LessOrEqual(v, a, b) => truth(v, v.le(a, b));
    Equal(v, a, b) => truth(v, v.eq(a, b));
    // NaN is a condition that holds, as in `a !== 0`.
    Select(v, a, b, c) => v.select(v.eq(a, v.splat(0.0)), c, b);
    SelectLess(v, a, b, c, e) => v.select(v.lt(a, b), c, e);
    SelectLessOrEqual(v, a, b, c, e) => v.select(v.le(a, b), c, e);
    SelectEqual(v, a, b, c, e) => v.select(v.eq(a, b), c, e);
    // 0 · ∞ = 0 where it is a that is 0.
    MulOrZero(v, a, b) => v.zero_where(v.eq(a, v.splat(0.0)), v.mul(a, b));

    AddMul(v, a, b, c) => v.mul(v.add(a, b), c);
    SubMul(v, a, b, c) => v.mul(v.sub(a, b), c);
    MulMul(v, a, b, c) => v.mul(v.mul(a, b), c);
    DivMul(v, a, b, c) => v.mul(v.div(a, b), c);
    SubAbs(v, a, b) => v.abs(v.sub(a, b));
    MinSub(v, a, b, c) => v.sub(min(v, a, b), c);
    MaxSub(v, a, b, c) => v.sub(max(v, a, b), c);
    AddSub(v, a, b, c) => v.sub(v.add(a, b), c);
    AddAdd(v, a, b, c) => v.add(v.add(a, b), c);
    SubSub(v, a, b, c) => v.sub(v.sub(a, b), c);
    SubMax(v, a, b, c) => max(v, v.sub(a, b), c);
    MulMax(v, a, b, c) => max(v, v.mul(a, b), c);

    Dot(v, a, b, c, e) => v.add(v.mul(a, b), v.mul(c, e));
    DotSub(v, a, b, c, e) => v.sub(v.mul(a, b), v.mul(c, e));
    FDot(v, a, b, c, e) => v.mul_add(a, b, v.mul(c, e));
    FDotSub(v, a, b, c, e) => v.mul_add(a, b, v.neg(v.mul(c, e)));
    Mul4(v, a, b, c, e) => v.mul(v.mul(a, b), v.mul(c, e));
    SubSubMul(v, a, b, c, e) => v.mul(v.sub(a, b), v.sub(c, e));
    MinMaxSub(v, a, b, c, e) => v.sub(min(v, a, b), max(v, c, e));
    MaxMinSub(v, a, b, c, e) => v.sub(max(v, a, b), min(v, c, e));
    SubMulMul(v, a, b, c, e) => v.mul(v.mul(v.sub(a, b), c), e);
    AddMulMul(v, a, b, c, e) => v.mul(v.mul(v.add(a, b), c), e);
    FMulAddMul(v, a, b, c, e) => v.mul(v.mul_add(a, b, c), e);
    FMulSubMul(v, a, b, c, e) => v.mul(v.mul_add(a, b, v.neg(c)), e);
    FNegMulAddMul(v, a, b, c, e) => v.mul(v.mul_add(v.neg(a), b, c), e);
    MulAddMul(v, a, b, c, e) => v.mul(v.add(v.mul(a, b), c), e);
    MulSubMul(v, a, b, c, e) => v.mul(v.sub(v.mul(a, b), c), e);
    NegMulAddMul(v, a, b, c, e) => v.mul(v.sub(c, v.mul(a, b)), e);

    SelectLessMul(v, a, b, c, e, f) => v.mul(v.select(v.lt(a, b), c, e), f);
    SelectLessOrEqualMul(v, a, b, c, e, f) => v.mul(v.select(v.le(a, b), c, e), f);
    DotMul(v, a, b, c, e, f) => v.mul(v.add(v.mul(a, b), v.mul(c, e)), f);
    DotSubMul(v, a, b, c, e, f) => v.mul(v.sub(v.mul(a, b), v.mul(c, e)), f);
    FDotMul(v, a, b, c, e, f) => v.mul(v.mul_add(a, b, v.mul(c, e)), f);
    FDotSubMul(v, a, b, c, e, f) => v.mul(v.mul_add(a, b, v.neg(v.mul(c, e))), f);
    ReciprocalOnePlus(v, a) => v.div(v.splat(1.0), v.add(v.splat(1.0), a));
}

formulas! { true
    Exp(v, a) => exp::exp(v, a);
    Expm1(v, a) => exp::expm1(v, a);
    Log(v, a) => log::log(v, a);
    Log1p(v, a) => log::log1p_of_any(v, a);
    Tail(v, a) => sigmoid::tail(v, a);
    Log1pUnit(v, a) => sigmoid::log1p_unit(v, a);
    OneMinusTail(v, x, e) => exp::one_minus_tail(v, x, e);
    Pow(v, a, b) => pow::pow(v, a, b);
    Atan(v, a) => atan::atan(v, a);
}

/// σ(x) and σ(−x), of x and e^−|x|.
#[inline(always)]
fn sigmoids<V: Lanes>(v: V, x: V::F32, e: V::F32) -> [V::F32; 2] {
    let large = v.div(v.splat(1.0), v.add(v.splat(1.0), e));
    let small = v.mul(e, large);
    let negative = v.lt(x, v.splat(0.0));
    [
        v.select(negative, small, large),
        v.select(negative, large, small),
    ]
}

/// ln(1 + eˣ) and ln(1 + e⁻ˣ), of x and e^−|x|.
#[inline(always)]
fn softpluses<V: Lanes>(v: V, x: V::F32, e: V::F32) -> [V::F32; 2] {
    let zero = v.splat(0.0);
    let log = sigmoid::log1p_unit(v, e);
    [
        v.add(v.max(x, zero), log),
        v.add(v.max(v.neg(x), zero), log),
    ]
}

#[derive(Clone, Copy)]
pub(super) struct Sigmoids;

impl Map<2, 2> for Sigmoids {
    const LONG: bool = true;

    #[inline(always)]
    fn eval<V: Lanes>(self, v: V, [x, e]: [V::F32; 2]) -> [V::F32; 2] {
        sigmoids(v, x, e)
    }
}

#[derive(Clone, Copy)]
pub(super) struct Softpluses;

impl Map<2, 2> for Softpluses {
    const LONG: bool = true;

    #[inline(always)]
    fn eval<V: Lanes>(self, v: V, [x, e]: [V::F32; 2]) -> [V::F32; 2] {
        softpluses(v, x, e)
    }
}

#[derive(Clone, Copy)]
pub(super) struct Logistic;

impl Map<2, 4> for Logistic {
    const LONG: bool = true;

    #[inline(always)]
    fn eval<V: Lanes>(self, v: V, [x, e]: [V::F32; 2]) -> [V::F32; 4] {
        let ([p, q], [r, s]) = (sigmoids(v, x, e), softpluses(v, x, e));
        [p, q, r, s]
    }
}
