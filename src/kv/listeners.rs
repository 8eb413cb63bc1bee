//! Who wants to know what this process changes in a cache.

use std::sync::Arc;

use super::KvCache;
use crate::error::ErrorKind;
use crate::panics::caught;
use crate::primitives::RwLock;
use crate::tier::{Key, KeyPattern};

/// What a verb of this process has changed, or may have: an error does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvChange<'c> {
    /// The value of this key.
    Key(&'c Key),
    /// Those of the keys that match.
    Matching(&'c KeyPattern),
    /// All.
    All,
}

/// Somebody who wants to know what this process changes.
type Listener = Arc<dyn Fn(KvChange<'_>) + Send + Sync>;

/// All of them.
#[derive(Default)]
pub(super) struct Listeners(RwLock<Vec<Listener>>);

impl KvCache {
    /// Has the listener called after each verb of this process that has changed something, in the thread
    /// of that verb, under no lock: so it is quick. A value that was loaded where there was none is no
    /// change. Called also if the verb failed, and may have changed it all the same.
    pub fn on_change(&self, listener: impl Fn(KvChange<'_>) + Send + Sync + 'static) {
        self.0.listeners.0.write().push(Arc::new(listener));
    }

    /// Tells those who want to know. What goes wrong with one of them is his.
    pub(super) fn tell(&self, change: KvChange<'_>) {
        let listeners = {
            let listeners = self.0.listeners.0.read();
            match listeners.is_empty() {
                true => return,
                false => listeners.clone(),
            }
        };
        for listener in listeners {
            let told = caught(ErrorKind::Internal, || {
                listener(change);
                Ok(())
            });
            if let Err(error) = told {
                tracing::warn!("cache `{}`: a listener: {error:#}", self.0.name);
            }
        }
    }
}
