//! The arctangent.

use crate::simd::Lanes;

/// Largest error of [`atan`], in units in the last place of the true value.
pub const MAX_ULP: f64 = 2.3;

/// Polynomial of (atan(z)/z − 1)/z² in z² on [0, 1], lowest power first; fitted for this project.
const A: [f32; 8] = [
    -0.33333144,
    0.19993542,
    -0.14209226,
    0.10658941,
    -0.07537398,
    0.043039404,
    -0.0162632,
    0.00289481,
];

/// arctan x; ±π/2 at ±∞, NaN stays NaN.
#[inline(always)]
pub fn atan<V: Lanes>(v: V, x: V::F32) -> V::F32 {
    let size = v.abs(x);
    // arctan x = π/2 − arctan(1/x) beyond 1.
    let large = v.lt(v.splat(1.0), size);
    let z = v.select(large, v.div(v.splat(1.0), size), size);
    let square = v.mul(z, z);
    let mut p = v.splat(A[7]);
    for i in [6, 5, 4, 3, 2, 1, 0] {
        p = v.mul_add(p, square, v.splat(A[i]));
    }
    let near = v.mul_add(v.mul(z, square), p, z);
    let atan = v.select(
        large,
        v.sub(v.splat(core::f32::consts::FRAC_PI_2), near),
        near,
    );
    v.neg_where(v.lt(x, v.splat(0.0)), atan)
}
