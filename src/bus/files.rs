//! From the database to the bus: each pass that brought changes in is told as an event about the files
//! that changed, whoever changed them. A watcher tells of the same earlier, by the same function.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::InvalidationBus;
use super::event::{Invalidation, MAX_SCOPES, Origin, What};
use crate::cache::Scope;
use crate::error::Result;
use crate::metadata::FilePath;
use crate::metadata_cache::{ChangeFeed, MetadataCache};
use crate::position::Position;
use crate::primitives::atomic::{AtomicBool, Ordering};
use crate::store::ChangeSet;
use crate::worker::Worker;

/// How often the thread looks whether it is to stop.
const GLANCE: Duration = Duration::from_millis(100);
/// How long it rests when the log cannot be read.
const REST: Duration = Duration::from_millis(500);

/// A thread that follows the changes of a project, until it is dropped.
pub struct FileChanges {
    _worker: Worker,
}

impl FileChanges {
    /// Tells the bus what changes from this position on: that of the records which the caches were
    /// made from, or the default one, and the first event is about everything. If the log cannot be
    /// read, that may be about any file: once when it begins, and again when it is over.
    ///
    /// # Errors
    /// `NotInitialized` after the cache's shutdown; `Io` if the thread cannot be started.
    pub fn follow(
        cache: &MetadataCache,
        since: Position,
        bus: Arc<InvalidationBus>,
    ) -> Result<Self> {
        let mut feed = cache.subscribe(since)?;
        let mut is_lost = false;
        let mut is_anywhere = since == Position::default();
        let round = move |stop: &AtomicBool| {
            while !stop.load(Ordering::Relaxed) {
                if is_anywhere {
                    if let Some(position) = feed.skip(GLANCE) {
                        is_anywhere = false;
                        let cause = "the changes are followed from here on";
                        bus.publish(event(vec![Scope::All], cause, position));
                    }
                    continue;
                }
                match next(&mut feed) {
                    Ok(set) if is_lost => {
                        is_lost = false;
                        let position = set.map_or(feed.position(), |set| set.position);
                        let cause = "the change log is read again";
                        bus.publish(event(vec![Scope::All], cause, position));
                    }
                    Ok(Some(set)) => {
                        let (scopes, cause) = scopes(&set);
                        bus.publish(event(scopes, cause, set.position));
                    }
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!("the change log cannot be read: {error:#}");
                        if !std::mem::replace(&mut is_lost, true) {
                            let cause = "the change log cannot be read";
                            bus.publish(event(vec![Scope::All], cause, feed.position()));
                        }
                        return Some(REST);
                    }
                }
            }
            None
        };
        let worker = Worker::spawn("bus-files", round)?;
        worker.ring();
        Ok(FileChanges { _worker: worker })
    }
}

fn next(feed: &mut ChangeFeed) -> Result<Option<ChangeSet>> {
    feed.next(GLANCE)
}

fn event(scopes: Vec<Scope>, cause: &str, position: Position) -> Invalidation {
    Invalidation {
        position: Some(position),
        ..Invalidation::of(What::Files(scopes), Origin::Sync, cause)
    }
}

/// What a set of changes is about, and why.
fn scopes(set: &ChangeSet) -> (Vec<Scope>, &'static str) {
    if set.is_fresh_instance {
        return (vec![Scope::All], "the change log begins anew");
    }
    let paths = set.changes.iter().map(|change| &*change.path);
    let paths: Vec<&str> = paths.collect();
    (scopes_of(&paths), "files changed")
}

/// The files themselves, the directory that they all lie in if they are too many, or everything.
pub(crate) fn scopes_of(paths: &[&str]) -> Vec<Scope> {
    let files: Result<Vec<FilePath>> = paths.iter().map(|path| FilePath::new(path)).collect();
    let Ok(files) = files else {
        // A path that can only be shown may be any.
        return vec![Scope::All];
    };
    if files.len() <= MAX_SCOPES {
        return files.into_iter().map(Scope::Path).collect();
    }
    let mut directories = paths
        .iter()
        .map(|path| path.rsplit_once('/').map_or("", |(directory, _)| directory));
    let first = directories.next().unwrap_or("");
    match directories.fold(first, common_directory) {
        "" => vec![Scope::All],
        directory => vec![Scope::Prefix(directory.to_owned())],
    }
}

/// The deepest directory above, or equal to, both.
fn common_directory<'p>(one: &'p str, other: &str) -> &'p str {
    let mut end = 0;
    for (part, theirs) in one.split('/').zip(other.split('/')) {
        if part != theirs {
            break;
        }
        end += part.len() + usize::from(end > 0);
    }
    &one[..end]
}

impl fmt::Debug for FileChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileChanges").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_directory_is_made_of_whole_names() {
        for (one, other, common) in [
            ("src/a/b", "src/a/c", "src/a"),
            ("src/a", "src/ab", "src"),
            ("src", "srcs", ""),
            ("src/a", "src/a", "src/a"),
            ("", "src", ""),
            ("src", "src/a/b", "src"),
        ] {
            assert_eq!(common_directory(one, other), common, "{one} {other}");
        }
    }
}
