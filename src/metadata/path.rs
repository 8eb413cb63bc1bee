//! `FilePath`: the one place where paths are normalised and held inside the project root.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// The longest path accepted, in bytes (`PATH_MAX` of Linux).
pub const MAX_PATH_BYTES: usize = 4096;

/// The path of a file relative to its project's root: `/`-separated, without `.`, `..`, empty
/// parts or NUL, never empty. Compares by bytes, which is the order of every answer. Clones share
/// the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "Arc<str>")]
pub struct FilePath(Arc<str>);

impl FilePath {
    /// Normalises a relative path: `./a//b/../c.rs` is `a/c.rs`.
    ///
    /// # Errors
    /// `InvalidPath` if it is empty, absolute, climbs above the root, is longer than
    /// [`MAX_PATH_BYTES`] or contains NUL.
    pub fn new(text: &str) -> Result<Self> {
        if text.len() > MAX_PATH_BYTES {
            return Err(refuse(
                &text[..text.floor_char_boundary(80)],
                "it is longer than 4096 bytes",
            ));
        }
        if text.starts_with('/') {
            return Err(refuse(text, "it is absolute").with_help(
                "give a path relative to the project root, or make it relative to the root first",
            ));
        }
        if text.contains('\0') {
            return Err(refuse(text, "it contains a NUL byte"));
        }
        if is_normal(text) {
            return Ok(FilePath(text.into()));
        }
        let mut parts = Vec::new();
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    if parts.pop().is_none() {
                        return Err(refuse(text, "it leads out of the project root"));
                    }
                }
                part => parts.push(part),
            }
        }
        if parts.is_empty() {
            return Err(refuse(text, "it names no file"));
        }
        Ok(FilePath(parts.join("/").into()))
    }

    /// Makes `path` relative to `root`. A relative `path` is taken as relative to the root already;
    /// an absolute one must lie inside the root. Symbolic links are not followed: see
    /// [`FilePath::resolve_in`].
    ///
    /// # Errors
    /// `InvalidPath` as for [`FilePath::new`], or if the path is outside the root or not UTF-8.
    pub fn under(root: &Path, path: &Path) -> Result<Self> {
        let inside = if path.is_absolute() {
            let (root, path) = (lexical(root), lexical(path));
            path.strip_prefix(&root)
                .map_err(|_| {
                    refuse(&path.to_string_lossy(), "it is outside the project root")
                        .with_help(format!("the root is {}", root.display()))
                })?
                .to_path_buf()
        } else {
            path.to_path_buf()
        };
        let text = inside
            .to_str()
            .ok_or_else(|| refuse(&inside.to_string_lossy(), "it is not valid UTF-8"))?;
        Self::new(text)
    }

    /// The file on disk, with every symbolic link resolved, if it is still inside `root` then.
    ///
    /// # Errors
    /// `Io` if the file cannot be reached, `InvalidPath` if a link leads out of the root.
    pub fn resolve_in(&self, root: &Path) -> Result<PathBuf> {
        let unreachable = |path: &Path, cause| {
            Error::new(ErrorKind::Io, format!("cannot reach {}", path.display())).because(cause)
        };
        let joined = root.join(&*self.0);
        let root = root.canonicalize().map_err(|e| unreachable(root, e))?;
        let real = joined.canonicalize().map_err(|e| unreachable(&joined, e))?;
        if real.starts_with(&root) {
            Ok(real)
        } else {
            Err(refuse(
                &self.0,
                "a symbolic link leads it out of the project root",
            ))
        }
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn refuse(path: &str, reason: &str) -> Error {
    Error::new(
        ErrorKind::InvalidPath,
        format!("path `{path}` is refused: {reason}"),
    )
}

fn is_normal(text: &str) -> bool {
    !text.is_empty() && text.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Removes `.` and `..` from an absolute path without asking the file system.
fn lexical(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

impl AsRef<str> for FilePath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for FilePath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for FilePath {
    type Error = Error;
    fn try_from(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

impl TryFrom<String> for FilePath {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::new(&text)
    }
}

impl From<FilePath> for Arc<str> {
    fn from(path: FilePath) -> Self {
        path.0
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(text: &str) -> String {
        FilePath::new(text).unwrap().as_str().to_owned()
    }

    #[test]
    fn normalises() {
        assert_eq!(normal("src/a.rs"), "src/a.rs");
        assert_eq!(normal("./src//x/../a.rs"), "src/a.rs");
        assert_eq!(normal("a/"), "a");
        assert_eq!(normal("..a/b"), "..a/b");
    }

    #[test]
    fn refuses_what_is_no_file_of_the_project() {
        for bad in [
            "",
            ".",
            "/etc/passwd",
            "..",
            "a/../..",
            "a/../../b",
            "a\0b",
            &"x".repeat(4097),
        ] {
            let error = FilePath::new(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidPath, "{bad}");
        }
    }

    #[test]
    fn absolute_inside_the_root_becomes_relative() {
        let root = Path::new("/home/me/tree");
        let under = |path: &str| FilePath::under(root, Path::new(path));
        assert_eq!(
            under("/home/me/tree/src/a.rs").unwrap().as_str(),
            "src/a.rs"
        );
        assert_eq!(
            under("/home/me/tree/../tree/a.rs").unwrap().as_str(),
            "a.rs"
        );
        assert_eq!(under("src/a.rs").unwrap().as_str(), "src/a.rs");
        assert!(under("/home/me/treehouse/a.rs").is_err());
        assert!(under("/home/me/tree/../a.rs").is_err());
        assert!(under("/home/me/tree").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_out_of_the_root_is_refused() {
        let outside = tempfile::tempdir().unwrap();
        let root = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "x").unwrap();
        std::fs::write(root.path().join("own"), "x").unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("link")).unwrap();
        assert!(
            FilePath::new("own")
                .unwrap()
                .resolve_in(root.path())
                .is_ok()
        );
        let error = FilePath::new("link/secret")
            .unwrap()
            .resolve_in(root.path())
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidPath);
        let error = FilePath::new("gone")
            .unwrap()
            .resolve_in(root.path())
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
    }
}
