//! Who waits for changes is woken by one thread, which waits for the index. What it tells is a doorbell
//! with the changes in it: whoever was not where they begin reads the log instead.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::cardex::Cardex;
use crate::error::Result;
use crate::metadata_cache::ChangeFeed;
use crate::position::Position;
use crate::store::ChangeSet;
use crate::worker::Worker;

/// How long the thread waits before it looks whether it is to stop.
const WAIT: Duration = Duration::from_millis(250);
/// The rest after a failure: of a database that cannot be read, or of an index that is not loaded.
const REST: Duration = Duration::from_millis(250);

/// What was told last.
#[derive(Clone, Debug, Default)]
struct Told {
    /// Where the changes begin.
    from: Position,
    /// None when the thread has just begun: whoever is not there has to read.
    set: Option<Arc<ChangeSet>>,
}

/// The changes of a project, for those who wait for them.
#[derive(Debug)]
pub(super) struct Feed {
    told: watch::Sender<Told>,
    listeners: Arc<AtomicUsize>,
    worker: Worker,
}

impl Feed {
    /// Starts the thread. It rests while nobody listens.
    ///
    /// # Errors
    /// `Io` if it cannot be started.
    pub(super) fn start(cardex: Cardex) -> Result<Self> {
        let told = watch::Sender::default();
        let listeners = Arc::new(AtomicUsize::new(0));
        let (tell, heard) = (told.clone(), Arc::clone(&listeners));
        let mut feed = None;
        let worker = Worker::spawn("cardex-events", move |_| {
            if heard.load(Ordering::Acquire) == 0 {
                feed = None;
                return None;
            }
            Some(round(&cardex, &mut feed, &tell).unwrap_or(REST))
        })?;
        Ok(Feed {
            told,
            listeners,
            worker,
        })
    }

    /// Somebody who is told of all that changes from now on.
    pub(super) fn listen(&self) -> Listener {
        self.listeners.fetch_add(1, Ordering::AcqRel);
        let listener = Listener {
            told: self.told.subscribe(),
            listeners: Arc::clone(&self.listeners),
        };
        self.worker.ring();
        listener
    }
}

/// Waits for changes once, and tells them; returns the rest until the next time.
fn round(
    cardex: &Cardex,
    feed: &mut Option<ChangeFeed>,
    tell: &watch::Sender<Told>,
) -> Result<Duration> {
    let place = match feed {
        Some(place) => place,
        None => {
            let from = cardex.snapshot()?.position();
            let place = feed.insert(cardex.subscribe(from)?);
            tell.send_replace(Told { from, set: None });
            place
        }
    };
    let from = place.position();
    if let Some(set) = place.next(WAIT)? {
        let set = Some(Arc::new(set));
        tell.send_replace(Told { from, set });
    }
    Ok(Duration::ZERO)
}

/// Somebody who waits for changes.
#[derive(Debug)]
pub(super) struct Listener {
    told: watch::Receiver<Told>,
    listeners: Arc<AtomicUsize>,
}

impl Listener {
    /// Waits until something may have changed since the last call.
    pub(super) async fn changed(&mut self) {
        if self.told.changed().await.is_err() {
            // The server has gone: whoever waits is told by its stop, and not by this.
            std::future::pending().await
        }
    }

    /// What was told last, if it begins here.
    pub(super) fn since(&self, position: Position) -> Option<Arc<ChangeSet>> {
        let told = self.told.borrow();
        let is_here = told.from == position;
        told.set.clone().filter(|_| is_here)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.listeners.fetch_sub(1, Ordering::AcqRel);
    }
}
