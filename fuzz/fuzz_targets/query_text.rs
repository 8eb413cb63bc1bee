//! Texts of queries: see `claims/query_text.rs` for what must hold of each.

#![no_main]

#[path = "../claims/query_text.rs"]
mod query_text;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    query_text::check(bytes);
});
