//! `State`: what every route sees.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::auth::Auth;
use super::caches::Caches;
use super::events::Feed;
use super::limits::Limits;
use super::metrics::Metrics;
use super::options::ServerOptions;
use super::samples::Samples;
use crate::cardex::Cardex;
#[cfg(feature = "cli")]
use crate::config::LiveConfig;
use crate::coordinator::CacheCoordinator;
use crate::kv;
#[cfg(feature = "watch")]
use crate::watch::Watcher;

/// What a server serves.
#[derive(Clone, Debug)]
pub struct Served {
    pub(super) cardex: Cardex,
    pub(super) coordinator: Arc<CacheCoordinator>,
    pub(super) results: Option<Arc<kv::Caches>>,
    #[cfg(feature = "cli")]
    pub(super) config: Option<Arc<LiveConfig>>,
    #[cfg(feature = "watch")]
    pub(super) watcher: Option<Arc<Watcher>>,
    pub(super) root: PathBuf,
    pub(super) database: PathBuf,
}

impl Served {
    /// A project, and the caches of this process. The server neither registers a cache nor starts the
    /// coordinator: it shows what there is.
    pub fn new(cardex: &Cardex, coordinator: &Arc<CacheCoordinator>) -> Self {
        Served {
            cardex: cardex.clone(),
            coordinator: Arc::clone(coordinator),
            results: None,
            #[cfg(feature = "cli")]
            config: None,
            #[cfg(feature = "watch")]
            watcher: None,
            root: PathBuf::new(),
            database: PathBuf::new(),
        }
    }

    /// The caches of derived results of this process, for their report, their health and their tiers. They
    /// are shown and emptied by the coordinator that they are enrolled with.
    #[must_use]
    pub fn with_results(mut self, caches: &Arc<kv::Caches>) -> Self {
        self.results = Some(Arc::clone(caches));
        self
    }

    /// The configuration that may be read again over HTTP. What a change of it changes is decided by
    /// whoever is told of it, the server too: see [`Server::reconfigure`](super::Server::reconfigure).
    #[cfg(feature = "cli")]
    #[must_use]
    pub fn configured_by(mut self, config: &Arc<LiveConfig>) -> Self {
        self.config = Some(Arc::clone(config));
        self
    }

    /// Who keeps the database up to date with the tree: its health is a part of the server's.
    #[cfg(feature = "watch")]
    #[must_use]
    pub fn watched_by(mut self, watcher: &Arc<Watcher>) -> Self {
        self.watcher = Some(Arc::clone(watcher));
        self
    }

    /// The project's root and its database, for those who ask: nothing is opened by these names.
    #[must_use]
    pub fn at(mut self, root: impl Into<PathBuf>, database: impl Into<PathBuf>) -> Self {
        self.root = root.into();
        self.database = database.into();
        self
    }
}

/// What every route sees.
#[derive(Debug)]
pub(super) struct State {
    pub(super) cardex: Cardex,
    pub(super) caches: Caches,
    pub(super) served: Served,
    pub(super) options: ArcSwap<ServerOptions>,
    pub(super) auth: Auth,
    /// Whether other machines can reach it, or it is told to treat this one as these.
    pub(super) reading_wants_token: bool,
    pub(super) limits: Limits,
    pub(super) metrics: Metrics,
    pub(super) feed: Feed,
    pub(super) samples: Samples,
    pub(super) started: Instant,
    /// True once the server is to stop: whoever waits ends at once.
    pub(super) stopping: watch::Receiver<bool>,
}

impl State {
    /// The limits of now.
    pub(super) fn options(&self) -> Arc<ServerOptions> {
        self.options.load_full()
    }
}
