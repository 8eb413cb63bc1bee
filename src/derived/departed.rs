//! The keys that a tier said have left, until somebody looks whether they are back.

use crate::primitives::Mutex;
use crate::primitives::atomic::{AtomicBool, Ordering};
use crate::tier::Key;

/// How many keys are kept apart. If more leave between two looks, all that is held is looked through.
const MOST: usize = 1024;

/// What has left.
#[derive(Debug, Default)]
pub(super) struct Departed {
    /// Whether there is anything.
    is_some: AtomicBool,
    left: Mutex<Left>,
}

/// Which keys have left since the last look.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) keys: Vec<Key>,
    /// More than that.
    pub(super) is_more: bool,
}

impl Departed {
    /// This one has left.
    pub(super) fn note(&self, key: &Key) {
        let mut left = self.left.lock();
        match left.keys.len() < MOST {
            true => left.keys.push(key.clone()),
            false => left.is_more = true,
        }
        self.is_some.store(true, Ordering::Release);
    }

    /// Those that have left since this was asked last; `None` if nobody has.
    pub(super) fn take(&self) -> Option<Left> {
        if !self.is_some.load(Ordering::Acquire) {
            return None;
        }
        let mut left = self.left.lock();
        self.is_some.store(false, Ordering::Release);
        Some(std::mem::take(&mut left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_left_is_told_once_and_too_much_of_it_as_more() {
        let departed = Departed::default();
        assert!(departed.take().is_none());
        let key = |n: usize| Key::new(&n.to_string()).unwrap();
        (0..MOST).for_each(|n| departed.note(&key(n)));
        let left = departed.take().unwrap();
        assert_eq!((left.keys.len(), left.is_more), (MOST, false));
        assert!(departed.take().is_none());
        (0..=MOST).for_each(|n| departed.note(&key(n)));
        let left = departed.take().unwrap();
        assert_eq!((left.keys.len(), left.is_more), (MOST, true));
    }
}
