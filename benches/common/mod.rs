//! What the benches share: trees of any size made from the corpora of `data/`, a store that holds
//! such a tree in memory and a database that holds one on disk, what the kernel counts of a process,
//! and the race between cardex and its peers.

pub(crate) mod corpus;
pub(crate) mod database;
pub(crate) mod process;
pub(crate) mod race;
pub(crate) mod store;

/// Whether this is a short run, for machines that only check that the benches still work:
/// everything is still compared for equality, and the times are printed but mean little.
pub(crate) fn small() -> bool {
    std::env::var("CARDEX_BENCH_SCALE").is_ok_and(|scale| scale == "small")
}

/// Numbers without a pattern, the same ones in each run (SplitMix64: Steele, Lea, Flood, 2014).
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) % end as u64) as usize
    }
}
