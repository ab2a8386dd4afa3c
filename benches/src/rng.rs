//! The random numbers of all workloads: wyrand, one multiplication per draw.
//!
//! It is cheap enough to run inside a timed loop (about a nanosecond, the same for every
//! allocator), and a seed gives the same sequence of sizes and slots to each of them.

/// A stream of 64-bit numbers.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
}

/// The odd constants of wyrand: the step of the state, and the number that is mixed into it.
const STEP: u64 = 0xa076_1d64_78bd_642f;
const MIX: u64 = 0xe703_7ed1_a0b4_28db;

impl Rng {
    /// The stream number `stream` (a thread, usually) of the experiment with this seed.
    pub fn new(seed: u64, stream: u32) -> Self {
        let mut root = Self { state: seed };
        let base = root.draw();
        let mut rng = Self { state: base ^ u64::from(stream).wrapping_mul(MIX) };
        // The first outputs of near-by states resemble each other.
        rng.draw();
        rng
    }

    /// The next 64 bits.
    #[inline(always)]
    pub fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        let product = u128::from(self.state) * u128::from(self.state ^ MIX);
        (product >> 64) as u64 ^ product as u64
    }

    /// A number below `bound`.
    #[inline(always)]
    pub fn below(&mut self, bound: u32) -> u32 {
        scale((self.draw() >> 32) as u32, bound)
    }

    /// Puts `items` in random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end as u32 + 1) as usize);
        }
    }
}

/// Maps 32 random bits to `0..bound` with a multiplication instead of a division.
#[inline(always)]
pub fn scale(bits: u32, bound: u32) -> u32 {
    ((u64::from(bits) * u64::from(bound)) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_gives_same_stream_and_streams_differ() {
        let take = |seed, stream| {
            let mut rng = Rng::new(seed, stream);
            [rng.draw(), rng.draw(), rng.draw()]
        };
        assert_eq!(take(7, 0), take(7, 0));
        assert_ne!(take(7, 0), take(7, 1));
        assert_ne!(take(7, 0), take(8, 0));
    }

    #[test]
    fn below_stays_below_and_reaches_every_value() {
        let mut rng = Rng::new(1, 0);
        let mut seen = [0_u32; 10];
        for _ in 0..10_000 {
            seen[rng.below(10) as usize] += 1;
        }
        assert!(seen.iter().all(|&count| (800..1200).contains(&count)), "{seen:?}");
    }

    #[test]
    fn shuffle_keeps_every_item() {
        let mut items: Vec<u32> = (0..100).collect();
        Rng::new(3, 0).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
