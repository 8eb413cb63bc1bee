//! The kernel's small text files, below a root that tests lay out themselves.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Where `/proc` and `/sys` are.
#[derive(Clone, Debug)]
pub(super) struct Files {
    root: PathBuf,
}

/// What a file says. Absent and unreadable are never the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Text {
    Absent,
    Unreadable,
    Says(String),
}

/// What a file says that holds one limit, or one count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// There is no such file, or it says that there is no limit.
    Absent,
    Unreadable,
    Is(u64),
}

/// Numbers by their names; nothing if the file cannot be read.
#[derive(Debug, Default)]
pub(super) struct Keyed(HashMap<String, u64>);

impl Keyed {
    pub(super) fn get(&self, key: &str) -> Option<u64> {
        self.0.get(key).copied()
    }
}

impl Files {
    pub(super) fn below(root: PathBuf) -> Self {
        Files { root }
    }

    /// A path of the machine, absolute or not, as one below the root.
    pub(super) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// What is not UTF-8 in it, such as the name of somebody's mount point, spoils its own line only.
    pub(super) fn text(&self, path: impl AsRef<Path>) -> Text {
        match std::fs::read(self.path(path)) {
            Ok(bytes) => Text::Says(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if is_absence(error.kind()) => Text::Absent,
            Err(_) => Text::Unreadable,
        }
    }

    /// The one number of a file; `max` is no limit.
    pub(super) fn number(&self, path: impl AsRef<Path>) -> Number {
        match self.text(path) {
            Text::Absent => Number::Absent,
            Text::Unreadable => Number::Unreadable,
            Text::Says(text) => match text.trim() {
                "max" => Number::Absent,
                text => text.parse().map_or(Number::Unreadable, Number::Is),
            },
        }
    }

    /// The lines `NAME NUMBER …` of a file, or `NAME: NUMBER …`; others are left out.
    pub(super) fn keyed(&self, path: impl AsRef<Path>, after_name: char) -> Keyed {
        let Text::Says(text) = self.text(path) else {
            return Keyed::default();
        };
        let line = |line: &str| {
            let (name, rest) = line.split_once(after_name)?;
            let number = rest.split_whitespace().next()?.parse().ok()?;
            Some((name.to_owned(), number))
        };
        Keyed(text.lines().filter_map(line).collect())
    }

    /// The share of the last ten seconds in which some process waited for memory, 0.0 to 1.0: `avg10`
    /// of the line `some` of pressure stall information. `None` where the kernel does not count it.
    pub(super) fn stall_share(&self, path: impl AsRef<Path>) -> Option<f64> {
        let Text::Says(text) = self.text(path) else {
            return None;
        };
        let some = text.lines().find(|line| line.starts_with("some "))?;
        let average = some
            .split_whitespace()
            .find_map(|field| field.strip_prefix("avg10="))?;
        let percent: f64 = average.parse().ok()?;
        (0.0..=100.0).contains(&percent).then(|| percent / 100.0)
    }
}

/// A kernel that was built without pressure stall information may have the file and not serve it.
fn is_absence(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::Unsupported
    )
}
