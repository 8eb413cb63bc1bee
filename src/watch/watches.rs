//! `Watches`: which directory each watch of the operating system stands for. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;

/// Watches by number and by path from the root, which is the empty path itself.
#[derive(Debug, Default)]
pub(super) struct Watches {
    by_path: BTreeMap<String, i32>,
    by_number: HashMap<i32, String>,
}

impl Watches {
    /// A watch stands for this directory now. Its number may be known under another name, if the directory
    /// was renamed and nobody has said so yet.
    pub(super) fn set(&mut self, number: i32, path: &str) {
        if let Some(old) = self.by_number.insert(number, path.to_owned())
            && old != path
        {
            self.by_path.remove(&old);
        }
        if let Some(old) = self.by_path.insert(path.to_owned(), number)
            && old != number
        {
            self.by_number.remove(&old);
        }
    }

    /// The directory of a watch.
    pub(super) fn path(&self, number: i32) -> Option<&str> {
        self.by_number.get(&number).map(String::as_str)
    }

    /// A watch has ended.
    pub(super) fn forget(&mut self, number: i32) {
        if let Some(path) = self.by_number.remove(&number) {
            self.by_path.remove(&path);
        }
    }

    /// Takes the watches of a directory and of all below it, but for those that are to stay.
    pub(super) fn take_below(&mut self, path: &str, stay: &HashSet<i32>) -> Vec<i32> {
        let itself = self.by_path.get(path).copied();
        let (first, end) = match path {
            "" => (String::new(), Bound::Unbounded),
            // What follows `/` among bytes is `0`.
            path => (format!("{path}/"), Bound::Excluded(format!("{path}0"))),
        };
        let below = self.by_path.range((Bound::Included(first), end));
        let all: HashSet<i32> = below.map(|(_, number)| *number).chain(itself).collect();
        let taken: Vec<i32> = all.difference(stay).copied().collect();
        for number in &taken {
            self.forget(*number);
        }
        taken
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_number.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watches(all: &[(i32, &str)]) -> Watches {
        let mut watches = Watches::default();
        for (number, path) in all {
            watches.set(*number, path);
        }
        watches
    }

    #[test]
    fn a_directory_is_taken_with_what_is_below_it_and_nothing_beside_it() {
        let mut watches = watches(&[
            (1, ""),
            (2, "a"),
            (3, "a/b"),
            (4, "a-b"),
            (5, "a0"),
            (6, "a/c"),
        ]);
        let mut taken = watches.take_below("a", &HashSet::from([6]));
        taken.sort_unstable();
        assert_eq!(taken, [2, 3]);
        assert_eq!(watches.path(3), None);
        assert_eq!(watches.path(6), Some("a/c"));
        assert_eq!(watches.take_below("", &HashSet::new()).len(), 4);
        assert_eq!(watches.len(), 0);
    }

    #[test]
    fn a_renamed_directory_is_found_by_its_new_name_alone() {
        let mut watches = watches(&[(1, ""), (2, "old"), (3, "old/x")]);
        watches.set(2, "new");
        assert_eq!(watches.path(2), Some("new"));
        assert_eq!(watches.take_below("old", &HashSet::new()), [3]);
        watches.set(7, "new");
        assert_eq!((watches.path(2), watches.path(7)), (None, Some("new")));
        watches.forget(7);
        assert_eq!(watches.len(), 1);
    }
}
