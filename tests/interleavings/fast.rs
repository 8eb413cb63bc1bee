//! The hash tables' seeds, from the model checker: another in each schedule, the same when that
//! schedule is run again. It stands where `foldhash::fast` stands in the crate.

use std::hash::BuildHasher;

use real_foldhash::fast::{FixedState, FoldHasher};
use shuttle::rand::{RngCore, thread_rng};

/// In place of the seeds that `foldhash` draws from the machine.
#[derive(Clone, Debug)]
pub(crate) struct RandomState(FixedState);

impl Default for RandomState {
    fn default() -> Self {
        RandomState(FixedState::with_seed(thread_rng().next_u64()))
    }
}

impl BuildHasher for RandomState {
    type Hasher = FoldHasher<'static>;

    #[inline]
    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}
