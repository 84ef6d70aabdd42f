//! Chance from a seed.

/// Chance that is the same in every run: splitmix64
/// (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Those of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Those of one part of something: independent of those of the parts beside it.
    pub fn of(seed: u64, number: u64, part: &str) -> Self {
        let mut dice = Self(seed);
        for word in std::iter::once(number).chain(part.bytes().map(u64::from)) {
            dice = Self(dice.next() ^ word);
        }
        dice
    }

    /// 64 bits.
    #[expect(clippy::should_implement_trait, reason = "it never ends, and nobody iterates")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `end`; 0 where nothing is.
    pub fn below(&mut self, end: u64) -> u64 {
        // The upper half of the product: https://arxiv.org/abs/1805.10941
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// A number from `first` to `last`, both of them possible.
    pub fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    /// True in so many of a hundred cases.
    pub fn hits(&mut self, hundredths: u64) -> bool {
        self.below(100) < hundredths
    }

    /// From 0 to 1, and never 1.
    pub fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// One of several.
    ///
    /// # Panics
    /// Where there is none.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}
