//! Where the scores of a position lie: next to each other, or a plane apart. Kernels walk them in tiles, and are written and compiled
//! once for both ways of putting a tile into vectors.
//!
//! [`Axis::blocks`] cuts a call into units of neighbouring positions of a sample, and [`Axis::tiles`] a unit into tiles. A [`Tile`] moves
//! its scores between the array and vectors:
//!
//! - positions that are neighbours in memory are vectors as they lie, one for each class;
//! - a single position whose classes are neighbours is a run of vectors, of which the last may be shorter ([`LoadRow`], [`StoreRow`]);
//! - positions that are rows are transposed by squares, and what is neither is read element by element ([`gather`], [`scatter`]).
//!
//! Lanes that are no score are filled on the way in, and left out on the way out. Nothing is computed here but for gradients that are added
//! to what is there.

use crate::share::Share;
use crate::simd::{Cells, Chunk, Kernel, LANES, SIDE, Simd, Transposed, cells, step};
use core::ops::Range;

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
    pub(crate) fn units(self, samples: usize, size: usize) -> usize {
        samples * self.positions.div_ceil(size)
    }

    /// Those of a share.
    #[inline(always)]
    pub(crate) fn blocks(
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
    pub(crate) fn tiles(self, block: Block) -> impl Iterator<Item = Tile> {
        (block.first..block.end)
            .step_by(LANES)
            .map(move |i| self.tile(block.sample, i, block.end))
    }

    /// The tile of at most 16 positions of a sample from `i`, none of which is behind `end`.
    #[inline(always)]
    pub(crate) fn tile(self, sample: usize, i: usize, end: usize) -> Tile {
        let Self {
            classes,
            positions,
            last,
        } = self;
        let position = sample * positions + i;
        Tile {
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
            by_row: false,
        }
    }
}

/// Some neighbouring positions of a sample.
#[derive(Clone, Copy)]
pub(crate) struct Block {
    pub sample: usize,
    pub first: usize,
    pub end: usize,
}

/// A class as a float that is equal for the same class alone, where its number would be rounded from 2²⁴ on: the bits are the
/// number, moved past those of the subnormals. −1 is no class, and its bits those of no normal number.
#[inline(always)]
pub(crate) fn mark(class: i32) -> f32 {
    const FIRST: u32 = f32::MIN_POSITIVE.to_bits();
    f32::from_bits((class as u32).wrapping_add(FIRST))
}

/// Some positions with all their classes, as a number of vectors: neighbouring positions of a sample, whose vectors have one class
/// each, or one position whose classes are neighbours, of which each vector has 16.
///
/// Which of both it is says a number and no type: the branches go the same way for all tiles of a call, and the loops over tiles
/// are the largest functions of all.
#[derive(Clone, Copy)]
pub(crate) struct Tile {
    position: usize,
    count: usize,
    base: usize,
    /// Distance of neighbouring positions.
    lane: usize,
    /// Distance of neighbouring classes.
    class: usize,
    classes: usize,
    /// Whether lanes are classes.
    by_row: bool,
}

impl Tile {
    /// One position whose classes are neighbours.
    #[inline(always)]
    pub(crate) fn row(position: usize, classes: usize) -> Self {
        Self {
            position,
            count: 1,
            base: position * classes,
            lane: classes,
            class: 1,
            classes,
            by_row: true,
        }
    }
    /// First position.
    #[inline(always)]
    pub(crate) fn position(self) -> usize {
        self.position
    }
    /// Number of positions.
    #[inline(always)]
    pub(crate) fn count(self) -> usize {
        self.count
    }
    /// Vectors that the tile takes.
    #[inline(always)]
    pub(crate) fn steps(self) -> usize {
        if self.by_row {
            self.classes.div_ceil(LANES)
        } else {
            self.classes
        }
    }
    /// Index of a class of the tile's position number `lane`.
    #[inline(always)]
    pub(crate) fn at(self, lane: usize, class: usize) -> usize {
        self.base + lane * self.lane + class * self.class
    }
    /// Copies the vectors `steps` of an array like the scores into as many; `fill` goes into lanes that are no score.
    #[inline(always)]
    pub(crate) fn load<S: Simd>(
        self,
        s: S,
        from: Cells,
        steps: Range<usize>,
        fill: f32,
        into: &[Chunk],
    ) {
        if self.is_run() {
            for (class, into) in steps.zip(into) {
                s.store(into, s.load(self.chunk(from, class)));
            }
            return;
        }
        if self.by_row {
            let row = self.run(from, steps);
            step(s, LoadRow { row, fill, into });
        } else {
            gather(s, &from[self.at(0, steps.start)..], self, fill, into);
        }
    }
    /// The reverse, or added to what is there.
    #[inline(always)]
    pub(crate) fn store<S: Simd>(
        self,
        s: S,
        to: Cells,
        steps: Range<usize>,
        from: &[Chunk],
        add: bool,
    ) {
        if self.is_run() {
            for (class, from) in steps.zip(from) {
                put(s, self.chunk(to, class), from, add);
            }
            return;
        }
        if self.by_row {
            let row = self.run(to, steps);
            step(s, StoreRow { row, from, add });
        } else {
            scatter(s, &to[self.at(0, steps.start)..], self, from, add);
        }
    }
    /// Sum over the classes of what was added up over the steps: in each lane that of its position.
    #[inline(always)]
    pub(crate) fn sum<S: Simd>(self, s: S, v: S::F32) -> S::F32 {
        if self.by_row { s.splat(s.sum(v)) } else { v }
    }
    /// The largest, likewise.
    #[inline(always)]
    pub(crate) fn max<S: Simd>(self, s: S, v: S::F32) -> S::F32 {
        if self.by_row {
            s.splat(s.max_lane(v))
        } else {
            v
        }
    }
    /// One value per class for the lanes of a step: 1 where there are none, 0 in lanes that are no score.
    #[inline(always)]
    pub(crate) fn per_class<S: Simd>(self, s: S, values: Option<Cells>, step: usize) -> S::F32 {
        if !self.by_row {
            return s.splat(values.map_or(1.0, |values| values[step].get()));
        }
        let first = step * LANES;
        let count = LANES.min(self.classes - first);
        match values {
            Some(values) => s.load_head(&values[first..first + count], 0.0),
            None => s.head(s.splat(1.0), count),
        }
    }
    /// Where the vectors of `steps` have the score of a class of position number `lane`, if they do.
    #[inline(always)]
    pub(crate) fn slot(self, lane: usize, class: usize, steps: Range<usize>) -> Option<usize> {
        // Without a branch, which would be taken for each lane. The position of a row is number 0.
        let (per_step, width) = if self.by_row { (LANES, 1) } else { (1, LANES) };
        Some(class.checked_sub(steps.start * per_step)? * width + lane)
    }
    /// The classes in the lanes of a step, see [`mark`].
    #[inline(always)]
    pub(crate) fn class<S: Simd>(self, s: S, step: usize) -> S::F32 {
        if self.by_row {
            s.vector(core::array::from_fn(|j| mark((step * LANES + j) as i32)))
        } else {
            s.splat(mark(step as i32))
        }
    }
    /// One value per position, in the lanes of that position.
    #[inline(always)]
    pub(crate) fn per_position<S: Simd>(self, s: S, values: [f32; LANES]) -> S::F32 {
        if self.by_row {
            s.splat(values[0])
        } else {
            s.vector(values)
        }
    }
    /// Whether the scores of a class are a whole vector of neighbours.
    #[inline(always)]
    fn is_run(self) -> bool {
        self.lane == 1 && self.count == LANES
    }
    /// The scores of one class at neighbouring positions; `fill` in lanes that are no score.
    #[inline(always)]
    pub(crate) fn load_class<S: Simd>(self, s: S, from: Cells, class: usize, fill: f32) -> S::F32 {
        let from = &from[self.base + class * self.class..];
        match from.first_chunk() {
            Some(chunk) if self.is_run() => s.load(chunk),
            _ => {
                let mut lanes = [0.0; LANES];
                gather(s, from, self, fill, cells(&mut lanes).as_chunks().0);
                s.vector(lanes)
            }
        }
    }
    /// The reverse.
    #[inline(always)]
    pub(crate) fn store_class<S: Simd>(self, s: S, to: Cells, class: usize, v: S::F32) {
        let to = &to[self.base + class * self.class..];
        match to.first_chunk() {
            Some(chunk) if self.is_run() => s.store(chunk, v),
            _ => {
                let mut lanes = s.to_array(v);
                scatter(s, to, self, cells(&mut lanes).as_chunks().0, false);
            }
        }
    }
    /// Where the vectors are all the scores of positions that are rows.
    fn transposed<'a>(self, rows: Cells<'a>, columns: &'a [Chunk]) -> Option<Transposed<'a>> {
        let width = columns.len();
        let whole = self.class == 1 && self.lane == width && width >= SIDE;
        whole.then_some(Transposed {
            rows,
            width,
            columns: columns.as_flattened(),
        })
    }
    /// The scores of some steps, where lanes are classes.
    #[inline(always)]
    fn run(self, array: Cells, steps: Range<usize>) -> Cells {
        let row = &array[self.base..self.base + self.classes];
        &row[steps.start * LANES..self.classes.min(steps.end * LANES)]
    }
    /// The scores of a class that are a whole vector of neighbours.
    #[inline(always)]
    fn chunk<'a>(self, array: Cells<'a>, class: usize) -> &'a Chunk {
        let first = self.base + class * self.class;
        let (chunks, _) = array[first..first + LANES].as_chunks();
        &chunks[0]
    }
}

/// [`Tile::load`] where lanes are classes.
struct LoadRow<'a> {
    row: Cells<'a>,
    fill: f32,
    into: &'a [Chunk],
}

impl Kernel for LoadRow<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (chunks, tail) = self.row.as_chunks();
        for (into, chunk) in self.into.iter().zip(chunks) {
            s.store(into, s.load(chunk));
        }
        if let Some(into) = self.into.get(chunks.len()) {
            s.store(into, s.load_head(tail, self.fill));
        }
    }
}

#[inline(always)]
fn put<S: Simd>(s: S, to: &Chunk, from: &Chunk, add: bool) {
    let mut v = s.load(from);
    if add {
        v = s.add(s.load(to), v);
    }
    s.store(to, v);
}

/// [`Tile::store`], likewise.
struct StoreRow<'a> {
    row: Cells<'a>,
    from: &'a [Chunk],
    add: bool,
}

impl Kernel for StoreRow<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { row, from, add } = self;
        let (chunks, tail) = row.as_chunks();
        for (to, from) in chunks.iter().zip(from) {
            put(s, to, from, add);
        }
        if let Some(from) = from.get(chunks.len()) {
            let mut v = s.load(from);
            if add {
                v = s.add(s.load_head(tail, 0.0), v);
            }
            s.store_head(tail, v);
        }
    }
}

/// Copies whole rows to columns, or back.
struct Transpose<'a, const TO_ROWS: bool>(Transposed<'a>, usize);

impl<const TO_ROWS: bool> Kernel for Transpose<'_, TO_ROWS> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self(transposed, count) = self;
        if TO_ROWS {
            transposed.to_rows(s, count);
        } else {
            transposed.to_columns(s, count);
        }
    }
}

/// [`Transposed::to_columns`] in one function for all loops.
#[inline(always)]
pub(crate) fn to_columns<S: Simd>(s: S, transposed: Transposed, count: usize) {
    s.vectorize(Transpose::<false>(transposed, count));
}

/// [`Transposed::to_rows`], likewise.
#[inline(always)]
pub(crate) fn to_rows<S: Simd>(s: S, transposed: Transposed, count: usize) {
    s.vectorize(Transpose::<true>(transposed, count));
}

/// The scores of as many classes as `into` has vectors, of which `from` has the first at its start. Out of line: a tile has many
/// places that load, and copies of this in each make kernels that take minutes to compile.
#[inline(never)]
fn gather<S: Simd>(s: S, from: Cells, tile: Tile, fill: f32, into: &[Chunk]) {
    if let Some(transposed) = tile.transposed(from, into) {
        to_columns(s, transposed, tile.count);
        for into in into {
            into[tile.count..].iter().for_each(|into| into.set(fill));
        }
        return;
    }
    for (class, into) in into.iter().enumerate() {
        let from = &from[class * tile.class..];
        if tile.count == LANES {
            // A loop of a fixed length becomes sixteen loads.
            let from = &from[..(LANES - 1) * tile.lane + 1];
            for (j, into) in into.iter().enumerate() {
                into.set(from[j * tile.lane].get());
            }
            continue;
        }
        let (inside, outside) = into.split_at(tile.count);
        for (into, from) in inside.iter().zip(from.iter().step_by(tile.lane)) {
            into.set(from.get());
        }
        outside.iter().for_each(|into| into.set(fill));
    }
}

/// The reverse, or added to what is there.
#[inline(never)]
fn scatter<S: Simd>(s: S, to: Cells, tile: Tile, from: &[Chunk], add: bool) {
    if let Some(transposed) = tile.transposed(to, from).filter(|_| !add) {
        return to_rows(s, transposed, tile.count);
    }
    for (class, from) in from.iter().enumerate() {
        let to = &to[class * tile.class..];
        if tile.count == LANES && !add {
            let to = &to[..(LANES - 1) * tile.lane + 1];
            for (j, from) in from.iter().enumerate() {
                to[j * tile.lane].set(from.get());
            }
            continue;
        }
        for (from, to) in from[..tile.count].iter().zip(to.iter().step_by(tile.lane)) {
            to.set(if add {
                to.get() + from.get()
            } else {
                from.get()
            });
        }
    }
}

/// Sum of the positions' values of a tile.
#[inline(always)]
pub(crate) fn total<S: Simd>(s: S, tile: Tile, values: S::F32) -> f64 {
    f64::from(s.sum(s.head(values, tile.count())))
}

/// Writes one value per position.
#[inline(always)]
pub(crate) fn put_values<S: Simd>(s: S, tile: Tile, to: Cells, values: S::F32) {
    let first = tile.position();
    s.store_head(&to[first..first + tile.count()], values);
}
