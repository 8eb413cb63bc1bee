//! `cardex cache backup` and `restore`: the file of the caches, copied and read back.

use std::path::Path;
use std::sync::Arc;

use cardex::tier::DiskFile;
use cardex::{Clock, Error, ErrorKind, SystemClock};

use super::super::context::Context;
use super::super::failure::Failure;
use super::super::{Outcome, format};

/// Copies the file.
pub(super) fn backup(context: &Context, to: &Path) -> Result<Outcome, Failure> {
    context.global.no_format("cache backup")?;
    let bytes = open(context, false)?.backup(to)?;
    let (bytes, name) = (format::bytes(bytes), to.display());
    context.note(&format!("Wrote {bytes} to {name}"));
    Ok(Outcome::Found)
}

/// Puts what a copy holds in place of what the file holds.
pub(super) fn restore(context: &Context, from: &Path) -> Result<Outcome, Failure> {
    context.global.no_format("cache restore")?;
    if let Some(server) = context.caches_setup(false)?.redis_server() {
        let message = format!("the file stands in front of {server}, which may have newer results");
        return Err(Error::new(ErrorKind::InvalidInput, message)
            .with_help("a backup is for a file that no other process shares results with: tiers.redis.enabled")
            .into());
    }
    let restored = open(context, true)?.restore(from)?;
    let entries = format::plural(restored.entries, "entry", "entries");
    context.note(&format!(
        "Restored {entries}; {} expired and {} damaged left out",
        format::count(restored.expired),
        format::count(restored.damaged)
    ));
    Ok(Outcome::Found)
}

/// The file, which is made if need be, or has to be there.
fn open(context: &Context, makes: bool) -> Result<Arc<DiskFile>, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let file = context.caches_setup(makes)?.open_disk(&clock)?;
    Ok(file.ok_or_else(|| {
        let error = Error::new(ErrorKind::NotFound, "there is no cache file");
        error.with_help("see tiers.disk.enabled and tiers.disk.path: `cardex config show`")
    })?)
}
