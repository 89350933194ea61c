//! Where the scores of a position lie: next to each other, or a plane apart. Kernels walk them in tiles, and are written
//! once for both ways of putting a tile into vectors.

use crate::share::Share;
use crate::simd::{Cells, LANES, Simd};

/// Element of position i of a sample for class c: `(sample·positions + i)·classes + c` where the classes are last, else
/// `(sample·classes + c)·positions + i`.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    /// Scores of a position.
    pub classes: usize,
    /// Positions of a sample.
    pub positions: usize,
    /// Whether the classes of a position are neighbours.
    pub last: bool,
}

impl Axis {
    /// Blocks of `size` positions in all samples.
    pub(super) fn units(self, samples: usize, size: usize) -> usize {
        samples * self.positions.div_ceil(size)
    }

    /// Those of a share.
    #[inline(always)]
    pub(super) fn blocks(
        self,
        samples: usize,
        size: usize,
        share: Share,
    ) -> impl Iterator<Item = Block> {
        let per_sample = self.positions.div_ceil(size);
        (share.first..share.end.min(samples * per_sample)).map(move |unit| {
            let first = unit % per_sample * size;
            Block {
                sample: unit / per_sample,
                first,
                end: self.positions.min(first + size),
            }
        })
    }

    /// The tiles of a block.
    #[inline(always)]
    pub(super) fn tiles(self, block: Block) -> impl Iterator<Item = LaneTile> {
        (block.first..block.end)
            .step_by(LANES)
            .map(move |i| self.tile(block.sample, i, block.end))
    }

    /// The tile of at most 16 positions of a sample from `i`, none of which is behind `end`.
    #[inline(always)]
    pub(super) fn tile(self, sample: usize, i: usize, end: usize) -> LaneTile {
        let Self {
            classes,
            positions,
            last,
        } = self;
        let position = sample * positions + i;
        LaneTile {
            position,
            count: LANES.min(end - i),
            base: if last {
                position * classes
            } else {
                sample * classes * positions + i
            },
            lane: if last { classes } else { 1 },
            class: if last { 1 } else { positions },
            classes,
        }
    }
}

/// Some neighbouring positions of a sample.
#[derive(Clone, Copy)]
pub(super) struct Block {
    pub sample: usize,
    pub first: usize,
    pub end: usize,
}

/// Some positions with all their classes, as a number of vectors.
pub(super) trait Tile: Copy {
    /// First position.
    fn position(self) -> usize;
    /// Number of positions.
    fn count(self) -> usize;
    /// Vectors that the tile takes.
    fn steps(self) -> usize;
    /// Index of a class of the tile's position number `lane`.
    fn at(self, lane: usize, class: usize) -> usize;
    /// Vector number `step` of an array like the scores; `fill` in lanes that are no score.
    fn load<S: Simd>(self, s: S, from: Cells, step: usize, fill: f32) -> S::F32;
    /// The reverse of `load`.
    fn store<S: Simd>(self, s: S, to: Cells, step: usize, v: S::F32);
    /// Sum over the classes of what was added up over the steps: in each lane that of its position.
    fn sum<S: Simd>(self, s: S, v: S::F32) -> S::F32;
    /// The largest, likewise.
    fn max<S: Simd>(self, s: S, v: S::F32) -> S::F32;
    /// One value per class for the lanes of a step: 1 where there are none, 0 in lanes that are no score.
    fn per_class<S: Simd>(self, s: S, values: Option<Cells>, step: usize) -> S::F32;
    /// Numbers of the classes in the lanes of a step.
    fn class<S: Simd>(self, s: S, step: usize) -> S::F32;
    /// One value per position, in the lanes of that position.
    fn per_position<S: Simd>(self, s: S, values: [f32; LANES]) -> S::F32;
}

/// Lanes are positions, steps are classes.
#[derive(Clone, Copy)]
pub(super) struct LaneTile {
    position: usize,
    count: usize,
    base: usize,
    /// Distance of neighbouring positions.
    lane: usize,
    /// Distance of neighbouring classes.
    class: usize,
    classes: usize,
}

impl Tile for LaneTile {
    #[inline(always)]
    fn position(self) -> usize {
        self.position
    }
    #[inline(always)]
    fn count(self) -> usize {
        self.count
    }
    #[inline(always)]
    fn steps(self) -> usize {
        self.classes
    }
    #[inline(always)]
    fn at(self, lane: usize, class: usize) -> usize {
        self.base + lane * self.lane + class * self.class
    }
    #[inline(always)]
    fn load<S: Simd>(self, s: S, from: Cells, step: usize, fill: f32) -> S::F32 {
        let first = self.base + step * self.class;
        match from[first..].first_chunk() {
            Some(chunk) if self.lane == 1 && self.count == LANES => s.load(chunk),
            _ => s.vector(gather(&from[first..], self.lane, self.count, fill)),
        }
    }
    #[inline(always)]
    fn store<S: Simd>(self, s: S, to: Cells, step: usize, v: S::F32) {
        let first = self.base + step * self.class;
        match to[first..].first_chunk() {
            Some(chunk) if self.lane == 1 && self.count == LANES => s.store(chunk, v),
            _ => scatter(&to[first..], self.lane, self.count, &s.to_array(v)),
        }
    }
    #[inline(always)]
    fn sum<S: Simd>(self, _: S, v: S::F32) -> S::F32 {
        v
    }
    #[inline(always)]
    fn max<S: Simd>(self, _: S, v: S::F32) -> S::F32 {
        v
    }
    #[inline(always)]
    fn per_class<S: Simd>(self, s: S, values: Option<Cells>, step: usize) -> S::F32 {
        s.splat(values.map_or(1.0, |values| values[step].get()))
    }
    #[inline(always)]
    fn class<S: Simd>(self, s: S, step: usize) -> S::F32 {
        s.splat(step as f32)
    }
    #[inline(always)]
    fn per_position<S: Simd>(self, s: S, values: [f32; LANES]) -> S::F32 {
        s.vector(values)
    }
}

/// `count` elements at a distance of `step`, and `fill` in the lanes behind them. Out of line: a tile has many places that
/// load, and copies of this in each make kernels that take minutes to compile.
#[inline(never)]
fn gather(from: Cells, step: usize, count: usize, fill: f32) -> [f32; LANES] {
    let mut lanes = [fill; LANES];
    if count == LANES {
        // A loop of a fixed length becomes sixteen loads.
        let from = &from[..(LANES - 1) * step + 1];
        for (j, lane) in lanes.iter_mut().enumerate() {
            *lane = from[j * step].get();
        }
        return lanes;
    }
    for (lane, from) in lanes[..count].iter_mut().zip(from.iter().step_by(step)) {
        *lane = from.get();
    }
    lanes
}

/// The reverse.
#[inline(never)]
fn scatter(to: Cells, step: usize, count: usize, lanes: &[f32; LANES]) {
    if count == LANES {
        let to = &to[..(LANES - 1) * step + 1];
        for (j, lane) in lanes.iter().enumerate() {
            to[j * step].set(*lane);
        }
        return;
    }
    for (lane, to) in lanes[..count].iter().zip(to.iter().step_by(step)) {
        to.set(*lane);
    }
}

/// One position whose classes are neighbours: lanes are classes.
#[derive(Clone, Copy)]
pub(super) struct RowTile {
    pub position: usize,
    pub classes: usize,
}

impl RowTile {
    #[inline(always)]
    fn run(self, array: Cells, step: usize) -> Cells {
        let row = &array[self.position * self.classes..(self.position + 1) * self.classes];
        &row[step * LANES..self.classes.min((step + 1) * LANES)]
    }
}

impl Tile for RowTile {
    #[inline(always)]
    fn position(self) -> usize {
        self.position
    }
    #[inline(always)]
    fn count(self) -> usize {
        1
    }
    #[inline(always)]
    fn steps(self) -> usize {
        self.classes.div_ceil(LANES)
    }
    #[inline(always)]
    fn at(self, _: usize, class: usize) -> usize {
        self.position * self.classes + class
    }
    #[inline(always)]
    fn load<S: Simd>(self, s: S, from: Cells, step: usize, fill: f32) -> S::F32 {
        let run = self.run(from, step);
        match run.first_chunk() {
            Some(chunk) => s.load(chunk),
            None => s.vector(gather(run, 1, run.len(), fill)),
        }
    }
    #[inline(always)]
    fn store<S: Simd>(self, s: S, to: Cells, step: usize, v: S::F32) {
        let run = self.run(to, step);
        match run.first_chunk() {
            Some(chunk) => s.store(chunk, v),
            None => scatter(run, 1, run.len(), &s.to_array(v)),
        }
    }
    #[inline(always)]
    fn sum<S: Simd>(self, s: S, v: S::F32) -> S::F32 {
        s.splat(s.sum(v))
    }
    #[inline(always)]
    fn max<S: Simd>(self, s: S, v: S::F32) -> S::F32 {
        s.splat(s.max_lane(v))
    }
    #[inline(always)]
    fn per_class<S: Simd>(self, s: S, values: Option<Cells>, step: usize) -> S::F32 {
        let first = step * LANES;
        let count = LANES.min(self.classes - first);
        match values {
            Some(values) => s.load_head(&values[first..first + count], 0.0),
            None => s.head(s.splat(1.0), count),
        }
    }
    #[inline(always)]
    fn class<S: Simd>(self, s: S, step: usize) -> S::F32 {
        s.add(s.iota(), s.splat((step * LANES) as f32))
    }
    #[inline(always)]
    fn per_position<S: Simd>(self, s: S, values: [f32; LANES]) -> S::F32 {
        s.splat(values[0])
    }
}

/// Sum of the positions' values of a tile.
#[inline(always)]
pub(super) fn total<S: Simd, T: Tile>(s: S, tile: T, values: S::F32) -> f64 {
    f64::from(s.sum(s.head(values, tile.count())))
}

/// Writes one value per position.
#[inline(always)]
pub(super) fn put<S: Simd, T: Tile>(s: S, tile: T, to: Cells, values: S::F32) {
    let first = tile.position();
    s.store_head(&to[first..first + tile.count()], values);
}
