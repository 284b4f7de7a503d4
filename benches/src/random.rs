//! Reproducible pseudorandom numbers.

/// The SplitMix64 generator (Steele, Lea, Flood 2014).
#[derive(Debug, Clone)]
pub struct SplitMix(pub u64);

impl SplitMix {
    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "the sequence is infinite")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `numbers - 1`.
    pub fn below(&mut self, numbers: usize) -> usize {
        usize::try_from(self.next() % numbers.max(1) as u64).unwrap_or(0)
    }

    /// Picks an element. Earlier elements are more likely, like frequent words in a language.
    pub fn skewed<'a>(&mut self, of: &[&'a str]) -> &'a str {
        let most = self.below(of.len()) + 1;
        of.get(self.below(most)).copied().unwrap_or_default()
    }
}
