//! `Source`: where values come from, and where they are written to for good.

use std::collections::HashMap;

use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::tier::Key;

/// Where values come from: a database, a service, a computation. Its verbs are called on any thread,
/// several at once, and under no lock; they may take their time. Loads may use other keys of the cache;
/// writes do not write by the cache that they belong to. A panic of one of them is its error.
///
/// A function from keys to values is a source that cannot be written to.
pub trait Source: Send + Sync {
    /// The value of a key; `None` if there is none.
    ///
    /// # Errors
    /// Whatever keeps it from knowing. `Cancelled` if it was told to stop: then it is asked again for
    /// those who wait.
    fn load(&self, key: &Key) -> Result<Option<Value>>;

    /// The values of many keys, without those that have none.
    ///
    /// # Errors
    /// Whatever keeps it from knowing any of them.
    fn load_many(&self, keys: &[Key]) -> Result<HashMap<Key, Value>> {
        let mut values = HashMap::with_capacity(keys.len());
        for key in keys {
            if let Some(value) = self.load(key)? {
                values.insert(key.clone(), value);
            }
        }
        Ok(values)
    }

    /// Keeps a value for good.
    ///
    /// # Errors
    /// Whatever keeps it from that: nobody knows then whether the value was kept.
    fn store(&self, key: &Key, value: &Value) -> Result<()> {
        let _ = value;
        Err(read_only(key))
    }

    /// Forgets a value for good; nothing happens if there is none.
    ///
    /// # Errors
    /// As for [`Source::store`].
    fn delete(&self, key: &Key) -> Result<()> {
        Err(read_only(key))
    }
}

impl<F: Fn(&Key) -> Result<Option<Value>> + Send + Sync> Source for F {
    fn load(&self, key: &Key) -> Result<Option<Value>> {
        self(key)
    }
}

fn read_only(key: &Key) -> Error {
    let message = format!("the source of {key} cannot be written to");
    Error::new(ErrorKind::InvalidInput, message)
}
