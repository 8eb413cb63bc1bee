//! `Strings`: many short texts in one allocation, found by number. No text contains NUL, so a NUL
//! separates them and one regular-expression search can run over all of them at once.

/// The byte between two texts of an arena.
pub(crate) const SEPARATOR: u8 = 0;

/// An append-only arena of texts, numbered from 0.
#[derive(Debug)]
pub(crate) struct Strings {
    /// Every text followed by a separator.
    bytes: Vec<u8>,
    /// Where each text starts; one more entry than texts.
    starts: Vec<u32>,
}

impl Default for Strings {
    fn default() -> Self {
        Strings {
            bytes: Vec::new(),
            starts: vec![0],
        }
    }
}

impl Strings {
    /// Whether `text` still fits: offsets are 32 bits wide.
    pub(crate) fn has_room_for(&self, text: &str) -> bool {
        u32::try_from(self.bytes.len() + text.len() + 1).is_ok()
    }

    /// Adds a text; the caller has asked [`Strings::has_room_for`].
    pub(crate) fn push(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(SEPARATOR);
        self.starts.push(self.bytes.len() as u32);
    }

    pub(crate) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The bytes of text `at`.
    pub(crate) fn bytes(&self, at: u32) -> &[u8] {
        let at = at as usize;
        &self.bytes[self.starts[at] as usize..self.starts[at + 1] as usize - 1]
    }

    /// Text `at`.
    pub(crate) fn get(&self, at: u32) -> &str {
        // Only whole `str`s are ever pushed, so this never takes the second branch.
        std::str::from_utf8(self.bytes(at)).unwrap_or_default()
    }

    /// The texts `from..to` as one haystack, separators between them and none at the end.
    pub(crate) fn haystack(&self, from: u32, to: u32) -> &[u8] {
        if from >= to {
            return &[];
        }
        &self.bytes[self.start(from)..self.start(to) - 1]
    }

    /// Where text `at` starts in the arena; the arena's end for the number after the last.
    pub(crate) fn start(&self, at: u32) -> usize {
        self.starts[at as usize] as usize
    }

    /// The number of the text that holds the byte (or the separator) at `offset`, not before
    /// `from`.
    pub(crate) fn at_offset(&self, offset: usize, from: u32) -> u32 {
        // Matches are usually near the last one: gallop, then halve.
        let starts = &self.starts[from as usize..];
        let mut reach = 1;
        while reach < starts.len() && starts[reach] as usize <= offset {
            reach *= 2;
        }
        let low = reach / 2;
        let high = reach.min(starts.len());
        let inside = starts[low..high].partition_point(|&start| start as usize <= offset);
        from + (low + inside) as u32 - 1
    }

    /// The first number whose text is not less than `text`; the texts are in ascending order.
    pub(crate) fn lower_bound(&self, text: &[u8]) -> u32 {
        let (mut low, mut high) = (0, self.len() as u32);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.bytes(middle) < text {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    pub(crate) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.starts.shrink_to_fit();
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.starts.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_texts_by_number_offset_and_order() {
        let mut strings = Strings::default();
        let texts = ["a", "ab", "b", "", "zz"];
        for text in texts {
            strings.push(text);
        }
        assert_eq!(strings.haystack(0, 5), b"a\0ab\0b\0\0zz");
        assert_eq!(strings.haystack(1, 3), b"ab\0b");
        assert_eq!(strings.haystack(2, 2), b"");
        for from in 0..5 {
            for (at, text) in texts.iter().enumerate().skip(from) {
                assert_eq!(strings.get(at as u32), *text);
                for offset in strings.start(at as u32)..strings.start(at as u32 + 1) {
                    assert_eq!(strings.at_offset(offset, from as u32), at as u32);
                }
            }
        }
    }

    #[test]
    fn lower_bound_is_the_first_not_less() {
        let mut strings = Strings::default();
        for text in ["a", "b", "ba", "c"] {
            strings.push(text);
        }
        let bounds =
            ["", "a", "aa", "b", "bb", "c", "d"].map(|t| strings.lower_bound(t.as_bytes()));
        assert_eq!(bounds, [0, 0, 1, 1, 3, 3, 4]);
    }
}
