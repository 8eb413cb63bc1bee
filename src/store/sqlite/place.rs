//! Where a database lies: its file, and the two beside it, as they were when it was opened. Whether
//! they are still the same is asked of the file system each time: of their directory, as long as that
//! has not changed, and of each of them from time to time.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use super::file::FileIdentity;
use super::sidecars::Sidecars;
use crate::error::{Error, ErrorKind, Result};

/// The files of a database that was opened.
#[derive(Debug)]
pub(super) struct Place {
    file: PathBuf,
    identity: FileIdentity,
    /// Known from the first connection on that stays, which holds them open.
    sidecars: OnceLock<Sidecars>,
    /// The directory that holds all of them; none if the file is a link to one elsewhere.
    directory: Option<PathBuf>,
    undisturbed: Mutex<Option<Undisturbed>>,
}

/// The directory as it was when all files were last found where they belong.
#[derive(Clone, Copy, Debug)]
struct Undisturbed {
    directory: FileIdentity,
    changed_at: SystemTime,
    seen_at: Instant,
}

/// A directory that did not change is taken for a sign that nothing in it did for so long: a file may
/// also be hidden by another one that is mounted over it.
const TRUSTED: Duration = Duration::from_millis(250);

/// Times of files are taken from a clock that goes in steps. A directory that changed less than this ago
/// may change again and tell the same time.
const SETTLED: Duration = Duration::from_millis(50);

/// The same where times are kept in whole seconds, or in pairs of them.
const SETTLED_COARSELY: Duration = Duration::from_secs(3);

impl Place {
    /// The place of a file that must exist.
    ///
    /// # Errors
    /// `Io` if it does not.
    pub(super) fn of(file: &Path) -> Result<Self> {
        Ok(Place {
            file: file.to_owned(),
            identity: FileIdentity::of(file)?,
            sidecars: OnceLock::new(),
            directory: directory_of(file),
            undisturbed: Mutex::default(),
        })
    }

    /// The path of the database.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Which file the path named.
    pub(super) fn identity(&self) -> FileIdentity {
        self.identity
    }

    /// Remembers which files beside the database are ours. A connection has read something before.
    ///
    /// # Errors
    /// `DatabaseCorrupt` if they were deleted at once.
    pub(super) fn note_sidecars(&self) -> Result<()> {
        let found = Sidecars::of(&self.file, self.identity).map_err(|cause| {
            let name = self.file.display();
            let message = format!("the write-ahead log of {name} was deleted while it was opened");
            Error::new(ErrorKind::DatabaseCorrupt, message)
                .with_help("try again")
                .because(cause)
        })?;
        // Once: later on, what lies there may be somebody else's.
        self.sidecars.get_or_init(|| found);
        Ok(())
    }

    /// Whether the path still names our file, and no file beside it is lost. Costs one look at the
    /// directory as long as nothing in that is made, moved or deleted.
    ///
    /// # Errors
    /// `Io` if the path names no file.
    pub(super) fn is_current(&self) -> Result<bool> {
        let seen_at = Instant::now();
        let directory = self.directory.as_deref().and_then(changed_at);
        if let (Some((now, changed_at)), Some(before)) = (directory, *self.undisturbed.lock())
            && (before.directory, before.changed_at) == (now, changed_at)
            && seen_at.saturating_duration_since(before.seen_at) < TRUSTED
        {
            return Ok(true);
        }
        let is_current =
            FileIdentity::of(&self.file)? == self.identity && self.lost_sidecar().is_none();
        *self.undisturbed.lock() = directory
            .filter(|(_, changed_at)| is_current && is_settled(*changed_at))
            .map(|(directory, changed_at)| Undisturbed {
                directory,
                changed_at,
                seen_at,
            });
        Ok(is_current)
    }

    /// Whether the path still names our file.
    pub(super) fn is_in_place(&self) -> bool {
        FileIdentity::of(&self.file).is_ok_and(|now| now == self.identity)
    }

    /// The file beside the database that somebody deleted, or put another one in the place of, while
    /// our connections have it open: what they read and write is not what the database's other users
    /// see.
    pub(super) fn lost_sidecar(&self) -> Option<&Path> {
        self.sidecars.get().and_then(Sidecars::lost)
    }

    /// Whether all files are known and where they were.
    pub(super) fn is_whole(&self) -> bool {
        let are_in_place = self
            .sidecars
            .get()
            .is_some_and(|known| known.lost().is_none());
        are_in_place && self.is_in_place()
    }

    /// Checks, once another file is in the place of ours, that none of those beside ours lies beside
    /// that.
    ///
    /// # Errors
    /// As [`Sidecars::assert_left_nothing`].
    pub(super) fn assert_left_nothing(&self) -> Result<()> {
        match self.sidecars.get() {
            Some(known) if !self.is_in_place() => known.assert_left_nothing(&self.file),
            _ => Ok(()),
        }
    }

    /// Checks that a database which lost its log may be opened again: after a while, and once nobody
    /// goes on with that log.
    ///
    /// # Errors
    /// As [`Sidecars::assert_let_go`].
    pub(super) fn assert_let_go(&self, has_waited: bool) -> Result<()> {
        match self.sidecars.get() {
            Some(known) if has_waited => known.assert_let_go(&self.file),
            Some(known) => Err(known.lost_error(&self.file, "", "try again in a second")),
            None => Ok(()),
        }
    }
}

/// The directory in which the database and the files beside it lie; none if the file is a link to one
/// elsewhere, where those lie.
fn directory_of(file: &Path) -> Option<PathBuf> {
    let is_link = file
        .symlink_metadata()
        .map_or(true, |found| found.is_symlink());
    file.parent().filter(|_| !is_link).map(Path::to_owned)
}

/// Which directory a path names, and when the names in it changed last.
fn changed_at(directory: &Path) -> Option<(FileIdentity, SystemTime)> {
    let found = std::fs::metadata(directory).ok()?;
    Some((FileIdentity::from_metadata(&found), found.modified().ok()?))
}

/// Whether a change from now on would tell another time than this one.
fn is_settled(changed_at: SystemTime) -> bool {
    let fraction = changed_at.duration_since(SystemTime::UNIX_EPOCH);
    let fraction = fraction.map_or(0, |since| since.subsec_nanos());
    let settled = match fraction {
        0 => SETTLED_COARSELY,
        _ => SETTLED,
    };
    let age = SystemTime::now().duration_since(changed_at);
    age.is_ok_and(|age| age > settled)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A directory whose last change is long ago, with a file in it that is no link.
    fn settled() -> (tempfile::TempDir, Place) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.db");
        fs::write(&file, "a").unwrap();
        fs::write(directory.path().join("other"), "b").unwrap();
        settle(directory.path());
        let place = Place::of(&file).unwrap();
        (directory, place)
    }

    fn settle(directory: &Path) {
        let long_ago = SystemTime::now() - Duration::from_secs(60);
        let directory = fs::File::open(directory).unwrap();
        directory.set_modified(long_ago).unwrap();
    }

    fn is_trusted(place: &Place) -> bool {
        place.undisturbed.lock().is_some()
    }

    #[test]
    fn a_file_that_is_replaced_or_deleted_is_noticed_at_once() {
        let (directory, place) = settled();
        assert!(place.is_current().unwrap() && is_trusted(&place));
        fs::rename(directory.path().join("other"), place.file()).unwrap();
        assert!(!place.is_current().unwrap() && !is_trusted(&place));
        // Also where the clock was set back meanwhile.
        let (directory, place) = settled();
        assert!(place.is_current().unwrap());
        fs::remove_file(place.file()).unwrap();
        settle(directory.path());
        assert!(place.is_current().is_err());
    }

    #[test]
    fn a_directory_that_has_just_changed_is_not_trusted() {
        let (directory, place) = settled();
        fs::write(directory.path().join("new"), "c").unwrap();
        assert!(place.is_current().unwrap());
        assert!(!is_trusted(&place));
    }

    #[test]
    fn a_time_is_settled_once_the_next_change_must_tell_another() {
        let now = SystemTime::now();
        assert!(
            !is_settled(now + Duration::from_secs(60)),
            "the clock was set back"
        );
        let seconds = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let whole = |ago| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds - ago);
        assert!(!is_settled(whole(1)) && is_settled(whole(4)));
        let fine = whole(1) + Duration::from_nanos(1);
        assert!(is_settled(fine) && !is_settled(now));
    }

    #[test]
    fn a_directory_in_the_place_of_ours_is_not_trusted() {
        let (directory, _) = settled();
        let [ours, theirs] = ["ours", "theirs"].map(|name| directory.path().join(name));
        for place in [&ours, &theirs] {
            fs::create_dir(place).unwrap();
            fs::write(place.join("a.db"), "a").unwrap();
            settle(place);
        }
        let place = Place::of(&ours.join("a.db")).unwrap();
        assert!(place.is_current().unwrap() && is_trusted(&place));
        fs::rename(&ours, directory.path().join("aside")).unwrap();
        fs::rename(&theirs, &ours).unwrap();
        assert!(!place.is_current().unwrap());
    }

    #[cfg(unix)]
    #[test]
    fn the_directory_of_a_link_tells_nothing() {
        let (directory, place) = settled();
        let link = directory.path().join("link.db");
        std::os::unix::fs::symlink(place.file(), &link).unwrap();
        settle(directory.path());
        let linked = Place::of(&link).unwrap();
        assert!(linked.is_current().unwrap());
        assert!(!is_trusted(&linked));
    }
}
