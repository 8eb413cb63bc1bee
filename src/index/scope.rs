//! What the scope of an invalidation means for a path.

use super::patterns::PathPattern;
use crate::cache::Scope;
use crate::error::Result;
use crate::metadata::FilePath;

/// A [`Scope`] that was checked, ready to be asked of many paths.
#[derive(Clone, Debug)]
pub struct ScopeMatcher(Files);

#[derive(Clone, Debug)]
enum Files {
    All,
    One(FilePath),
    Below(FilePath),
    Matching(Box<PathPattern>),
}

impl Scope {
    /// Checks the scope, for a cache that has many paths to ask about.
    ///
    /// # Errors
    /// `InvalidPath` for a prefix that is no path inside the root: an empty one is not everything.
    /// `InvalidPattern` for a glob that does not parse or is too large.
    pub fn matcher(&self) -> Result<ScopeMatcher> {
        Ok(ScopeMatcher(match self {
            Scope::All => Files::All,
            Scope::Path(path) => Files::One(path.clone()),
            Scope::Prefix(prefix) => Files::Below(FilePath::new(prefix)?),
            Scope::Pattern(glob) => Files::Matching(Box::new(PathPattern::glob(glob)?)),
        }))
    }
}

impl ScopeMatcher {
    /// Whether the scope is about the file of this path, which is normal as a
    /// [`FilePath`] is.
    pub fn covers(&self, path: &str) -> bool {
        match &self.0 {
            Files::All => true,
            Files::One(one) => one.as_str() == path,
            Files::Below(directory) => path
                .strip_prefix(directory.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            Files::Matching(pattern) => pattern.covers(path),
        }
    }

    /// The only path that the scope is about, if there is one.
    pub(crate) fn only(&self) -> Option<&FilePath> {
        match &self.0 {
            Files::One(path) => Some(path),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const PATHS: [&str; 5] = ["src", "src/a.rs", "src/b/c.py", "srcs/a.rs", "a.rs"];

    fn covered(scope: &Scope) -> Vec<&'static str> {
        let matcher = scope.matcher().unwrap();
        PATHS
            .into_iter()
            .filter(|path| matcher.covers(path))
            .collect()
    }

    #[test]
    fn a_scope_is_about_its_files_and_no_others() {
        assert_eq!(covered(&Scope::All), PATHS);
        let path = FilePath::new("src/a.rs").unwrap();
        assert_eq!(covered(&Scope::Path(path)), ["src/a.rs"]);
        for prefix in ["src", "src/", "./src//"] {
            let scope = Scope::Prefix(prefix.to_owned());
            assert_eq!(
                covered(&scope),
                ["src", "src/a.rs", "src/b/c.py"],
                "{prefix}"
            );
        }
        for (glob, files) in [
            ("src/*", vec!["src/a.rs"]),
            ("src/**", vec!["src/a.rs", "src/b/c.py"]),
            ("**/*.rs", vec!["src/a.rs", "srcs/a.rs", "a.rs"]),
            ("a.rs", vec!["a.rs"]),
            ("src*/**", vec!["src/a.rs", "src/b/c.py", "srcs/a.rs"]),
        ] {
            assert_eq!(covered(&Scope::Pattern(glob.to_owned())), files, "{glob}");
        }
    }

    #[test]
    fn a_scope_that_makes_no_sense_is_an_error_and_not_everything() {
        for prefix in ["", "/", "/src", "../src", "."] {
            let error = Scope::Prefix(prefix.to_owned()).matcher().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidPath, "{prefix}");
        }
        let error = Scope::Pattern("src/{a".to_owned()).matcher().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidPattern);
        assert!(error.to_string().contains("src/{a"), "{error}");
    }
}
