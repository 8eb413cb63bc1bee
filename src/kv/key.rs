//! What the verbs of a cache take as a key, and how a key is made of parts.

use super::KvCache;
use crate::error::Result;
use crate::tier::Key;

/// A key, or a text that may be one.
pub trait AsKey {
    /// The key.
    ///
    /// # Errors
    /// `InvalidInput` for a text that is no key: see [`Key::new`].
    fn as_key(&self) -> Result<Key>;
}

impl AsKey for Key {
    fn as_key(&self) -> Result<Key> {
        Ok(self.clone())
    }
}

impl AsKey for str {
    fn as_key(&self) -> Result<Key> {
        Key::new(self)
    }
}

impl AsKey for String {
    fn as_key(&self) -> Result<Key> {
        Key::new(self)
    }
}

impl<K: AsKey + ?Sized> AsKey for &K {
    fn as_key(&self) -> Result<Key> {
        (**self).as_key()
    }
}

impl KvCache {
    /// A key of parts and of named parts, these in the order of their names: see
    /// [`Key::from_named_parts`]. It has no prefix for the cache: what tells the keys of caches apart
    /// that lie in one place is that place's, and is put before them there, once.
    ///
    /// # Errors
    /// `InvalidInput`, and it is counted.
    pub fn make_key(&self, parts: &[&str], named: &[(&str, &str)]) -> Result<Key> {
        self.counted(Key::from_named_parts(parts, named))
    }

    /// Whether this text is a key.
    pub fn is_valid_key(&self, text: &str) -> bool {
        Key::new(text).is_ok()
    }
}
