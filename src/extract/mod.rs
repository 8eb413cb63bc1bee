//! From a source tree to records.
//!
//! [`Scanner`] walks a tree as git sees it, compares each file with what is known of it, and hands
//! what is new or changed to an [`Extractor`]: [`TreeSitterExtractor`], or one that the host brings.
//! Nothing in here knows of databases or indexes: what comes out are [`Outcome`]s.
//!
//! # What becomes a record
//!
//! Every regular text file that git would see, up to 16 MiB. A file of a parsed language (C,
//! Go, Java, JavaScript, Markdown, Python, Rust, TypeScript; C#, C++, PHP, Ruby with the feature
//! `extract-more`) has its functions and classes; one of another known language has its header and
//! the documents it cites; one of no known language is recorded all the same, without language, so
//! that it is found by path. Text whose contents are not understood (another encoding, lines of
//! machines, syntax that no parser gets through in time) is recorded without them, and told of as
//! [`Outcome::Bare`]. What is left out for another reason than an ignore rule is told as
//! [`Skipped`], with its reason.
//!
//! # What counts as a class
//!
//! Every type that a file defines with a body of its own: class, struct, union, enum, trait,
//! interface, record, annotation type, Ruby module; each named type of Go and each type alias of
//! TypeScript, which define types by naming them. A Rust type that a file only implements has an
//! entry with those methods. An alias of C or Rust is another name for a type, and none.
//!
//! # Staleness
//!
//! A record follows from its file's bytes, with one exception: a document that a comment mentions
//! is cited only if it exists when the file is read. A document that appears later is cited from
//! the next extraction of the file on.

mod comment;
mod grammar;
mod header;
mod language;
mod outline;
mod parser;
mod read;
mod references;
mod rules;
mod scan;
mod secrets;
mod skip;
mod source;
mod state;
mod walk;

pub use language::Language;
pub use parser::{EXTRACTOR_VERSION, MAX_LINE_BYTES, TreeSitterExtractor};
pub use scan::{Outcome, Progress, ScanOptions, Scanner};
pub use skip::{SkipReason, Skipped};
pub use source::{Budget, Extractor, Source};
pub use state::digest;
#[cfg(feature = "watch")]
pub(crate) use walk::{Filter, excludes, outside};
