//! How the metadata cache does: whether its index is loaded, and follows the database.

use std::time::Duration;

use super::{MetadataCache, NAME};
use crate::health::{Health, HealthState, Reason};
use crate::sync::Seen;

/// A cache that follows its database and has not looked at it for this long beyond its rest is behind,
/// whether or not a pass has failed: one may be held up.
const MAX_LAG: Duration = Duration::from_secs(5);

impl MetadataCache {
    /// How it does, with reasons. Reads no database; waits, for a tenth of a second at most, until a pass
    /// that has just published is noted.
    ///
    /// Unknown before the first load has ended; unhealthy if that failed, or if whatever failed last
    /// wants somebody to act; degraded while the database cannot be followed for a reason that may
    /// pass, or while rows of it cannot be read; disabled after the shutdown. What it answers in any of
    /// these is exact for the position that it tells.
    pub fn health(&self) -> Health {
        if !self.is_running() {
            let reason = Reason::new("not-initialized", "the cache has been shut down");
            return Health::disabled(NAME, reason);
        }
        let (snapshot, seen) = self.sync.seen();
        let mut health = self.health_of_passes(snapshot.is_loaded(), &seen);
        let unreadable = snapshot.stamp().unreadable;
        if unreadable > 0 {
            let message = format!("{unreadable} files have rows that cannot be read");
            let reason = Reason::new("unreadable-rows", message)
                .with_help("`cardex db check` names them; index those files again");
            health = health.but(HealthState::Degraded, reason);
        }
        health
    }

    fn health_of_passes(&self, is_loaded: bool, seen: &Seen) -> Health {
        let health = Health::healthy(NAME);
        if let Some(failure) = &seen.failure {
            let state = match is_loaded && failure.error.kind().may_pass() {
                true => HealthState::Degraded,
                false => HealthState::Unhealthy,
            };
            return health.but(state, Reason::from(&failure.error));
        }
        if !is_loaded {
            let message = "the index has not been loaded from the database yet";
            return health.but(HealthState::Unknown, Reason::new("not-loaded", message));
        }
        let looked_at = seen.looked_at.unwrap_or_default();
        let lag = self.clock.elapsed().saturating_sub(looked_at);
        if !self.options.follows() || lag <= MAX_LAG + self.schedule.change_poll() {
            return health;
        }
        let seconds = lag.as_secs();
        let message = format!("the database was last looked at {seconds} s ago");
        let reason = Reason::new("behind", message)
            .with_help("a pass that reads everything may be under way, or the disk is held up");
        health.but(HealthState::Degraded, reason)
    }
}
