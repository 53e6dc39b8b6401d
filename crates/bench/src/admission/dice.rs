//! Numbers that look random, cheap enough to draw inside a measurement (about a nanosecond).

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub(crate) struct Dice(u64);

impl Dice {
    /// The same seed gives the same numbers.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`; the bound is far below 2^64, so that its remainders are as good as equally likely.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_below_the_bound_and_reach_all_of_it() {
        let mut dice = Dice::new(1);
        let mut seen = [0; 8];
        (0..800).for_each(|_| seen[dice.below(8) as usize] += 1);
        assert!(seen.iter().all(|&times| (50..150).contains(&times)), "{seen:?}");
    }
}
