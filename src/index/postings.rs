//! `Postings`: the ranks of the files that hold one term, in ascending order, which is the order of
//! the answer. A list is a sorted array, or a bitmap once that is the smaller of the two.

use super::bitmap::Bitmap;

/// From this share of a segment's files on, a list is a bitmap: an array takes 32 bits a member,
/// a bitmap one bit a file.
pub(crate) const DENSE_SHARE: u32 = 32;

/// A borrowed posting list.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Postings<'s> {
    Sorted(&'s [u32]),
    Dense { bits: &'s Bitmap, len: u32 },
}

impl<'s> Postings<'s> {
    pub(crate) const EMPTY: Postings<'static> = Postings::Sorted(&[]);

    pub(crate) fn len(self) -> u32 {
        match self {
            Postings::Sorted(ids) => ids.len() as u32,
            Postings::Dense { len, .. } => len,
        }
    }

    pub(crate) fn contains(self, rank: u32) -> bool {
        match self {
            Postings::Sorted(ids) => ids.binary_search(&rank).is_ok(),
            Postings::Dense { bits, .. } => bits.contains(rank),
        }
    }

    pub(crate) fn for_each(self, mut visit: impl FnMut(u32)) {
        match self {
            Postings::Sorted(ids) => ids.iter().for_each(|&rank| visit(rank)),
            Postings::Dense { bits, .. } => bits.iter().for_each(visit),
        }
    }
}

/// Moves `at` forward to the first element of `ids` that is not less than `target`, in time
/// logarithmic in the distance (galloping search: Bentley and Yao, 1976).
pub(crate) fn gallop(ids: &[u32], at: &mut usize, target: u32) {
    let rest = &ids[*at..];
    if rest.first().is_none_or(|&first| first >= target) {
        return;
    }
    let mut reach = 1;
    while reach < rest.len() && rest[reach] < target {
        reach *= 2;
    }
    let low = reach / 2 + 1;
    let high = (reach + 1).min(rest.len());
    *at += low + rest[low.min(high)..high].partition_point(|&id| id < target);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn galloping_equals_a_linear_search(
            mut ids in proptest::collection::vec(0u32..500, 0..80),
            start in 0usize..80,
            target in 0u32..520,
        ) {
            ids.sort_unstable();
            ids.dedup();
            let start = start.min(ids.len());
            let mut at = start;
            gallop(&ids, &mut at, target);
            let linear = (start..ids.len()).find(|&i| ids[i] >= target).unwrap_or(ids.len());
            prop_assert_eq!(at, linear);
        }
    }
}
