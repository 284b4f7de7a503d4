//! Numbers that look like chance, and are the same in every run.

/// A small generator of well-mixed numbers (Steele, Lea, Flood 2014).
#[derive(Debug, Clone)]
pub struct SplitMix(pub u64);

impl SplitMix {
    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of so many numbers, from 0.
    pub fn below(&mut self, numbers: usize) -> usize {
        usize::try_from(self.next() % numbers.max(1) as u64).unwrap_or(0)
    }

    /// One of these, the first ones more often than the last ones, as words are in any language.
    pub fn skewed<'a>(&mut self, of: &[&'a str]) -> &'a str {
        let most = self.below(of.len()) + 1;
        of.get(self.below(most)).copied().unwrap_or_default()
    }
}
