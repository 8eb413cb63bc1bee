//! What a tier is owed: changes that others have taken and it has not. It may hold an older value of
//! such a key, or one that was removed, and is not asked for it until that has been put right.

use hashbrown::HashMap;

use crate::primitives::Mutex;
use crate::primitives::atomic::{AtomicBool, Ordering};
use crate::tier::{Key, KeyPattern};

/// The most patterns that are owed one by one: each of them is compared with each key that is asked
/// for. Above that, the whole tier is owed.
const MAX_PATTERNS: usize = 16;

/// The debts towards one tier. Whoever does what is owed takes a mark before he begins, and settles
/// what was owed until then: what fails meanwhile stays owed.
#[derive(Debug)]
pub(super) struct Debts {
    /// The most keys that are owed one by one; above that, the whole tier is.
    max_keys: usize,
    /// Whether anything is owed: the book need not be opened otherwise.
    is_any: AtomicBool,
    book: Mutex<Book>,
}

/// Each debt with its number, which counts up.
#[derive(Debug, Default)]
struct Book {
    last: u64,
    keys: HashMap<Key, u64>,
    patterns: Vec<(KeyPattern, u64)>,
    whole: Option<u64>,
}

/// Everything that was owed until it was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark(u64);

/// A debt of more than single keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wide {
    /// Everything leaves.
    All,
    /// What matches leaves.
    Matching(KeyPattern),
}

/// How much a tier is owed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Owed {
    /// Keys, one by one.
    pub keys: usize,
    /// Patterns of keys.
    pub patterns: usize,
    /// Whether it is all that it holds.
    pub is_whole: bool,
}

impl Owed {
    /// Whether it is nothing.
    pub fn is_nothing(self) -> bool {
        self == Owed::default()
    }
}

impl Debts {
    pub(super) fn new(max_keys: usize) -> Self {
        Debts {
            max_keys,
            is_any: AtomicBool::new(false),
            book: Mutex::new(Book::default()),
        }
    }

    pub(super) fn is_any(&self) -> bool {
        self.is_any.load(Ordering::Acquire)
    }

    /// Whether the tier cannot be asked for the key.
    pub(super) fn covers(&self, key: &Key) -> bool {
        self.is_any() && {
            let book = self.book.lock();
            book.covers_widely(key) || book.keys.contains_key(key)
        }
    }

    /// Whether it is owed more than this key, and this key with it.
    pub(super) fn covers_widely(&self, key: &Key) -> bool {
        self.is_any() && self.book.lock().covers_widely(key)
    }

    /// The key's last change did not reach the tier, or that is not known. Returns whether the key was
    /// not owed by itself before.
    pub(super) fn owe(&self, key: &Key) -> bool {
        let mut is_new = true;
        self.change(|book, number| {
            is_new = !book.keys.contains_key(key);
            let has_room = book.keys.len() < self.max_keys || !is_new;
            if book.whole.is_some() || !has_room {
                book.owe_all(number);
            } else {
                book.keys.insert(key.clone(), number);
            }
        });
        is_new
    }

    /// A removal of all keys that match did not reach it.
    pub(super) fn owe_matching(&self, pattern: &KeyPattern) {
        self.change(|book, number| {
            book.patterns.retain(|(owed, _)| owed != pattern);
            if book.whole.is_some() || book.patterns.len() >= MAX_PATTERNS {
                book.owe_all(number);
            } else {
                book.patterns.push((pattern.clone(), number));
            }
        });
    }

    /// A removal of everything did not reach it.
    pub(super) fn owe_all(&self) {
        self.change(Book::owe_all);
    }

    /// A removal of many keys did not reach it.
    pub(super) fn owe_wide(&self, wide: &Wide) {
        match wide {
            Wide::All => self.owe_all(),
            Wide::Matching(pattern) => self.owe_matching(pattern),
        }
    }

    /// What is owed until now.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.book.lock().last)
    }

    /// The tier has the key's last change. For whoever has the key's turn.
    pub(super) fn settle(&self, key: &Key) {
        if self.is_any() {
            self.change(|book, _| _ = book.keys.remove(key));
        }
    }

    /// What matched has left the tier since the mark was taken.
    pub(super) fn settle_wide(&self, wide: &Wide, Mark(mark): Mark) {
        if !self.is_any() {
            return;
        }
        self.change(|book, _| match wide {
            Wide::All => {
                book.whole = book.whole.filter(|number| *number > mark);
                book.patterns.retain(|(_, number)| *number > mark);
                book.keys.retain(|_, number| *number > mark);
            }
            Wide::Matching(pattern) => {
                let is_left = |number: u64| number > mark;
                book.patterns
                    .retain(|(owed, number)| owed != pattern || is_left(*number));
                book.keys
                    .retain(|key, number| !pattern.matches(key.as_str()) || is_left(*number));
            }
        });
    }

    /// The widest debt, if one is wider than a key.
    pub(super) fn widest(&self) -> Option<Wide> {
        if !self.is_any() {
            return None;
        }
        let book = self.book.lock();
        let whole = book.whole.map(|_| Wide::All);
        whole.or_else(|| Some(Wide::Matching(book.patterns.first()?.0.clone())))
    }

    /// Some of the keys that are owed one by one.
    pub(super) fn keys(&self, most: usize) -> Vec<Key> {
        self.book.lock().keys.keys().take(most).cloned().collect()
    }

    pub(super) fn owed(&self) -> Owed {
        self.book.lock().owed()
    }

    fn change(&self, change: impl FnOnce(&mut Book, u64)) {
        let mut book = self.book.lock();
        book.last += 1;
        let number = book.last;
        change(&mut book, number);
        let is_any = !book.owed().is_nothing();
        // Under the lock: what it says is what the book says.
        self.is_any.store(is_any, Ordering::Release);
    }
}

impl Book {
    fn covers_widely(&self, key: &Key) -> bool {
        let mut patterns = self.patterns.iter();
        self.whole.is_some() || patterns.any(|(pattern, _)| pattern.matches(key.as_str()))
    }

    fn owe_all(&mut self, number: u64) {
        self.whole = Some(number);
        self.patterns.clear();
        self.keys.clear();
    }

    fn owed(&self) -> Owed {
        Owed {
            keys: self.keys.len(),
            patterns: self.patterns.len(),
            is_whole: self.whole.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    fn pattern(text: &str) -> KeyPattern {
        KeyPattern::new(text).unwrap()
    }

    #[test]
    fn a_key_is_owed_until_it_is_settled() {
        let debts = Debts::new(10);
        assert!(!debts.is_any() && !debts.covers(&key("a")));
        assert!(debts.owe(&key("a")));
        assert!(!debts.owe(&key("a")), "it was before");
        assert!(debts.covers(&key("a")) && !debts.covers(&key("b")));
        assert!(!debts.covers_widely(&key("a")));
        debts.settle(&key("b"));
        assert!(debts.covers(&key("a")));
        debts.settle(&key("a"));
        assert!(!debts.is_any() && !debts.covers(&key("a")));
    }

    #[test]
    fn above_its_bound_all_is_owed_and_stays_so_while_more_fails() {
        let debts = Debts::new(2);
        for name in ["a", "b", "a"] {
            debts.owe(&key(name));
        }
        assert_eq!((debts.owed().keys, debts.owed().is_whole), (2, false));
        debts.owe(&key("c"));
        assert!(debts.owed().is_whole && debts.covers(&key("unheard-of")));
        let mark = debts.mark();
        debts.owe(&key("d"));
        debts.settle_wide(&Wide::All, mark);
        assert!(debts.owed().is_whole, "d failed after the mark");
        debts.settle_wide(&Wide::All, debts.mark());
        assert!(debts.owed().is_nothing() && !debts.is_any());
        (0..=MAX_PATTERNS).for_each(|n| debts.owe_matching(&pattern(&format!("{n}*"))));
        assert_eq!(debts.widest(), Some(Wide::All));
    }

    #[test]
    fn a_pattern_settles_the_keys_that_match_it() {
        let debts = Debts::new(10);
        assert_eq!(["a:1", "b:1"].map(|name| debts.owe(&key(name))), [true; 2]);
        debts.owe_matching(&pattern("a:*"));
        assert!(debts.covers_widely(&key("a:2")) && !debts.covers_widely(&key("b:1")));
        let (wide, mark) = (debts.widest().unwrap(), debts.mark());
        debts.owe(&key("a:3"));
        debts.settle_wide(&wide, mark);
        assert_eq!(debts.widest(), None);
        assert!(!debts.covers(&key("a:1")));
        assert!(debts.covers(&key("a:3")), "it failed after the mark");
        assert!(debts.covers(&key("b:1")));
        assert_eq!(debts.keys(1).len(), 1);
    }
}
