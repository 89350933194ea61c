//! `count LOSS LEVEL N`: value and gradient of N elements, in calls of 10,240, for a tool that counts instructions. Rows of
//! the losses over classes have 10 scores, and those of rows have as many numbers. `count` alone prints the losses.

use fused_loss_core::family::{embedding, pointwise, softmax};
use fused_loss_core::layout::positions::{Positions, Values};
use fused_loss_core::registry::{Kernel, REGISTRY};
use fused_loss_core::share::Share;
use fused_loss_core::simd::{Level, cells};
use std::hint::black_box;

const ELEMENTS: usize = 10_240;
const CLASSES: usize = 10;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [loss, level, n] = &arguments[..] else {
        for row in REGISTRY {
            println!("{}", row.name);
        }
        return;
    };
    let op = REGISTRY.iter().position(|row| row.name == loss);
    let op = op.expect("a loss of the registry");
    let level = Level::available()
        .into_iter()
        .find(|available| available.name() == level)
        .expect("an instruction set of this machine");
    let n: usize = n.parse().expect("a number of elements");

    // Probabilities, which are scores as well; their negatives are logarithms of such.
    let sign = if loss == "klDiv" || loss == "nll" {
        -1.0
    } else {
        1.0
    };
    let mut x: Vec<f32> = (0..ELEMENTS)
        .map(|i| sign * (((i * 7919) % 1000) as f32 + 0.5) / 1000.0)
        .collect();
    let mut t: Vec<f32> = x.iter().rev().map(|x| sign * x).collect();
    let mut dx = vec![0.0; ELEMENTS];
    let labels: Vec<i32> = (0..ELEMENTS / CLASSES)
        .map(|i| (i * 7 % CLASSES) as i32)
        .collect();
    let (x, t, dx) = (cells(&mut x), cells(&mut t), cells(&mut dx));
    // The defaults of the package.
    let mut all = [0.0_f32; 6];
    for (param, name) in all.iter_mut().zip(REGISTRY[op].params) {
        *param = match *name {
            "gamma" | "p" => 2.0,
            "alpha" => 0.25,
            "beta" | "delta" => 1.0,
            _ => 0.0,
        };
    }
    let params = [all[0], all[1]];
    for _ in 0..n / ELEMENTS {
        black_box(match REGISTRY[op].kernel {
            Kernel::Pointwise(run) => {
                let args = pointwise::Args {
                    x,
                    t: Values::F32(t),
                    dx: Some(dx),
                    scale: 1.0,
                    aux: 1.0,
                    sum: 0.0,
                    params,
                    share: Share::ALL,
                    extra: None,
                };
                run(level, &args)
            }
            Kernel::Softmax(run) => {
                let teacher = (loss == "distillation").then_some(softmax::Extra {
                    inner: 1,
                    target: Some(t),
                    sample_weight: None,
                    dt: None,
                    accumulate: false,
                });
                let args = softmax::Args {
                    x,
                    marks: Positions::new(&labels, &[-100]),
                    classes: CLASSES,
                    dx: Some(dx),
                    out: None,
                    weight: None,
                    grad_output: None,
                    scale: 1.0,
                    label_smoothing: 0.0,
                    temperature: 1.0,
                    sum: 0.0,
                    params,
                    share: Share::ALL,
                    extra: teacher.as_ref(),
                };
                run(level, &args)
            }
            Kernel::Embedding(run) => {
                let args = embedding::Args {
                    x,
                    y: t,
                    z: Some(t),
                    size: CLASSES,
                    signs: None,
                    marks: Positions::default(),
                    sample_weight: None,
                    dx: Some(dx),
                    dy: None,
                    dz: None,
                    out: None,
                    grad_output: None,
                    scale: 1.0,
                    accumulate: false,
                    sum: 0.0,
                    params: all.map(f64::from),
                    share: Share::ALL,
                };
                run(level, &args)
            }
        });
    }
}
