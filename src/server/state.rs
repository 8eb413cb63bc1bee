//! `State`: what every route sees.

use std::path::PathBuf;
use std::time::Instant;

use tokio::sync::watch;

use super::auth::Auth;
use super::caches::Caches;
use super::events::Feed;
use super::limits::Limits;
use super::metrics::Metrics;
use super::options::ServerOptions;
use super::samples::Samples;
use crate::cardex::Cardex;

/// What a server serves, for those who ask it. Told as it is: nothing is opened by these names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// The project's root.
    pub root: PathBuf,
    /// The database file.
    pub database: PathBuf,
}

/// What every route sees.
#[derive(Debug)]
pub(super) struct State {
    pub(super) cardex: Cardex,
    pub(super) caches: Caches,
    pub(super) served: Served,
    pub(super) options: ServerOptions,
    pub(super) auth: Auth,
    /// Whether other machines can reach it.
    pub(super) is_public: bool,
    pub(super) limits: Limits,
    pub(super) metrics: Metrics,
    pub(super) feed: Feed,
    pub(super) samples: Samples,
    pub(super) started: Instant,
    /// True once the server is to stop: whoever waits ends at once.
    pub(super) stopping: watch::Receiver<bool>,
}
