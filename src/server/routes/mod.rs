//! The routes, one file a noun: what each takes, and which verb of the library it is.

mod admin;
mod caches;
mod changes;
#[cfg(feature = "cli")]
mod config;
mod dashboard;
mod events;
mod files;
mod health;
mod query;
mod report;
mod spec;
mod stats;
mod symbols;
mod sync;

pub(super) use self::stats::stats_of;
use super::table::Route;

/// Every route.
pub(super) static ROUTES: &[&Route] = &[
    &dashboard::PAGE,
    &dashboard::PIECES,
    &query::QUERY,
    &files::FILE,
    &symbols::SYMBOLS,
    &changes::CHANGES,
    &events::EVENTS,
    &stats::STATS,
    &caches::LIST,
    &caches::EVICT,
    &caches::EVICT_ALL,
    &caches::CLEAR,
    &report::REPORT,
    &sync::SYNC,
    #[cfg(feature = "cli")]
    &config::RELOAD,
    &admin::STATS,
    &admin::EVICT,
    &admin::CLEAR,
    &health::LIVE,
    &health::READY,
    &health::HEALTH,
    &health::METRICS,
    &spec::OPENAPI,
];

/// A duration on the wire, in whole milliseconds.
fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
