//! `Bitmap`: a set of ranks of one segment, a bit each; what a posting list becomes when it is dense.

/// A set of numbers below a length fixed at the start.
#[derive(Clone, Debug)]
pub(crate) struct Bitmap {
    words: Box<[u64]>,
}

impl Bitmap {
    pub(crate) fn new(len: u32) -> Self {
        Bitmap {
            words: vec![0; (len as usize).div_ceil(64)].into(),
        }
    }

    pub(crate) fn insert(&mut self, rank: u32) {
        self.words[rank as usize / 64] |= 1 << (rank % 64);
    }

    pub(crate) fn contains(&self, rank: u32) -> bool {
        self.words[rank as usize / 64] >> (rank % 64) & 1 == 1
    }

    /// The first member at or after `rank`.
    pub(crate) fn next_from(&self, rank: u32) -> Option<u32> {
        let mut at = rank as usize / 64;
        let mut word = *self.words.get(at)? & (!0 << (rank % 64));
        while word == 0 {
            at += 1;
            word = *self.words.get(at)?;
        }
        Some(at as u32 * 64 + word.trailing_zeros())
    }

    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let mut from = 0;
        std::iter::from_fn(move || {
            let rank = self.next_from(from)?;
            from = rank + 1;
            Some(rank)
        })
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_from_member_to_member() {
        let mut bitmap = Bitmap::new(200);
        for rank in [0, 63, 64, 199] {
            bitmap.insert(rank);
        }
        assert_eq!(bitmap.iter().collect::<Vec<_>>(), [0, 63, 64, 199]);
        assert!(bitmap.contains(63) && !bitmap.contains(62));
        assert_eq!(bitmap.next_from(65), Some(199));
        assert_eq!(bitmap.next_from(200), None);
        assert_eq!(Bitmap::new(0).next_from(0), None);
    }
}
