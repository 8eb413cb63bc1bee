//! Where the database is: the value of `database.url`, its one meaning, and how it is shown without
//! its secrets.

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

/// The text without passwords: everything between the user's name and the host, and the value of
/// a `password` parameter. It hides too much rather than too little.
pub(super) fn redact(text: &str) -> String {
    let mut shown = text.to_owned();
    if let Some(start) = shown.find("://").map(|at| at + 3)
        && let Some(end) = shown.rfind('@')
        && let Some(colon) = shown.get(start..end).and_then(|user| user.find(':'))
    {
        shown.replace_range(start + colon + 1..end, "***");
    }
    let mut from = 0;
    while let Some(found) = shown[from..].to_ascii_lowercase().find("password=") {
        let start = from + found + "password=".len();
        let end = shown[start..]
            .find(['&', ' ', '"', '\''])
            .map_or(shown.len(), |at| start + at);
        shown.replace_range(start..end, "***");
        from = start + 3;
    }
    shown
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

    #[test]
    fn passwords_are_never_shown() {
        assert_eq!(
            redact("postgres://me:p@ss:w/d@h/d"),
            "postgres://me:***@h/d"
        );
        assert_eq!(redact("postgres://me@h/d"), "postgres://me@h/d");
        assert_eq!(
            redact("postgres://h/d?Password=x&sslpassword=y"),
            "postgres://h/d?Password=***&sslpassword=***"
        );
        assert_eq!(redact("host=h password=x"), "host=h password=***");
        assert_eq!(redact(".cardex/cardex.db"), ".cardex/cardex.db");
    }
}
