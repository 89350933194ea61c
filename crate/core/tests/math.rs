//! Every function of `math` against double precision, on every instruction set of this machine: over every `f32` of its
//! domain down to 2^−28, and over every 1009th below, where the result is x, 1 or ½ but for the last bit. The largest error
//! must be what the function's constant says, neither more nor much less.
//!
//! `FUSED_LOSS_TEST_STRIDE=n` takes every n-th float only, for emulators.

use fused_loss_core::math::pow::{self, Exponent};
use fused_loss_core::math::{atan, exp, log, sigmoid};
use fused_loss_core::simd::{Kernel, LANES, Lanes, Level, Scalar, Simd};
use std::thread;

/// A function of one vector.
trait Function: Copy + Sync {
    fn eval<S: Simd>(self, s: S, x: S::F32) -> S::F32;
}

struct Map<'a, F> {
    function: F,
    x: &'a [f32; LANES],
    y: &'a mut [f32; LANES],
}

impl<F: Function> Kernel for Map<'_, F> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        *self.y = s.to_array(self.function.eval(s, s.vector(*self.x)));
    }
}

macro_rules! function {
    ($name:ident, $s:ident, $x:ident => $value:expr) => {
        #[derive(Clone, Copy)]
        struct $name;
        impl Function for $name {
            #[inline(always)]
            fn eval<S: Simd>(self, $s: S, $x: S::F32) -> S::F32 {
                $value
            }
        }
    };
}

function!(Exp, s, x => exp::exp_nonpositive(s, x));
function!(AnyExp, s, x => exp::exp(s, x));
function!(Log, s, x => log::log_positive(s, x));
function!(AnyLog, s, x => log::log(s, x));
function!(Log1m, s, p => log::log1m(s, p));
function!(Log1pUnit, s, x => sigmoid::log1p_unit(s, x));
function!(Log1p, s, x => log::log1p(s, x));
function!(SecondOrder, s, u => exp::second_order(s, u));
function!(Large, s, x => sigmoid::sigmoid(s, exp::exp_nonpositive(s, s.neg(x))).large);
function!(Small, s, x => sigmoid::sigmoid(s, exp::exp_nonpositive(s, s.neg(x))).small);
function!(Softplus, s, x => sigmoid::sigmoid(s, exp::exp_nonpositive(s, s.neg(x))).softplus);

function!(Expm1, s, x => exp::expm1(s, x));
function!(OneMinusTail, s, x => exp::one_minus_tail(s, x, sigmoid::tail(s, x)));
function!(Tanh, s, x => {
    // As expressions put it together, from the tail of 2·x.
    let twice = s.add(x, x);
    let e = sigmoid::tail(s, twice);
    let reciprocal = s.div(s.splat(1.0), s.add(s.splat(1.0), e));
    s.mul(exp::one_minus_tail(s, twice, e), reciprocal)
});
function!(Log1pOfAny, s, x => log::log1p_of_any(s, x));
function!(Atan, s, x => atan::atan(s, x));
function!(CubePow, s, x => pow::pow(s, x, s.splat(3.0)));
function!(InversePow, s, x => pow::pow(s, x, s.splat(-1.7)));
function!(FourthPow, s, x => pow::pow(s, x, s.splat(-4.0)));
function!(LargePow, s, x => pow::pow(s, x, s.splat(100.3)));

function!(RootPow, s, m => Exponent::new(0.5).pow(s, m));
function!(SteepPow, s, m => Exponent::new(3.7).pow(s, m));

fn apply<F: Function>(level: Level, function: F, x: &[f32; LANES]) -> [f32; LANES] {
    let mut y = [0.0; LANES];
    level.run(Map {
        function,
        x,
        y: &mut y,
    });
    y
}

/// Distance from the truth in units in the last place of the truth.
fn ulps(got: f32, truth: f64) -> f64 {
    let exponent = ((truth.to_bits() >> 52) & 0x7FF) as i32 - 1023;
    (f64::from(got) - truth).abs() / 2f64.powi(exponent.max(-126) - 23)
}

/// Largest error over every `step`-th vector of floats with the bits `from..=to`, and where.
fn worst<F: Function>(
    function: F,
    truth: fn(f64) -> f64,
    from: u32,
    to: u32,
    step: usize,
) -> (f64, f32) {
    let stride =
        std::env::var("FUSED_LOSS_TEST_STRIDE").map_or(step, |s| s.parse().expect("a number"));
    let threads = thread::available_parallelism().map_or(1, |n| n.get()) as u32;
    let share = (to - from) / threads + 1;
    let search = |first: u32| {
        let last = to.min(first.saturating_add(share - 1));
        let levels = Level::available();
        let mut worst = (0.0, 0.0);
        for start in (first..=last).step_by(LANES * stride) {
            let x: [f32; LANES] =
                core::array::from_fn(|j| f32::from_bits((start + j as u32).min(last)));
            let truths = x.map(|x| truth(f64::from(x)));
            for &level in &levels {
                for (j, y) in apply(level, function, &x).into_iter().enumerate() {
                    let error = ulps(y, truths[j]);
                    if error.is_nan() || error > worst.0 {
                        worst = (error, x[j]);
                    }
                }
            }
        }
        worst
    };
    thread::scope(|scope| {
        (0..threads)
            .map(|t| scope.spawn(move || search(from + t * share)))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|thread| thread.join().expect("a search"))
            .fold((0.0, 0.0), |a, b| if b.0 > a.0 { b } else { a })
    })
}

#[track_caller]
fn check<F: Function>(function: F, truth: fn(f64) -> f64, from: f32, to: f32, max_ulp: f64) {
    let small = 2f32.powi(-28).copysign(to).to_bits();
    let (from, to) = (from.to_bits(), to.to_bits());
    let dense = worst(function, truth, from.max(small), to, 1);
    let coarse = worst(function, truth, from, small.max(from), 1009);
    let (error, x) = if coarse.0 > dense.0 { coarse } else { dense };
    println!("{error:.3} ulp at {x:e}");
    assert!(
        error <= max_ulp,
        "{error} ulp at {x:e}, the constant says {max_ulp}"
    );
    if std::env::var_os("FUSED_LOSS_TEST_STRIDE").is_none() {
        assert!(
            error > 0.8 * max_ulp,
            "the constant says {max_ulp}, but it is only {error}"
        );
    }
}

#[test]
fn exp() {
    // Negative floats in the order of their bits: from −0 down.
    check(Exp, f64::exp, -0.0, exp::DOMAIN_MIN, exp::MAX_ULP);
}

#[test]
fn exp_at_the_edges() {
    for level in Level::available() {
        let below = f32::from_bits(exp::DOMAIN_MIN.to_bits() + 1);
        let mut x = [0.0; LANES];
        x[..6].copy_from_slice(&[0.0, -88.1, -1e30, f32::NEG_INFINITY, below, f32::NAN]);
        let y = apply(level, Exp, &x);
        assert_eq!(y[..4], [1.0, 0.0, 0.0, 0.0], "{}", level.name());
        assert!((0.0..f32::MIN_POSITIVE).contains(&y[4]), "{}", level.name());
        assert!(y[5].is_nan(), "{}", level.name());
    }
}

#[test]
fn exp_of_any_sign() {
    check(
        AnyExp,
        f64::exp,
        0.0,
        Scalar::<1>::EXP_MAX,
        exp::EXP_MAX_ULP,
    );
    let (from, to) = ((-0f32).to_bits(), (-104f32).to_bits());
    let (error, x) = worst(AnyExp, f64::exp, from, to, 11);
    assert!(error <= exp::EXP_MAX_ULP, "{error} ulp at {x:e}");
    for level in Level::available() {
        let above = f32::from_bits(Scalar::<1>::EXP_MAX.to_bits() + 1);
        let mut x = [0.0; LANES];
        let (infinity, none) = (f32::INFINITY, f32::NEG_INFINITY);
        x[..7].copy_from_slice(&[above, 1e30, infinity, -104.1, -1e30, none, f32::NAN]);
        let y = apply(level, AnyExp, &x);
        let edges = [infinity, infinity, infinity, 0.0, 0.0, 0.0];
        assert_eq!((&y[..6], y[7]), (&edges[..], 1.0), "{}", level.name());
        assert!(y[6].is_nan(), "{}", level.name());
    }
}

#[test]
fn log() {
    // The sums of a softmax; beyond them only the exponent differs, which a coarse pass shows.
    check(Log, f64::ln, 0.5, 2f32.powi(25), log::MAX_ULP);
    let (from, to) = (f32::MIN_POSITIVE.to_bits(), f32::MAX.to_bits());
    let (error, x) = worst(Log, f64::ln, from, to, 101);
    assert!(error <= log::MAX_ULP, "{error} ulp at {x:e}");
}

#[test]
fn log_at_the_edges() {
    for level in Level::available() {
        let mut x = [1.0; LANES];
        x[..2].copy_from_slice(&[f32::INFINITY, f32::NAN]);
        let y = apply(level, Log, &x);
        assert_eq!((y[0], y[2]), (f32::INFINITY, 0.0), "{}", level.name());
        assert!(y[1].is_nan(), "{}", level.name());
    }
}

#[test]
fn log_of_any_number() {
    // Around 1, where the logarithm is small; then all exponents, those of the subnormals too.
    check(AnyLog, f64::ln, 0.25, 4.0, log::MAX_ULP);
    for (from, to, step) in [
        (1, f32::MIN_POSITIVE.to_bits(), 3),
        (1, f32::MAX.to_bits(), 101),
    ] {
        let (error, x) = worst(AnyLog, f64::ln, from, to, step);
        assert!(error <= log::MAX_ULP, "{error} ulp at {x:e}");
    }
    for level in Level::available() {
        let mut x = [1.0; LANES];
        let infinity = f32::INFINITY;
        x[..6].copy_from_slice(&[0.0, -0.0, infinity, f32::NAN, -1e-42, -infinity]);
        let y = apply(level, AnyLog, &x);
        let edges = [-infinity, -infinity, infinity];
        assert_eq!((&y[..3], y[6]), (&edges[..], 0.0), "{}", level.name());
        assert!(y[3..6].iter().all(|y| y.is_nan()), "{}", level.name());
    }
}

#[test]
fn log1m() {
    check(
        Log1m,
        |p| (-p).ln_1p(),
        0.0,
        1.0 - f32::EPSILON / 2.0,
        log::LOG1M_MAX_ULP,
    );
    for level in Level::available() {
        let mut p = [0.0; LANES];
        p[..2].copy_from_slice(&[1.0, f32::NAN]);
        let y = apply(level, Log1m, &p);
        assert_eq!((y[0], y[2]), (f32::NEG_INFINITY, 0.0), "{}", level.name());
        assert!(y[1].is_nan(), "{}", level.name());
    }
}

#[test]
fn log1p_unit() {
    // Below 2^-100 the square underflows, where it does not matter.
    check(Log1pUnit, f64::ln_1p, 0.0, 1.0, sigmoid::LOG1P_MAX_ULP);
}

#[test]
fn log1p() {
    // The sums of a softmax but for its largest term; beyond them only the exponent differs, which a coarse pass shows.
    check(Log1p, f64::ln_1p, 0.0, 2f32.powi(25), log::LOG1P_MAX_ULP);
    let (negative, least) = ((-0f32).to_bits(), log::LOG1P_MIN.to_bits());
    for (from, to, step) in [
        (1, f32::MIN_POSITIVE.to_bits(), 3),
        (1, f32::MAX.to_bits(), 101),
        ((-2f32.powi(-28)).to_bits(), least, 1),
        (negative, least, 101),
    ] {
        let (error, x) = worst(Log1p, f64::ln_1p, from, to, step);
        assert!(error <= log::LOG1P_MAX_ULP, "{error} ulp at {x:e}");
    }
    for level in Level::available() {
        let mut x = [0.0; LANES];
        x[..2].copy_from_slice(&[f32::INFINITY, f32::NAN]);
        let y = apply(level, Log1p, &x);
        assert_eq!((y[0], y[2]), (f32::INFINITY, 0.0), "{}", level.name());
        assert!(y[1].is_nan(), "{}", level.name());
    }
}

#[test]
fn second_order() {
    // By its series where the terms of the formula cancel.
    let truth = |u: f64| {
        let mut term = 0.5;
        (3..24).fold(0.0, |sum, k| {
            let sum = sum + term;
            term *= -u / f64::from(k);
            sum
        })
    };
    check(SecondOrder, truth, 0.0, 1.0, exp::SECOND_ORDER_MAX_ULP);
    let (error, u) = worst(SecondOrder, truth, (-0f32).to_bits(), (-1f32).to_bits(), 11);
    assert!(error <= exp::SECOND_ORDER_MAX_ULP, "{error} ulp at {u:e}");
}

#[test]
fn sigmoid_large() {
    check(
        Large,
        |x| 1.0 / (1.0 + (-x).exp()),
        0.0,
        1e4,
        sigmoid::LARGE_MAX_ULP,
    );
}

#[test]
fn sigmoid_small() {
    let to = -exp::DOMAIN_MIN;
    check(
        Small,
        |x| (-x).exp() / (1.0 + (-x).exp()),
        0.0,
        to,
        sigmoid::SMALL_MAX_ULP,
    );
}

#[test]
fn softplus() {
    let to = -exp::DOMAIN_MIN;
    check(
        Softplus,
        |x| (-x).exp().ln_1p(),
        0.0,
        to,
        sigmoid::SOFTPLUS_MAX_ULP,
    );
}

#[test]
fn pow() {
    // 3.7 has all its bits, and a result of every size.
    check(
        SteepPow,
        |m| m.powf(f64::from(3.7f32)),
        6e-11,
        1.0,
        pow::MAX_ULP,
    );
    let (error, m) = worst(
        RootPow,
        f64::sqrt,
        f32::MIN_POSITIVE.to_bits(),
        1f32.to_bits(),
        101,
    );
    assert!(error <= pow::MAX_ULP, "{error} ulp at {m:e}");
}

#[test]
fn pow_at_the_edges() {
    for level in Level::available() {
        let mut m = [1.0; LANES];
        m[..3].copy_from_slice(&[0.0, 1e-20, 1e-42]);
        assert_eq!(
            apply(level, SteepPow, &m)[..4],
            [0.0, 0.0, 0.0, 1.0],
            "{}",
            level.name()
        );
    }
}

#[test]
fn sigmoid_at_the_edges() {
    for level in Level::available() {
        let mut x = [0.0; LANES];
        x[..3].copy_from_slice(&[f32::INFINITY, 1e4, f32::NAN]);
        for (got, expected) in [
            (apply(level, Large, &x), [1.0, 1.0, 0.5]),
            (apply(level, Small, &x), [0.0, 0.0, 0.5]),
            (
                apply(level, Softplus, &x),
                [0.0, 0.0, core::f32::consts::LN_2],
            ),
        ] {
            assert_eq!([got[0], got[1], got[3]], expected, "{}", level.name());
            assert!(got[2].is_nan(), "{}", level.name());
        }
    }
}

#[test]
fn expm1() {
    check(
        Expm1,
        f64::exp_m1,
        0.0,
        Scalar::<1>::EXP_MAX,
        exp::EXPM1_MAX_ULP,
    );
    for (from, to, step) in [
        ((-2f32.powi(-28)).to_bits(), (-20f32).to_bits(), 3),
        ((-20f32).to_bits(), f32::NEG_INFINITY.to_bits(), 1009),
        ((-0f32).to_bits(), (-2f32.powi(-28)).to_bits(), 1009),
    ] {
        let (error, x) = worst(Expm1, f64::exp_m1, from, to, step);
        assert!(error <= exp::EXPM1_MAX_ULP, "{error} ulp at {x:e}");
    }
    for level in Level::available() {
        let infinity = f32::INFINITY;
        let mut x = [0.0; LANES];
        x[..4].copy_from_slice(&[f32::MAX, infinity, -infinity, f32::NAN]);
        let y = apply(level, Expm1, &x);
        assert_eq!(y[..3], [infinity, infinity, -1.0], "{}", level.name());
        assert!(y[3].is_nan() && y[4] == 0.0, "{}", level.name());
    }
}

#[test]
fn one_minus_tail_and_tanh() {
    let truth = |x: f64| -(-x.abs()).exp_m1();
    let most = exp::ONE_MINUS_TAIL_MAX_ULP;
    check(OneMinusTail, truth, 0.0, 1e4, most);
    check(Tanh, f64::tanh, 0.0, 1e4, exp::TANH_MAX_ULP);
    for level in Level::available() {
        let mut x = [0.0; LANES];
        x[..4].copy_from_slice(&[f32::INFINITY, f32::NEG_INFINITY, -0.0, f32::NAN]);
        let y = apply(level, OneMinusTail, &x);
        assert_eq!(y[..3], [1.0, 1.0, 0.0], "{}", level.name());
        assert!(y[3].is_nan(), "{}", level.name());
    }
}

#[test]
fn log1p_of_any_number() {
    let most = log::LOG1P_OF_ANY_MAX_ULP;
    check(Log1pOfAny, f64::ln_1p, 0.0, 2f32.powi(25), most);
    for (from, to, step) in [
        (1, f32::MIN_POSITIVE.to_bits(), 3),
        (1, f32::MAX.to_bits(), 101),
        ((-2f32.powi(-28)).to_bits(), 0xBF7F_FFFF, 3),
        ((-0f32).to_bits(), 0xBF7F_FFFF, 101),
    ] {
        let (error, x) = worst(Log1pOfAny, f64::ln_1p, from, to, step);
        assert!(error <= most, "{error} ulp at {x:e}");
    }
    for level in Level::available() {
        let infinity = f32::INFINITY;
        let mut x = [0.0; LANES];
        x[..5].copy_from_slice(&[infinity, -1.0, -1.5, -infinity, f32::NAN]);
        let y = apply(level, Log1pOfAny, &x);
        assert_eq!(
            (y[0], y[1], y[5]),
            (infinity, -infinity, 0.0),
            "{}",
            level.name()
        );
        assert!(y[2..5].iter().all(|y| y.is_nan()), "{}", level.name());
    }
}

#[test]
fn atan() {
    check(Atan, f64::atan, 0.0, 1e9, atan::MAX_ULP);
    let (from, to) = ((-1e-9f32).to_bits(), f32::NEG_INFINITY.to_bits());
    let (error, x) = worst(Atan, f64::atan, from, to, 101);
    assert!(error <= atan::MAX_ULP, "{error} ulp at {x:e}");
    for level in Level::available() {
        let y = apply(level, Atan, &[f32::NAN; LANES]);
        assert!(y[0].is_nan(), "{}", level.name());
    }
}

#[test]
fn pow_of_any_number() {
    let most = pow::POW_MAX_ULP;
    // Results that are floats, the subnormal ones too.
    let (from, to) = (1.2e-15f32.to_bits(), 6.9e12f32.to_bits());
    let (error, x) = worst(CubePow, |x| x.powi(3), from, to, 31);
    println!("{error:.3} ulp at {x:e}");
    assert!(error <= most && error > 0.4 * most, "{error} ulp at {x:e}");
    let (from, to) = (2.4e-10f32.to_bits(), 6e10f32.to_bits());
    let (error, x) = worst(FourthPow, |x| x.powi(-4), from, to, 31);
    println!("{error:.3} ulp at {x:e}");
    assert!(error <= most && error > 0.8 * most, "{error} ulp at {x:e}");
    let inverse = |x: f64| x.powf(f64::from(-1.7f32));
    let (error, x) = worst(
        InversePow,
        inverse,
        2.2e-23f32.to_bits(),
        1e22f32.to_bits(),
        31,
    );
    println!("{error:.3} ulp at {x:e}");
    assert!(error <= most, "{error} ulp at {x:e}");
    // Subnormal numbers to a power that makes normal ones of them.
    let root = |x: f64| x.powf(f64::from(0.3f32));
    function!(SmallRoot, s, x => pow::pow(s, x, s.splat(0.3)));
    let (error, x) = worst(SmallRoot, root, 1, f32::MIN_POSITIVE.to_bits(), 7);
    assert!(error <= most, "{error} ulp at {x:e}");
    // What an exponent makes of the error of a logarithm.
    let large = |x: f64| x.powf(f64::from(100.3f32));
    let (error, x) = worst(LargePow, large, 0.45f32.to_bits(), 2.3f32.to_bits(), 31);
    println!("{error:.3} ulp at {x:e}");
    assert!(
        error <= 1.4 * 100.3 && error > 100.3,
        "{error} ulp at {x:e}"
    );
}

#[test]
fn pow_of_numbers_that_are_not_finite_or_not_positive() {
    struct Power([f32; LANES], f32);
    impl Kernel for Power {
        type Out = [f32; LANES];
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> [f32; LANES] {
            s.to_array(pow::pow(s, s.vector(self.0), s.splat(self.1)))
        }
    }
    let special = [
        0.0,
        -0.0,
        -2.0,
        f32::NEG_INFINITY,
        f32::INFINITY,
        1.0,
        0.5,
        2.0,
        1e-45,
        f32::MAX,
        f32::NAN,
        1.0,
        1.0,
        1.0,
        1.0,
        1.0,
    ];
    let infinity = f32::INFINITY;
    for level in Level::available() {
        for y in [
            0.0, -0.0, 1.0, -1.0, 2.5, -2.5, 1e-3, -1e-3, 300.0, -300.0, infinity, -infinity,
        ] {
            let got = level.run(Power(special, y));
            for (x, got) in special.into_iter().zip(got) {
                let truth = f64::from(x.max(0.0)).powf(f64::from(y));
                let what = format!("{x:e} to the {y} is {got:e} on {}", level.name());
                if x.is_nan() {
                    assert!(got.is_nan(), "{what}");
                } else if truth.abs() < f64::from(f32::MAX) {
                    assert!(ulps(got, truth) <= 2.0 * pow::POW_MAX_ULP, "{what}");
                } else {
                    assert_eq!(got, infinity, "{what}");
                }
            }
        }
        let nan = level.run(Power(special, f32::NAN));
        assert!(nan.iter().all(|y| y.is_nan()), "{}", level.name());
    }
}
