//! `Mask`: which files of an immutable segment do not count any more, because a newer tier holds
//! them or they were deleted. The mask is the deletion; postings are never edited. It is copied on
//! write by pages, so that a commit on a million files copies a kilobyte and not the whole.

use std::sync::Arc;

const PAGE_WORDS: usize = 128;
const PAGE_BITS: u32 = PAGE_WORDS as u32 * 64;

type Page = [u64; PAGE_WORDS];

/// A growing set of ranks. Clones share their pages until one of them is written to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mask {
    /// Absent pages, also those beyond the end, hold no member.
    pages: Vec<Option<Arc<Page>>>,
    len: u32,
}

impl Mask {
    /// Adds a rank; whether it was new.
    pub(crate) fn insert(&mut self, rank: u32) -> bool {
        let at = (rank / PAGE_BITS) as usize;
        if at >= self.pages.len() {
            self.pages.resize(at + 1, None);
        }
        let page = self.pages[at].get_or_insert_with(|| Arc::new([0; PAGE_WORDS]));
        let (word, bit) = place(rank);
        let word = &mut Arc::make_mut(page)[word];
        let new = *word & bit == 0;
        *word |= bit;
        self.len += u32::from(new);
        new
    }

    pub(crate) fn contains(&self, rank: u32) -> bool {
        if self.len == 0 {
            return false;
        }
        match self.pages.get((rank / PAGE_BITS) as usize) {
            Some(Some(page)) => {
                let (word, bit) = place(rank);
                page[word] & bit != 0
            }
            _ => false,
        }
    }

    /// The members among the 64 ranks from `at * 64` on.
    pub(crate) fn word(&self, at: usize) -> u64 {
        match self.pages.get(at / PAGE_WORDS) {
            Some(Some(page)) => page[at % PAGE_WORDS],
            _ => 0,
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// The pages that hold members, each with the number of its first 64-bit word.
    pub(crate) fn pages(&self) -> impl Iterator<Item = (usize, &[u64])> {
        let numbered = self.pages.iter().enumerate();
        numbered.filter_map(|(at, page)| page.as_ref().map(|p| (at * PAGE_WORDS, &p[..])))
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.pages.capacity() * size_of::<Option<Arc<Page>>>()
            + self.pages.iter().flatten().count() * size_of::<Page>()
    }
}

fn place(rank: u32) -> (usize, u64) {
    ((rank % PAGE_BITS) as usize / 64, 1 << (rank % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_keeps_what_it_saw() {
        let mut mask = Mask::default();
        assert!(!mask.contains(0));
        assert!(mask.insert(20_000) && !mask.insert(20_000));
        let before = mask.clone();
        mask.insert(20_001);
        mask.insert(3);
        assert_eq!((before.len(), mask.len()), (1, 3));
        assert!(before.contains(20_000) && !before.contains(20_001) && !before.contains(3));
        assert!(mask.contains(3) && mask.contains(20_001) && !mask.contains(1 << 30));
    }
}
