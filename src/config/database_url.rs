//! Where the database is: the value of `database.url`, and its one meaning.

use std::path::{Path, PathBuf};

/// What is wrong with a value, and what to give instead.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) reason: String,
    pub(super) help: String,
}

const WORKS: &str = "give a SQLite file: a path such as .cardex/cardex.db, or sqlite:PATH";

/// The SQLite file that the text names; a relative path starts at `base`.
pub(super) fn sqlite_file(text: &str, base: &Path) -> Result<PathBuf, Refusal> {
    let refuse = |reason: &str| Refusal {
        reason: reason.to_owned(),
        help: WORKS.to_owned(),
    };
    let path = match text.split_once(':') {
        Some(("sqlite", rest)) => rest.strip_prefix("//").unwrap_or(rest),
        Some(("postgres" | "postgresql", _)) => {
            return Err(refuse("names PostgreSQL, which is not built yet"));
        }
        Some((_, rest)) if rest.starts_with("//") => {
            return Err(refuse("names a database of an unknown kind"));
        }
        _ => text,
    };
    if path.is_empty() {
        return Err(refuse("names no file"));
    }
    if path.contains(":memory:") {
        return Err(refuse(
            "names a database in memory, which would end with the command",
        ));
    }
    if path.ends_with('/') || Path::new(path).is_dir() {
        return Err(refuse("names a directory"));
    }
    Ok(base.join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_or_a_sqlite_url_names_a_file() {
        let file = |text| sqlite_file(text, Path::new("/base")).unwrap();
        assert_eq!(file("a.db"), Path::new("/base/a.db"));
        assert_eq!(file("sqlite:a.db"), Path::new("/base/a.db"));
        assert_eq!(file("sqlite:///x/a.db"), Path::new("/x/a.db"));
        assert_eq!(file("/x/a.db"), Path::new("/x/a.db"));
    }

    #[test]
    fn what_is_no_sqlite_file_is_refused() {
        for bad in [
            "",
            "sqlite:",
            "postgres://h/d",
            "postgresql://h/d",
            "mysql://h/d",
            ":memory:",
            "sqlite::memory:",
            "/tmp",
            "dir/",
        ] {
            let refusal = sqlite_file(bad, Path::new("/base")).unwrap_err();
            assert!(refusal.help.contains("SQLite"), "{bad}");
        }
    }
}
