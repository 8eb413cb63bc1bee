//! One file a language with every construct, and what becomes of it. The snapshots are the claim:
//! they were read against the fixtures line by line.

#![cfg(feature = "extract-more")]
#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::path::Path;
use std::sync::atomic::AtomicBool;

use cardex::FileMetadata;
use cardex::extract::{Outcome, ScanOptions, Scanner};

fn record(name: &str) -> FileMetadata {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/extract");
    let scanner = Scanner::open(&root, ScanOptions::default()).unwrap();
    let mut found = None;
    let path = cardex::FilePath::new(name).unwrap();
    scanner
        .scan_paths(&[path], [], &AtomicBool::new(false), |outcome, _| {
            match outcome {
                Outcome::Extracted(record) => found = Some(*record),
                other => panic!("{other:?}"),
            }
            Ok(())
        })
        .unwrap();
    let mut record = found.unwrap_or_else(|| panic!("no record of {name}"));
    assert!(record.last_modified.take().is_some() && record.extraction_timestamp.take().is_some());
    record
}

macro_rules! languages {
    ($($test:ident $file:literal)*) => {$(
        #[test]
        fn $test() {
            insta::assert_json_snapshot!(record($file));
        }
    )*};
}

languages! {
    python "python.py"
    rust "rust.rs"
    javascript "javascript.jsx"
    typescript "typescript.ts"
    tsx "component.tsx"
    go "go.go"
    java "Java.java"
    c "c.c"
    c_header "c.h"
    cpp "cpp.cpp"
    ruby "ruby.rb"
    csharp "csharp.cs"
    php "php.php"
    markdown "docs/GRAMMAR.md"
    markdown_with_front_matter "page.md"
    yaml "config.yaml"
    text "docs/notes.txt"
}
