//! The fuzzer's corpus of query texts: what must hold of any text holds of each of these, and of each
//! cut short.

use std::fs;
use std::path::Path;

#[path = "../fuzz/claims/query_text.rs"]
#[expect(unreachable_pub, reason = "the fuzzer uses it, too")]
mod query_text;

#[test]
fn every_text_of_the_corpus_is_a_query_or_refused_with_its_place() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/query_text");
    let (mut queries, mut refused) = (0, 0);
    for file in fs::read_dir(corpus).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        match query_text::check(&bytes) {
            true => queries += 1,
            false => refused += 1,
        }
        for end in 0..bytes.len().min(2000) {
            query_text::check(&bytes[..end]);
        }
    }
    assert!(queries >= 20 && refused >= 20, "{queries} and {refused}");
}
