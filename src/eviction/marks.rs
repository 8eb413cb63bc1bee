//! A table of marks, one for each id, that readers reach without a lock while it grows: chunks of
//! doubling size, each allocated once and never moved.

use std::sync::OnceLock;

use super::Id;

/// The first chunk holds 2^6 marks, each next one as many as all before it.
const FIRST_BITS: u32 = 6;
const CHUNKS: usize = (Id::BITS - FIRST_BITS + 1) as usize;

#[derive(Debug)]
pub(crate) struct MarkTable<T> {
    chunks: [OnceLock<Box<[T]>>; CHUNKS],
}

impl<T> Default for MarkTable<T> {
    fn default() -> Self {
        MarkTable {
            chunks: [const { OnceLock::new() }; CHUNKS],
        }
    }
}

impl<T: Default> MarkTable<T> {
    /// The mark of `id`; `None` before `grow` was called for it.
    #[inline]
    pub(crate) fn get(&self, id: Id) -> Option<&T> {
        let (chunk, offset) = place(id);
        self.chunks[chunk].get()?.get(offset)
    }

    /// The mark of `id`, made if it is not there.
    pub(crate) fn grow(&self, id: Id) -> &T {
        let (chunk, offset) = place(id);
        &self.chunks[chunk].get_or_init(|| new_chunk(chunk))[offset]
    }

    /// The marks of ids 0, 1, 2, …, chunk by chunk.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let chunks = self.chunks.iter().map_while(OnceLock::get);
        chunks.flat_map(|chunk| chunk.iter())
    }

    /// The same in blocks, by which the size of every chunk can be divided.
    pub(crate) fn blocks<const N: usize>(&self) -> impl Iterator<Item = &[T; N]> {
        let chunks = self.chunks.iter().map_while(OnceLock::get);
        chunks.flat_map(|chunk| chunk.as_chunks::<N>().0)
    }
}

#[inline]
fn place(id: Id) -> (usize, usize) {
    let id = u64::from(id);
    let chunk = (id >> FIRST_BITS)
        .checked_ilog2()
        .map_or(0, |bits| bits + 1);
    let start = if chunk == 0 {
        0
    } else {
        1 << (chunk - 1 + FIRST_BITS)
    };
    (chunk as usize, (id - start) as usize)
}

fn new_chunk<T: Default>(chunk: usize) -> Box<[T]> {
    let size = 1usize << (chunk.saturating_sub(1) as u32 + FIRST_BITS);
    (0..size).map(|_| T::default()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn every_id_has_one_place() {
        let table = MarkTable::<AtomicU32>::default();
        assert!(table.get(0).is_none());
        for id in 0..5000 {
            table.grow(id).store(id, Ordering::Relaxed);
        }
        for (id, mark) in (0..5000).zip(table.iter()) {
            assert_eq!(mark.load(Ordering::Relaxed), id);
            assert_eq!(table.get(id).unwrap().load(Ordering::Relaxed), id);
        }
        assert_eq!(place(Id::MAX), (CHUNKS - 1, (1 << 31) - 1));
    }
}
