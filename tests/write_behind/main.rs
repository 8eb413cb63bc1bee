//! Write-behind, held to what it promises: acknowledged is durable, delivered in order, at least once,
//! or told about; bounded; and nothing of it is lost when a process dies.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod delivery;
mod journal;
#[cfg(unix)]
mod kills;
mod limits;
mod sinks;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cardex::SystemClock;
use cardex::kv::write_behind::{Sink, WriteBehind, WriteBehindOptions};
use cardex::tier::{Key, KeyPattern};

/// No test waits as long for anything that happens.
const LONG: Duration = Duration::from_secs(60);

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn bytes(text: &str) -> Option<Arc<[u8]>> {
    Some(text.as_bytes().into())
}

fn all() -> KeyPattern {
    KeyPattern::new("*").unwrap()
}

/// Options that do not make a test wait.
fn quick() -> WriteBehindOptions {
    WriteBehindOptions::default()
        .rests(Duration::from_millis(1), Duration::from_millis(4))
        .unwrap()
        .full_wait(Duration::from_millis(20))
        .shutdown_wait(Duration::from_millis(500))
}

/// A folder with a journal in it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Place(tempfile::tempdir().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("writes.journal")
    }

    fn open(&self, options: WriteBehindOptions, sink: Arc<dyn Sink>) -> WriteBehind {
        WriteBehind::open(self.file(), options, sink, Arc::new(SystemClock)).unwrap()
    }
}
