//! Which tree a database follows, and by which extractor its records were made. Kept beside the
//! database, in `NAME.tree.json`: a database without it holds what was imported, and nothing in it is
//! removed because a file is missing.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use cardex::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

/// What is known of the tree of a database.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tree {
    /// The tree's root.
    pub(super) root: PathBuf,
    /// The extractor of the last run that went through; none before that.
    #[serde(default)]
    pub(super) extractor: Option<String>,
    /// When that run ended.
    #[serde(default)]
    pub(super) indexed_at: Option<chrono::DateTime<chrono::Utc>>,
}

/// The extractor of this program: other features know other languages.
pub(super) fn extractor() -> String {
    let more = if cfg!(feature = "extract-more") {
        "+more"
    } else {
        ""
    };
    format!("{}{more}", cardex::extract::EXTRACTOR_VERSION)
}

impl Tree {
    /// What stands beside the database; none if it follows no tree.
    pub(super) fn read(database: &Path) -> Result<Option<Tree>> {
        let file = file(database);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(fail("read", &file).because(e)),
        };
        let tree = serde_json::from_str(&text).map_err(|e| {
            let help = "remove it, and run `cardex index`";
            fail("understand", &file).because(e).with_help(help)
        })?;
        Ok(Some(tree))
    }

    /// Writes it beside the database, whole or not at all.
    pub(super) fn write(&self, database: &Path) -> Result<()> {
        let file = file(database);
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| Error::new(ErrorKind::Internal, "cannot serialise a tree").because(e))?;
        let fresh = file.with_extension(format!("{}.new", std::process::id()));
        fs::write(&fresh, text + "\n")
            .and_then(|()| fs::rename(&fresh, &file))
            .map_err(|e| fail("write", &file).because(e))
    }

    /// Refuses to let a database of one tree follow another: each run would remove the other's
    /// records. A tree that was moved is the same one, and one that was copied has its own database.
    pub(super) fn assert_follows(&self, root: &Path, database: &Path) -> Result<()> {
        let copied = database.starts_with(root) && !database.starts_with(&self.root);
        if self.root == root || !self.root.is_dir() || copied {
            return Ok(());
        }
        let (database, other) = (database.display(), self.root.display());
        let message = format!("the database {database} holds the index of {other}");
        Err(Error::new(ErrorKind::InvalidInput, message)
            .with_help("give each tree a database of its own"))
    }
}

fn file(database: &Path) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(".tree.json");
    PathBuf::from(name)
}

fn fail(what: &str, file: &Path) -> Error {
    Error::new(ErrorKind::Io, format!("cannot {what} {}", file.display()))
}
