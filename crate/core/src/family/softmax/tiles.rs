//! Any class axis, any target, all options, over tiles of positions.
//!
//! A tile is 16 neighbouring positions, whose vectors have one class each, or one position of at least [`MIN_CLASSES_OF_ROW`] classes that are last,
//! whose vectors have 16 classes each. For each tile of a unit:
//!
//! 1. labels, masks and weights are read ([`Call::positions`]);
//! 2. passes over the scores give the softmax ([`Normalize`]): the largest score, then e^z, Σ e^z and that sum without the largest
//!    class. They go by blocks of 64 vectors: a tile of one block is read once, a longer one is read and computed again in each pass;
//! 3. values and slopes follow, at the labels ([`AtLabels`]) or over a distribution ([`OverDistribution`]);
//! 4. a last pass writes the gradients, each block after it was read for the last time, since `dx` may be `x`;
//! 5. the values are weighed, stored and summed ([`Call::finish`]).
//!
//! Sums over classes add up by groups of 8 vectors, groups by blocks, and blocks in double precision ([`Sum`]). The values of a tile are
//! one vector, whose lanes fold; tiles and units add up in double precision.
//!
//! A tile goes to [`double`] as a whole where [`Watch`] says that single precision loses something: before its sums are known, where a
//! factor lifts what is below the normal numbers, and after them, where a class is so certain that the value is too small.

use super::double::{self, Watch};
use super::{Args, Extra, Kind, Scale, Softmax};
use crate::layout::axis::{Tile, mark, put_values, total};
use crate::layout::positions::NOTHING;
use crate::math::exp::Exp;
use crate::math::log::log1p;
use crate::share::Total;
use crate::simd::{Cells, Chunk, Kernel, LANES, Lanes, Level, Map, Room, Simd, cells, step};
use core::ops::Range;

/// Rows of at least so many scores are a tile of their own: gathering 16 of them costs more than their sums.
pub(super) const MIN_CLASSES_OF_ROW: usize = 64;

/// Vectors of a tile that are in memory of its own at a time: a block. A tile that is one block stays there from pass to pass, so
/// that a score is read once where planes are apart by a power of two, which puts all classes of a position into the same few
/// lines of the first-level cache. Of a longer one each pass reads and computes every block again.
pub(in crate::family) const KEPT: usize = 64;

/// Vectors whose sum is made first: of 64 that are added one after the other each addition rounds the sum of all before it.
pub(super) const GROUP: usize = 8;

/// The blocks of so many steps.
#[inline(always)]
pub(in crate::family) fn blocks(steps: usize) -> impl Iterator<Item = Range<usize>> {
    let first = (0..steps).step_by(KEPT);
    first.map(move |first| first..steps.min(first + KEPT))
}

/// A sum over the blocks of a tile, with double precision across them.
#[derive(Clone, Copy)]
pub(super) struct Sum<S: Simd> {
    /// Of a block alone.
    last: S::F32,
    blocks: usize,
    total: [f64; LANES],
}

impl<S: Simd> Sum<S> {
    #[inline(always)]
    pub(super) fn new(s: S) -> Self {
        Self {
            last: s.splat(0.0),
            blocks: 0,
            total: [0.0; LANES],
        }
    }

    #[inline(always)]
    pub(super) fn add(&mut self, s: S, block: S::F32) {
        if self.blocks > 0 {
            flush(&mut self.total, &s.to_array(self.last));
        }
        self.last = block;
        self.blocks += 1;
    }

    /// In each lane that of its position.
    #[inline(always)]
    pub(super) fn get(mut self, s: S, tile: Tile) -> S::F32 {
        if self.blocks > 1 {
            flush(&mut self.total, &s.to_array(self.last));
            self.last = s.vector(narrow(&self.total));
        }
        tile.sum(s, self.last)
    }
}

#[inline(never)]
fn flush(total: &mut [f64; LANES], block: &[f32; LANES]) {
    for (total, block) in total.iter_mut().zip(block) {
        *total += f64::from(*block);
    }
}

#[inline(never)]
fn narrow(total: &[f64; LANES]) -> [f32; LANES] {
    total.map(|total| total as f32)
}

pub(super) fn run(level: Level, loss: &dyn Formula, args: Args, watch: Watch) -> f64 {
    let extra = args.extra.copied().unwrap_or(Extra {
        inner: 1,
        target: None,
        sample_weight: None,
        dt: None,
        accumulate: false,
    });
    let call = Call {
        level,
        loss,
        args,
        extra,
        watch,
        scale: Scale::new(args.temperature),
        inverse_temperature: 1.0 / f64::from(args.temperature),
        scaled: args.scale / f64::from(args.temperature),
        keep: 1.0 - args.label_smoothing,
        spread: args.label_smoothing / args.classes as f32,
    };
    if extra.target.is_some() || args.label_smoothing > 0.0 {
        walk(level, args, OverDistribution(call))
    } else {
        walk(level, args, AtLabels(call))
    }
}

/// What is done with the tiles of a call, with `N` arrays of scratch for its first block.
pub(super) trait EachTile<const N: usize>: Copy {
    /// Value and gradients; the sum of the values. Must be `#[inline(always)]`.
    fn tile<S: Simd>(&self, s: S, tile: Tile, scratch: [&[Chunk]; N]) -> f64;
}

/// All positions, by rows or 16 at a time; the sum of their values.
pub(super) fn walk<const N: usize, E: EachTile<N>>(level: Level, args: Args, each: E) -> f64 {
    level.run(Walk(args, each))
}

/// A tile is a row or, if not, as many neighbouring positions as a vector has lanes.
struct Walk<'a, E, const N: usize>(Args<'a>, E);

impl<E: EachTile<N>, const N: usize> Kernel for Walk<'_, E, N> {
    type Out = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let Self(args, each) = self;
        let axis = args.axis();
        let by_row = axis.last && axis.classes >= MIN_CLASSES_OF_ROW;
        let mut memory = memory();
        let steps = if by_row {
            args.classes.div_ceil(LANES)
        } else {
            args.classes
        };
        let scratch = kept(&mut memory, steps);
        let mut total = Total::new(args.share, args.sum);
        for block in args.blocks() {
            let mut sum = 0.0;
            let mut i = block.first;
            while i < block.end {
                let tile = if by_row {
                    Tile::row(i, args.classes)
                } else {
                    axis.tile(block.sample, i, block.end)
                };
                sum += each.tile(s, tile, scratch);
                i += tile.count();
            }
            total.add(sum);
        }
        total.get()
    }
}

/// Room for the first vectors of a tile, in `N` arrays.
#[inline(always)]
pub(in crate::family) fn memory<const N: usize>() -> [Room<KEPT>; N] {
    [const { Room::new() }; N]
}

/// Those that a tile of so many has.
#[inline(always)]
pub(in crate::family) fn kept<const N: usize>(
    memory: &mut [Room<KEPT>; N],
    steps: usize,
) -> [&[Chunk]; N] {
    memory.each_mut().map(|room| room.zeros(KEPT.min(steps)))
}

/// The numbers that are the same for all tiles.
#[derive(Clone, Copy)]
struct Call<'a> {
    level: Level,
    loss: &'a dyn Formula,
    args: Args<'a>,
    extra: Extra<'a>,
    watch: Watch,
    scale: Scale,
    inverse_temperature: f64,
    /// The factor of the gradient over T.
    scaled: f64,
    /// 1 − ε
    keep: f32,
    /// ε/C
    spread: f32,
}

/// The softmax of a tile, in each lane that of its position.
#[derive(Clone, Copy)]
pub(in crate::family) struct Normal<'a, S: Simd> {
    // No reference: what a call may read stays in memory.
    exponents: Exponents<'a>,
    numbers: &'a [Chunk; 6],
    pub max: S::F32,
    /// Σ e^z
    pub sum: S::F32,
    /// 1/Σ e^z
    pub inverse: S::F32,
    /// Σ e^z without one class of the largest score: it keeps its digits where that class is nearly certain.
    pub rest: S::F32,
    pub log_sum: S::F32,
    /// e^z of the largest class, 1, where no other comes near, so that 1 − p of it is rest/sum; 2, which is that of no class,
    /// elsewhere. There every p is at most ½, and 1 − p loses nothing.
    pub alone: S::F32,
}

/// Memory for what [`Normal`] has: max, sum, its inverse, rest, log_sum and alone.
pub(in crate::family) struct Numbers([[f32; LANES]; 6]);

impl Numbers {
    #[inline(always)]
    pub(in crate::family) fn new() -> Self {
        Self([[0.0; LANES]; 6])
    }

    #[inline(always)]
    fn chunks(&mut self) -> &[Chunk; 6] {
        let chunks = cells(self.0.as_flattened_mut()).as_chunks().0;
        chunks.first_chunk().unwrap()
    }
}

impl<'a, S: Simd> Normal<'a, S> {
    /// A NaN, a +∞ or a position of −∞ alone gives NaN.
    #[inline(always)]
    pub(in crate::family) fn new(s: S, exponents: Exponents<'a>, numbers: &'a mut Numbers) -> Self {
        let numbers = numbers.chunks();
        step(s, Normalize(exponents, numbers));
        Self {
            exponents,
            numbers,
            max: s.load(&numbers[0]),
            sum: s.load(&numbers[1]),
            inverse: s.load(&numbers[2]),
            rest: s.load(&numbers[3]),
            log_sum: s.load(&numbers[4]),
            alone: s.load(&numbers[5]),
        }
    }

    /// h and e^z of a block: the caller may write over them where it does not ask for the block again.
    #[inline(always)]
    pub(in crate::family) fn block(&self, s: S, block: Range<usize>) -> [&'a [Chunk]; 2] {
        self.exponents.block(s, &self.numbers[0], block)
    }

    /// [ln p, p, 1 − p] of a class from its h and e^z.
    #[inline(always)]
    pub(in crate::family) fn odds(&self, s: S, h: S::F32, e: S::F32) -> [S::F32; 3] {
        let numbers = [self.inverse, self.rest, self.log_sum, self.alone];
        odds(s, self.exponents.scale.sharp, numbers, h, e)
    }

    /// The same for [`Formula::fill`].
    #[inline(always)]
    pub(in crate::family) fn classwise<'b>(
        &'b self,
        h: &'b [Chunk],
        e: &'b [Chunk],
    ) -> Classwise<'b> {
        Classwise {
            sharp: self.exponents.scale.sharp,
            numbers: self.numbers,
            h,
            e,
        }
    }

    /// Σ t·(ln Σ e^z − z) from Σ t and Σ t·h: both terms have one sign, and z itself may be too large for a number.
    #[inline(always)]
    pub(in crate::family) fn linear(&self, s: S, t: S::F32, t_h: S::F32) -> S::F32 {
        let below = s.mul(t_h, s.splat(self.exponents.scale.sharp));
        s.sub(s.mul(t, self.log_sum), below)
    }
}

/// [ln p, p, 1 − p] of a class from what [`Normal`] has of its position.
#[inline(always)]
fn odds<S: Simd>(
    s: S,
    sharp: f32,
    [inverse, rest, log_sum, alone]: [S::F32; 4],
    h: S::F32,
    e: S::F32,
) -> [S::F32; 3] {
    let p = s.mul(e, inverse);
    let q = s.select(s.eq(e, alone), s.mul(rest, inverse), s.sub(s.splat(1.0), p));
    let z = s.mul(h, s.splat(sharp));
    [s.sub(z, log_sum), p, q]
}

/// The exponents of a tile's scores, as [`Scale`] has them, block by block.
#[derive(Clone, Copy)]
pub(in crate::family) struct Exponents<'a> {
    pub tile: Tile,
    pub x: Cells<'a>,
    pub scale: Scale,
    /// h of a block
    pub h: &'a [Chunk],
    /// e^z of a block
    pub e: &'a [Chunk],
}

impl<'a> Exponents<'a> {
    /// The largest score of each position. Leaves the scores of the last block in the place of h.
    #[inline(always)]
    fn max<S: Simd>(&self, s: S) -> S::F32 {
        let mut max = s.splat(f32::NEG_INFINITY);
        for block in blocks(self.tile.steps()) {
            let h = &self.h[..block.len()];
            self.tile.load(s, self.x, block, f32::NEG_INFINITY, h);
            for h in h {
                max = s.max(max, s.load(h));
            }
        }
        self.tile.max(s, max)
    }

    /// Computes a block after [`Self::max`]; its Σ e^z, of all scores and of those below the largest.
    #[inline(always)]
    fn first<S: Simd>(&self, s: S, max: S::F32, block: Range<usize>) -> [S::F32; 2] {
        let (h, e) = (&self.h[..block.len()], &self.e[..block.len()]);
        if self.tile.steps() > KEPT {
            self.tile.load(s, self.x, block, f32::NEG_INFINITY, h);
        }
        exponentials(s, max, self.scale, h, e)
    }

    /// A block after all were computed.
    #[inline(always)]
    fn block<S: Simd>(&self, s: S, max: &Chunk, block: Range<usize>) -> [&'a [Chunk]; 2] {
        let (h, e) = (&self.h[..block.len()], &self.e[..block.len()]);
        if self.tile.steps() > KEPT {
            s.vectorize(Again {
                exponents: *self,
                block,
                max,
            });
        }
        [h, e]
    }
}

/// The first passes over a tile, to the numbers of [`Normal`].
struct Normalize<'a>(Exponents<'a>, &'a [Chunk; 6]);

impl Kernel for Normalize<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self(exponents, to) = self;
        let tile = exponents.tile;
        let max = exponents.max(s);
        let (mut sum, mut rest) = (Sum::new(s), Sum::new(s));
        for block in blocks(tile.steps()) {
            let sums = exponents.first(s, max, block);
            sum.add(s, sums[0]);
            rest.add(s, sums[1]);
        }
        let (sum, rest) = (sum.get(s, tile), rest.get(s, tile));
        // Two classes of the largest score have a sum of 2, and then nothing is lost by taking one of them away again. Where
        // there is one, small terms were rounded each time they met it, but not in the sum without it.
        let (one, two) = (s.splat(1.0), s.splat(2.0));
        let alone = s.lt(sum, two);
        let rest = s.select(alone, rest, s.sub(sum, one));
        let sum = s.select(alone, s.add(one, rest), sum);
        let alone = s.select(alone, one, two);
        s.store(&to[0], max);
        s.store(&to[1], sum);
        s.store(&to[2], s.div(one, sum));
        s.store(&to[3], rest);
        s.store(&to[4], log1p(s, rest));
        s.store(&to[5], alone);
    }
}

/// Reads and computes a block of a long tile again. A function of its own, as that is not what most calls do.
struct Again<'a> {
    exponents: Exponents<'a>,
    block: Range<usize>,
    max: &'a Chunk,
}

impl Kernel for Again<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let max = s.load(self.max);
        self.exponents.first(s, max, self.block);
    }
}

/// From x to h and e^z; the sum of these, and of those below 1.
#[inline(always)]
fn exponentials<S: Simd>(s: S, max: S::F32, scale: Scale, h: &[Chunk], e: &[Chunk]) -> [S::F32; 2] {
    let (half, sharp) = (s.splat(scale.half), s.splat(scale.sharp));
    let minus_max = s.mul(max, s.splat(-scale.half));
    let zero = s.splat(0.0);
    let (mut sum, mut rest) = (zero, zero);
    for (h, e) in h.chunks(GROUP).zip(e.chunks(GROUP)) {
        let (mut of_group, mut rest_of_group) = (zero, zero);
        for (h, e) in h.iter().zip(e) {
            let below = s.mul_add(s.load(h), half, minus_max);
            let [exp] = s.map(Exp, [s.mul(below, sharp)]);
            of_group = s.add(of_group, exp);
            rest_of_group = s.add(rest_of_group, s.zero_where(s.eq(below, zero), exp));
            s.store(h, below);
            s.store(e, exp);
        }
        sum = s.add(sum, of_group);
        rest = s.add(rest, rest_of_group);
    }
    [sum, rest]
}

/// A loss of scores behind a pointer, so that the loops over tiles are compiled once for all of them.
pub(in crate::family) trait Formula {
    /// See [`Softmax::gamma`].
    fn gamma(&self) -> f32;
    /// Whether the loss is −ln p: then nobody asks for values and slopes of classes.
    fn is_linear(&self) -> bool;
    /// Values of some classes in place of their h, and slopes.
    fn fill(&self, level: Level, from: &Classwise, slopes: &[Chunk]);
}

/// What the values of some classes are computed from.
#[derive(Clone, Copy)]
pub(in crate::family) struct Classwise<'a> {
    sharp: f32,
    numbers: &'a [Chunk; 6],
    h: &'a [Chunk],
    e: &'a [Chunk],
}

/// A loss, for [`Formula`] and for [`Simd::map`].
#[derive(Clone, Copy)]
pub(in crate::family) struct Whole<L>(pub L);

impl<L: Softmax> Map<3, 2> for Whole<L> {
    #[inline(always)]
    fn eval<V: Lanes>(self, v: V, odds: [V::F32; 3]) -> [V::F32; 2] {
        let [log_p, _, q] = odds;
        [self.0.value(v, log_p, q), self.0.slope(v, odds)]
    }
}

impl<L: Softmax> Formula for Whole<L> {
    fn gamma(&self) -> f32 {
        self.0.gamma()
    }

    fn is_linear(&self) -> bool {
        L::LINEAR
    }

    fn fill(&self, level: Level, from: &Classwise, slopes: &[Chunk]) {
        if !L::LINEAR {
            level.run(Fill(*self, *from, slopes));
        }
    }
}

struct Fill<'a, L>(Whole<L>, Classwise<'a>, &'a [Chunk]);

impl<L: Softmax> Kernel for Fill<'_, L> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self(loss, from, slopes) = self;
        let [_, _, inverse, rest, log_sum, alone] = from.numbers;
        let common = [inverse, rest, log_sum, alone].map(|number| s.load(number));
        for ((h, e), slope) in from.h.iter().zip(from.e).zip(slopes) {
            let odds = odds(s, from.sharp, common, s.load(h), s.load(e));
            let [value, slope_of_class] = s.map_compact(loss, odds);
            s.store(h, value);
            s.store(slope, slope_of_class);
        }
    }
}

/// `value · weight`, where a weight of 0 makes nothing of ∞. NaN stays NaN.
#[inline(always)]
pub(super) fn weigh<S: Simd>(s: S, value: S::F32, weight: S::F32) -> S::F32 {
    let (zero, product) = (s.splat(0.0), s.mul(value, weight));
    let nothing = s.zero_where(s.eq(value, s.splat(f32::INFINITY)), product);
    s.select(s.eq(weight, zero), nothing, product)
}

/// The factors of the gradients of some positions: upstream gradient times weight times `by`, or `scale` times weight. They are
/// rounded once, as products of two may be below the normal numbers where that of all is not.
#[inline(always)]
pub(super) fn upstreams(
    args: &Args,
    scale: f64,
    by: f64,
    weights: &[f32; LANES],
    first: usize,
    count: usize,
) -> [f32; LANES] {
    let mut factors = [scale; LANES];
    if let Some(upstream) = args.grad_output {
        for (factor, upstream) in factors.iter_mut().zip(&upstream[first..first + count]) {
            *factor = f64::from(upstream.get()) * by;
        }
    }
    core::array::from_fn(|j| (factors[j] * f64::from(weights[j])) as f32)
}

/// What the positions of a tile weigh.
struct Positions<S: Simd> {
    /// Those that count for nothing.
    ignored: S::Mask,
    /// Weight of the value.
    weight: S::F32,
    /// Upstream gradient times weight over T.
    upstream: S::F32,
}

/// The target is one class.
#[derive(Clone, Copy)]
struct AtLabels<'a>(Call<'a>);

impl EachTile<2> for AtLabels<'_> {
    #[inline(always)]
    fn tile<S: Simd>(&self, s: S, tile: Tile, [h, e]: [&[Chunk]; 2]) -> f64 {
        let Self(call) = self;
        if call.is_lost(tile) {
            return call.in_double(tile);
        }
        let (labels, positions) = call.positions(s, tile);
        let exponents = call.exponents(tile, [h, e]);
        let mut numbers = Numbers::new();
        let normal = Normal::new(s, exponents, &mut numbers);
        if call.is_certain(s, positions.ignored, normal.rest) {
            return call.in_double(tile);
        }
        let value = call.at_labels(s, tile, &normal, &positions, &labels);
        call.finish(s, tile, &positions, value)
    }
}

/// The target is any distribution.
#[derive(Clone, Copy)]
struct OverDistribution<'a>(Call<'a>);

impl EachTile<4> for OverDistribution<'_> {
    #[inline(always)]
    fn tile<S: Simd>(&self, s: S, tile: Tile, scratch: [&[Chunk]; 4]) -> f64 {
        let Self(call) = self;
        if call.is_lost(tile) {
            return call.in_double(tile);
        }
        let (labels, positions) = call.positions(s, tile);
        let [h, e, t, slopes] = scratch;
        let exponents = call.exponents(tile, [h, e]);
        let mut numbers = Numbers::new();
        let normal = Normal::new(s, exponents, &mut numbers);
        if call.is_certain(s, positions.ignored, normal.rest) {
            return call.in_double(tile);
        }
        let value = call.over_distribution(s, tile, &normal, &positions, &labels, [t, slopes]);
        call.finish(s, tile, &positions, value)
    }
}

impl<'a> Call<'a> {
    #[inline(always)]
    fn exponents(&self, tile: Tile, [h, e]: [&'a [Chunk]; 2]) -> Exponents<'a> {
        Exponents {
            tile,
            x: self.args.x,
            scale: self.scale,
            h,
            e,
        }
    }

    /// Whether single precision loses some of a tile, before its sums are known.
    #[inline(always)]
    fn is_lost(&self, tile: Tile) -> bool {
        let weighs = self.watch.certain > 0.0 && self.extra.target.is_some();
        (self.watch.lifted || weighs)
            && self.watch.lost(&self.args, tile.position(), tile.count()) != 0
    }

    /// Whether the value of some position is too small for it, from Σ e^z without the largest class.
    #[inline(always)]
    fn is_certain<S: Simd>(&self, s: S, ignored: S::Mask, rest: S::F32) -> bool {
        let rest = s.select(ignored, s.splat(1.0), rest);
        let certain = s.lt(rest, s.splat(self.watch.certain));
        let others = s.zero_where(certain, s.splat(1.0));
        !s.all(s.eq(others, s.splat(1.0)))
            && s.to_array(rest)
                .iter()
                .any(|&rest| self.watch.is_certain(rest))
    }

    /// A tile whose numbers single precision cannot hold.
    #[cold]
    #[inline(never)]
    fn in_double(&self, tile: Tile) -> f64 {
        let gamma = self.loss.gamma();
        double::positions(
            &self.args,
            Kind::Scores,
            gamma,
            tile.position(),
            tile.count(),
        )
    }

    /// Labels and weights of the positions; −1 is no label.
    #[inline(always)]
    fn positions<S: Simd>(&self, s: S, tile: Tile) -> ([i32; LANES], Positions<S>) {
        let (args, first, count) = (&self.args, tile.position(), tile.count());
        let mut labels = [NOTHING; LANES];
        args.marks.classes(first, &mut labels[..count]);
        // Labels were checked; one that another thread changed since must still not reach past its position. Where there is
        // another target they only say what is ignored.
        let any = self.extra.target.is_some();
        let counts = labels.map(|y| {
            let counts = (y != NOTHING) & (any | ((y as usize) < args.classes));
            f32::from(u8::from(counts))
        });
        for (label, counts) in labels.iter_mut().zip(counts) {
            *label = if any || counts == 0.0 { -1 } else { *label };
        }
        let mut weights = [1.0; LANES];
        if let Some(weight) = self.extra.sample_weight {
            weights = s.to_array(weight.load(s, first, count));
        }
        let upstreams = upstreams(
            args,
            self.scaled,
            self.inverse_temperature,
            &weights,
            first,
            count,
        );
        let positions = Positions {
            ignored: s.eq(tile.per_position(s, counts), s.splat(0.0)),
            weight: tile.per_position(s, weights),
            upstream: tile.per_position(s, upstreams),
        };
        (labels, positions)
    }

    /// Weighs the values and writes them; their sum.
    #[inline(always)]
    fn finish<S: Simd>(&self, s: S, tile: Tile, positions: &Positions<S>, value: S::F32) -> f64 {
        let value = s.zero_where(positions.ignored, s.mul(value, positions.weight));
        if let Some(out) = self.args.out {
            put_values(s, tile, out, value);
        }
        total(s, tile, value)
    }

    /// The target is one class.
    #[inline(always)]
    fn at_labels<S: Simd>(
        &self,
        s: S,
        tile: Tile,
        normal: &Normal<S>,
        positions: &Positions<S>,
        labels: &[i32; LANES],
    ) -> S::F32 {
        let args = &self.args;
        let max = s.to_array(normal.max);
        let (mut h_y, mut weights) = ([0.0; LANES], [0.0; LANES]);
        for j in 0..tile.count() {
            if labels[j] >= 0 {
                let y = labels[j] as usize;
                h_y[j] = self.scale.below(args.x[tile.at(j, y)].get(), max[j]);
                weights[j] = args.weight.map_or(1.0, |weight| weight[y].get());
            }
        }
        let weight = tile.per_position(s, weights);
        let h = tile.per_position(s, h_y);
        let nothing = s.eq(weight, s.splat(0.0));
        let (value, slope) = if self.loss.is_linear() {
            let below = s.zero_where(nothing, s.mul(weight, h));
            (normal.linear(s, weight, below), weight)
        } else {
            let [e] = s.map_compact(Exp, [s.mul(h, s.splat(self.scale.sharp))]);
            let mut at_label = [s.to_array(h), s.to_array(e), [0.0; LANES]];
            let at_label = cells(at_label.as_flattened_mut()).as_chunks().0;
            let from = normal.classwise(&at_label[..1], &at_label[1..2]);
            self.loss.fill(self.level, &from, &at_label[2..]);
            let (value, slope) = (s.load(&at_label[0]), s.load(&at_label[2]));
            (weigh(s, value, weight), s.mul(slope, weight))
        };
        if let Some(dx) = args.dx {
            let all = s.mul(slope, positions.upstream);
            let factor = s.mul(all, normal.inverse);
            // Where the label is the largest, p_y − 1 is −rest/sum.
            let largest = s.to_array(s.sub(s.splat(0.0), s.mul(normal.rest, factor)));
            let all = s.to_array(all);
            for block in blocks(tile.steps()) {
                let [_, e] = normal.block(s, block.clone());
                for e in e {
                    let g = s.mul(s.load(e), factor);
                    s.store(e, s.zero_where(positions.ignored, g));
                }
                for j in 0..tile.count() {
                    let slot = tile.slot(j, labels[j].max(0) as usize, block.clone());
                    if labels[j] >= 0
                        && let Some(g) = slot.and_then(|slot| e.as_flattened().get(slot))
                    {
                        // No branch: which class is the largest nothing foresees.
                        let usual = g.get() - all[j];
                        g.set([usual, largest[j]][usize::from(h_y[j] == 0.0)]);
                    }
                }
                tile.store(s, dx, block, e, self.extra.accumulate);
            }
        }
        value
    }

    /// The target is a distribution. With t_c = w_c·q_c and s_c = t_c·slope(ln p_c) the gradient is p_c·Σ s − s_c; at a class
    /// that is nearly certain that is written as the sum of the others' s less (1 − p_c)·Σ s, of which nothing is lost.
    #[inline(always)]
    fn over_distribution<S: Simd>(
        &self,
        s: S,
        tile: Tile,
        normal: &Normal<S>,
        positions: &Positions<S>,
        labels: &[i32; LANES],
        [memory, slopes]: [&[Chunk]; 2],
    ) -> S::F32 {
        let args = &self.args;
        let label = tile.per_position(s, labels.map(mark));
        let (mut value, mut slope, mut others) = (Sum::new(s), Sum::new(s), Sum::new(s));
        for block in blocks(tile.steps()) {
            let t = self.target(s, tile, label, block.clone(), memory);
            let [h, e] = normal.block(s, block);
            let sums = self.of_classes(s, normal, h, e, t, slopes);
            value.add(s, sums[0]);
            slope.add(s, sums[1]);
            others.add(s, sums[2]);
        }
        let slope = slope.get(s, tile);
        let value = value.get(s, tile);
        if args.dx.is_some() || self.extra.dt.is_some() {
            let others = others.get(s, tile);
            let by_target = s.mul(positions.upstream, s.splat(self.keep * args.temperature));
            // The upstream factor without the temperature comes first: z may be too large for a number where this is none.
            let (by_log, by_h) = (
                s.mul(normal.log_sum, by_target),
                s.mul(by_target, s.splat(self.scale.sharp)),
            );
            let all = s.mul(slope, positions.upstream);
            let factor = s.mul(all, normal.inverse);
            // At a class that stands alone.
            let lost = s.mul(normal.rest, factor);
            let alone = s.sub(s.mul(others, positions.upstream), lost);
            for block in blocks(tile.steps()) {
                let [h, e] = normal.block(s, block.clone());
                let t = &memory[..block.len()];
                if tile.steps() > KEPT {
                    self.target(s, tile, label, block.clone(), memory);
                    self.of_classes(s, normal, h, e, t, slopes);
                }
                if let Some(dt) = self.extra.dt {
                    for (h, step) in h.iter().zip(block.clone()) {
                        let weight = tile.per_class(s, args.weight, step);
                        let weighed = s.mul(s.load(h), weight);
                        let g = if self.loss.is_linear() {
                            s.sub(s.mul(by_log, weight), s.mul(weighed, by_h))
                        } else {
                            s.mul(weighed, by_target)
                        };
                        s.store(h, s.zero_where(positions.ignored, g));
                    }
                    tile.store(s, dt, block.clone(), h, false);
                }
                if let Some(dx) = args.dx {
                    for (e, t) in e.iter().zip(t) {
                        let part = s.mul(s.load(t), positions.upstream);
                        let exp = s.load(e);
                        let g = s.sub(s.mul(exp, factor), part);
                        let g = s.select(s.eq(exp, normal.alone), alone, g);
                        s.store(e, s.zero_where(positions.ignored, g));
                    }
                    tile.store(s, dx, block, e, self.extra.accumulate);
                }
            }
        }
        if self.loss.is_linear() {
            normal.linear(s, slope, value)
        } else {
            // A softmax that is none shows, also where no class is asked for.
            s.add(value, s.mul(s.splat(0.0), normal.sum))
        }
    }

    /// Sums over the classes of a block: Σ t·value(ln p) or, of the loss −ln p, Σ t·h; Σ s with s = t·slope(ln p); and Σ s
    /// without a class that stands alone. The values take the place of h, but for −ln p, and s that of t.
    #[inline(always)]
    fn of_classes<S: Simd>(
        &self,
        s: S,
        normal: &Normal<S>,
        h: &[Chunk],
        e: &[Chunk],
        t: &[Chunk],
        slopes: &[Chunk],
    ) -> [S::F32; 3] {
        if self.loss.is_linear() {
            return sums::<S, true>(s, normal, h, e, t, t);
        }
        self.loss.fill(self.level, &normal.classwise(h, e), slopes);
        sums::<S, false>(s, normal, h, e, t, slopes)
    }

    /// w_c·((1 − ε)·q_c + ε/C) of a block.
    #[inline(always)]
    fn target<'m, S: Simd>(
        &self,
        s: S,
        tile: Tile,
        label: S::F32,
        block: Range<usize>,
        memory: &'m [Chunk],
    ) -> &'m [Chunk] {
        let memory = &memory[..block.len()];
        match self.extra.target {
            Some(target) => tile.load(s, target, block.clone(), 0.0, memory),
            None => {
                for (t, step) in memory.iter().zip(block.clone()) {
                    let at_label = s.eq(tile.class(s, step), label);
                    s.store(t, s.select(at_label, s.splat(1.0), s.splat(0.0)));
                }
            }
        }
        if self.spread > 0.0 || self.args.weight.is_some() {
            for (t, step) in memory.iter().zip(block) {
                let q = s.mul_add(s.load(t), s.splat(self.keep), s.splat(self.spread));
                s.store(t, s.mul(q, tile.per_class(s, self.args.weight, step)));
            }
        }
        memory
    }
}

/// The loop of [`Call::of_classes`].
#[inline(always)]
fn sums<S: Simd, const LINEAR: bool>(
    s: S,
    normal: &Normal<S>,
    h: &[Chunk],
    e: &[Chunk],
    t: &[Chunk],
    slopes: &[Chunk],
) -> [S::F32; 3] {
    let zero = s.splat(0.0);
    let (mut values, mut sum, mut others) = (zero, zero, zero);
    let groups = h.chunks(GROUP).zip(e.chunks(GROUP)).zip(t.chunks(GROUP));
    for (((h, e), t), slopes) in groups.zip(slopes.chunks(GROUP)) {
        let mut of_group = [zero; 3];
        for (((h, e), t), by_log) in h.iter().zip(e).zip(t).zip(slopes) {
            let (value, exp, target) = (s.load(h), s.load(e), s.load(t));
            // 0 · ∞ is 0 here: a class that cannot be and is not asked for costs nothing.
            let none = s.eq(target, zero);
            let mut slope = target;
            if !LINEAR {
                slope = s.zero_where(none, s.mul(target, s.load(by_log)));
                s.store(t, slope);
            }
            of_group[0] = s.add(of_group[0], s.zero_where(none, s.mul(target, value)));
            of_group[1] = s.add(of_group[1], slope);
            let other = s.zero_where(s.eq(exp, normal.alone), slope);
            of_group[2] = s.add(of_group[2], other);
        }
        values = s.add(values, of_group[0]);
        sum = s.add(sum, of_group[1]);
        others = s.add(others, of_group[2]);
    }
    [values, sum, others]
}
