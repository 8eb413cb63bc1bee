//! Addresses of servers, as they may be shown: without the secrets in them.

/// The text without passwords: everything between the user's name and the host, and the value of
/// a `password` or `pass` parameter. It hides too much rather than too little.
pub(crate) fn redact(text: &str) -> String {
    let mut shown = text.to_owned();
    if let Some(start) = shown.find("://").map(|at| at + 3)
        && let Some(end) = shown.rfind('@')
        && let Some(colon) = shown.get(start..end).and_then(|user| user.find(':'))
    {
        shown.replace_range(start + colon + 1..end, "***");
    }
    for parameter in ["password=", "pass="] {
        let mut from = 0;
        while let Some(found) = shown[from..].to_ascii_lowercase().find(parameter) {
            let start = from + found + parameter.len();
            let end = shown[start..]
                .find(['&', ' ', '"', '\''])
                .map_or(shown.len(), |at| start + at);
            shown.replace_range(start..end, "***");
            from = start + 3;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(redact("unix:///s?pass=x&db=1"), "unix:///s?pass=***&db=1");
        assert_eq!(redact("redis://:secret@h:1/0"), "redis://:***@h:1/0");
        assert_eq!(redact(".cardex/cardex.db"), ".cardex/cardex.db");
    }
}
