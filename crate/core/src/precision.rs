//! Which factors single precision has no room for, beside what they multiply.

/// A factor by which less than the smallest normal float, which has lost digits or all of itself, shows in a result. Below it the
/// error is less than the smallest normal float.
pub(crate) const LIFT: f64 = 16_777_216.0;

/// Whether single precision holds the factor of the gradients with all its digits. A finite derivative that overflows by such a
/// factor is too large for a float.
#[inline(always)]
pub(crate) fn fits(scale: f64) -> bool {
    scale == 0.0 || (scale as f32).is_normal()
}

/// Whether the factor makes an ordinary number of a derivative below the normal ones.
#[inline(always)]
pub(crate) fn lifts(scale: f64) -> bool {
    scale.abs() >= LIFT
}

/// Whether single precision has too few digits of one factor for what the other makes of it.
pub(crate) fn delicate(a: f64, b: f64) -> bool {
    let lifted = |small: f64, large: f64| {
        small != 0.0 && small.abs() < f64::from(f32::MIN_POSITIVE) && large.abs() >= LIFT
    };
    lifted(a, b) || lifted(b, a)
}
