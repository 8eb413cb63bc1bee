//! The keys that a tier said have left, until somebody looks whether they are back.

use crate::primitives::Mutex;
use crate::primitives::atomic::{AtomicBool, Ordering};
use crate::tier::Key;

/// How many keys are kept at most, so that whoever looks has done so in a moment. What leaves beyond that
/// between two looks is found when all that is held is looked through.
const MOST: usize = 256;

/// What has left.
#[derive(Debug, Default)]
pub(super) struct Departed {
    /// Whether there is anything.
    is_some: AtomicBool,
    keys: Mutex<Vec<Key>>,
}

impl Departed {
    /// This one has left.
    pub(super) fn note(&self, key: &Key) {
        let mut keys = self.keys.lock();
        if keys.len() < MOST {
            keys.push(key.clone());
            self.is_some.store(true, Ordering::Release);
        }
    }

    /// Those that have left since this was asked last.
    pub(super) fn take(&self) -> Vec<Key> {
        if !self.is_some.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut keys = self.keys.lock();
        self.is_some.store(false, Ordering::Release);
        std::mem::take(&mut keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_left_is_told_once_and_no_more_of_it_than_there_is_room_for() {
        let departed = Departed::default();
        assert!(departed.take().is_empty());
        let key = |n: usize| Key::new(&n.to_string()).unwrap();
        (0..MOST + 1).for_each(|n| departed.note(&key(n)));
        let left = departed.take();
        assert_eq!((left.len(), &left[0]), (MOST, &key(0)));
        assert!(departed.take().is_empty());
        departed.note(&key(7));
        assert_eq!(departed.take(), [key(7)]);
    }
}
