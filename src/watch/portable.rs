//! Where the operating system is not asked for events: the tree is polled, and health says so.

use std::sync::Arc;

use super::shared::{Mode, Shared};
use crate::error::Result;
use crate::health::Reason;

/// What whoever brings the tree in asks for: here it looks at the whole tree by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Have the whole tree looked at.
    Reconcile,
    /// The same: the root is another directory than before.
    Reset,
}

/// Nothing that runs.
#[derive(Debug)]
pub(super) struct Backend {
    shared: Arc<Shared>,
}

impl Backend {
    pub(super) fn start(shared: &Arc<Shared>, ring: impl Fn() + Send + 'static) -> Result<Backend> {
        let backend = Backend {
            shared: Arc::clone(shared),
        };
        let message = "events are told on Linux alone";
        let help = "the tree is looked at every watch.poll_interval";
        let reason = Reason::new("no-events", message).with_help(help);
        shared.set_mode(Mode::Polling(reason));
        backend.ask(Ask::Reset);
        ring();
        Ok(backend)
    }

    pub(super) fn ask(&self, _: Ask) {
        let blind = &self.shared.is_blind;
        blind.store(false, std::sync::atomic::Ordering::Release);
        self.shared.reconcile_at_once();
    }
}

/// How many directories this user may watch: not known here.
pub fn watch_limit() -> Option<u64> {
    None
}
