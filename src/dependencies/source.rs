//! A file or a directory that an entry was made from. Which of both it is need not be known: whatever
//! happens to it, to something below it, or to a directory that holds it, concerns the entry.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::error::Result;
use crate::metadata::FilePath;

/// A file or directory inside the root, or the root itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Source(SmolStr);

impl Source {
    /// The root: everything.
    pub const ROOT: Source = Source(SmolStr::new_static(""));

    /// What a path names: one from the root, or an absolute one inside it.
    ///
    /// # Errors
    /// `InvalidPath` for a path that leads out of the root, and for what [`FilePath`] refuses.
    pub fn under(root: &Path, path: &str) -> Result<Self> {
        // Normalised, the root has no name; a file of it has.
        let probe = Path::new(path).join("x");
        let normal = FilePath::under(root, &probe)?;
        let normal = normal.as_str();
        let cut = normal.len() - 1;
        Ok(Source(normal[..cut].trim_end_matches('/').into()))
    }

    /// Its path from the root, `/`-separated; empty for the root itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Itself, and each directory above it up to the root, which comes last.
    pub(crate) fn and_above(path: &str) -> impl Iterator<Item = &str> {
        let mut next = Some(path);
        std::iter::from_fn(move || {
            let this = next?;
            next = match this {
                "" => None,
                this => Some(this.rfind('/').map_or("", |at| &this[..at])),
            };
            Some(this)
        })
    }

    /// Whether a change of this file, or of everything below it, concerns this.
    pub fn is_touched_by(&self, path: &str) -> bool {
        let is_above = |above: &str, below: &str| {
            let rest = below.strip_prefix(above);
            above.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        is_above(&self.0, path) || is_above(path, &self.0)
    }
}

impl From<&FilePath> for Source {
    fn from(path: &FilePath) -> Self {
        Source(path.as_str().into())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "." } else { &self.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_normal_and_inside_the_root() {
        let under = |path| Source::under(Path::new("/p"), path);
        for (path, normal) in [
            ("src/a.rs", "src/a.rs"),
            ("./src//b/", "src/b"),
            ("/p/src/../x", "x"),
            (".", ""),
            ("/p", ""),
            ("src/..", ""),
        ] {
            assert_eq!(under(path).unwrap().as_str(), normal, "{path}");
        }
        for outside in ["..", "/etc/passwd", "/pp/x", "src/../../x"] {
            assert!(under(outside).is_err(), "{outside}");
        }
    }

    #[test]
    fn a_directory_is_touched_by_what_is_below_and_above_it() {
        let source = Source::under(Path::new("/p"), "src/b").unwrap();
        for path in ["src/b", "src/b/c.rs", "src"] {
            assert!(source.is_touched_by(path), "{path}");
            assert!(Source::ROOT.is_touched_by(path));
        }
        for path in ["src/bc", "srcs", "src/a", "b"] {
            assert!(!source.is_touched_by(path), "{path}");
        }
        let above: Vec<&str> = Source::and_above("a/b/c").collect();
        assert_eq!(above, ["a/b/c", "a/b", "a", ""]);
    }
}
