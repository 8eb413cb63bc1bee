//! What holds of every text, for the fuzzer and for the test that runs its corpus.

use cardex::{ErrorKind, Query};

/// Asserts that a text is a query whose own text reads back the same, or is refused with a place in it.
/// Returns whether it is a query; bytes that are no text are none.
pub fn check(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    match Query::parse(text) {
        Ok(query) => {
            let same = query.to_text();
            let again = Query::parse(&same).expect("a query's own text is a query");
            assert_eq!(again, query, "{same}");
            assert_eq!(again.to_text(), same);
            assert_eq!(again.to_string(), query.to_string());
            true
        }
        Err(error) => {
            let kinds = [ErrorKind::InvalidQuery, ErrorKind::InvalidPattern];
            assert!(kinds.contains(&error.kind()), "{error:?}");
            let excerpt = error.excerpt().expect("the place is told");
            assert_eq!(excerpt.text, text);
            assert!(text.get(excerpt.at.clone()).is_some(), "{excerpt:?}");
            false
        }
    }
}
