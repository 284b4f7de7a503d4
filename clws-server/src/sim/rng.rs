//! A small random number generator with a seed: xorshift64*, seeded through splitmix64.

#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) const fn new(seed: u64) -> Self {
        // Consecutive seeds must give unrelated sequences.
        let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Self((z ^ (z >> 31)) | 1)
    }

    pub(super) const fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number from 0 up to, but not including, `end`, or 0 if `end` is 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.time(end as u64)).unwrap_or(0)
    }

    /// Like [`Self::below`], for nanoseconds.
    pub(super) fn time(&mut self, end: u64) -> u64 {
        let product = u128::from(self.next()) * u128::from(end);
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// A number from `low` to `high`. Each order of magnitude is equally likely.
    pub(super) fn magnitude(&mut self, low: usize, high: usize) -> usize {
        let octaves = usize::BITS - (high / low.max(1)).leading_zeros();
        let low = low << self.below(octaves as usize);
        (low + self.below(low + 1)).min(high)
    }

    /// True with this probability in percent.
    pub(super) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// A random element.
    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

#[test]
fn numbers_repeat_and_stay_in_range() {
    let (mut a, mut b) = (Rng::new(7), Rng::new(7));
    for _ in 0..1000 {
        assert_eq!(a.next(), b.next());
        assert!(a.below(10) < 10);
        assert!((3..=500).contains(&a.magnitude(3, 500)));
        assert_eq!((a.below(0), a.below(1)), (0, 0));
        b = a.clone();
    }
    assert_ne!(Rng::new(1).next(), Rng::new(2).next());
}
