//! cardex keeps what is known of a project's source files (language, functions, classes, the
//! documents they cite) in a database, and answers questions about them from an index that is
//! complete, fast, and never silently wrong.
//!
//! Dear user: you need one type, [`Cardex`]. It opens the database, loads the index, and follows
//! the one with the other, whoever writes to it. Ask it with a [`Query`]; each [`Answer`] is in path
//! order and tells which [`Position`] of the database's change log it reflects.
//!
//! ```
//! use cardex::{Cardex, Class, FileMetadata, Function, Query};
//!
//! # let directory = tempfile::tempdir().unwrap();
//! # let file = directory.path().join("project.db");
//! let cardex = Cardex::builder().database(&file).open()?;
//! cardex.update(
//!     &FileMetadata::builder("src/lexer.py")
//!         .language("python")
//!         .class(Class::named("Lexer").method(Function::named("parse")))
//!         .reference("docs/GRAMMAR.md")
//!         .build()?,
//! )?;
//!
//! let query = Query::builder().language("python").function("Lexer.parse").limit(20).build()?;
//! let answer = cardex.query(&query)?;
//! assert_eq!(answer.paths().collect::<Vec<_>>(), ["src/lexer.py"]);
//! assert_eq!(answer.as_of(), cardex.store().head()?);
//! # Ok::<(), cardex::Error>(())
//! ```
//!
//! # Where things are
//!
//! - [`Query`] and [`QueryBuilder`]: what can be asked. What is wrong with a question is an
//!   [`Error`] when it is built, never a wider answer.
//! - [`Cardex::snapshot`](MetadataCache::snapshot): many questions to one instant. It takes no lock
//!   and outlives what follows.
//! - [`Cardex::get`](MetadataCache::get), [`Cardex::query_records`](MetadataCache::query_records):
//!   whole records, from memory where they are there. [`CacheOptions`] bounds that memory, and no
//!   answer depends on it.
//! - [`Cardex::update`](MetadataCache::update), [`Cardex::remove`](MetadataCache::remove): your own
//!   writes are seen by your next query. [`Cardex::sync`](MetadataCache::sync) brings in everybody
//!   else's: other processes, other programs, a person with `sqlite3`.
//! - [`FileMetadata`]: a record, made by a builder or read from JSON.
//! - [`store`]: the database behind all that, and the trait to bring another one.
//! - [`CacheCoordinator`]: all caches of a program, yours by the trait [`Cache`], giving room together
//!   when memory is tight.
//! - [`tier`]: bytes under keys that expire, in memory, on disk or on a Redis server, for what is derived
//!   from files.
//! - [`kv`]: values of any type over such a tier, made by one load for all who miss them.
//! - [`component`]: a host whose parts start in the order of their dependencies and stop in reverse,
//!   the cache among them.
#![cfg_attr(
    feature = "extract",
    doc = "- [`extract`] and [`index_tree`]: from a source tree to records."
)]
#![cfg_attr(
    feature = "watch",
    doc = "- [`watch`]: following a source tree as it changes."
)]
#![cfg_attr(
    feature = "server",
    doc = "- [`server`]: answering over HTTP, for other programs of this machine."
)]
#![cfg_attr(
    feature = "cli",
    doc = "- [`config`]: the command's configuration, layer over layer."
)]
//!
//! # What may block
//!
//! Queries do no I/O and take no lock. Verbs that touch the database say so; they wait at most for
//! its time-outs ([`store::SqliteOptions`]). There is no async twin: call those verbs from a thread
//! that may block.
//!
//! # Features
//!
//! `sqlite` (default): the embedded database. `extract`: tree-sitter extraction for C, Go, Java,
//! JavaScript, Markdown, Python, Rust and TypeScript; `extract-more` adds C#, C++, PHP and Ruby.
//! `watch`: following a source tree as it changes. `server`: answering over HTTP. `pressure`: how tight
//! memory is, also on machines that are not Linux. `redis`: a tier that processes share. `cli`: the
//! `cardex` command. `full`: everything.

mod bounded;
pub mod bus;
mod cache;
#[cfg(feature = "sqlite")]
mod cardex;
mod clock;
pub mod component;
#[cfg(feature = "cli")]
pub mod config;
mod coordinator;
pub mod dependencies;
#[cfg(feature = "sqlite")]
pub mod derived;
mod error;
mod eviction;
#[cfg(feature = "extract")]
pub mod extract;
mod freshness;
mod health;
mod index;
#[cfg(feature = "extract")]
mod indexing;
mod key_turns;
pub mod kv;
mod machine;
mod metadata;
mod metadata_cache;
mod panics;
mod passes;
mod plain_file;
mod position;
mod primitives;
mod query;
mod ratio;
#[cfg(any(feature = "cli", feature = "redis"))]
mod redact;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "server")]
pub mod server;
mod single_flight;
mod stats;
pub mod store;
mod suggest;
mod sync;
#[cfg(any(feature = "cli", feature = "server"))]
mod text_file;
pub mod tier;
#[cfg(any(feature = "cli", feature = "server"))]
mod units;
#[cfg(feature = "watch")]
pub mod watch;
mod worker;

#[cfg(feature = "redis")]
pub use self::redis::{RedisClient, RedisOptions};
pub use bounded::{BoundedMap, BoundedStats, Evicted, Inserted, Limits, RemovalCause, Usage};
pub use cache::{Cache, CacheReport, CacheUsage, Scope};
#[cfg(feature = "sqlite")]
pub use cardex::{Cardex, CardexBuilder};
pub use clock::{Clock, ManualClock, SystemClock};
pub use coordinator::{
    CacheCoordinator, CacheEntry, CacheOutcome, CoordinatorOptions, CoordinatorStats, Pressure,
    PressureGauge, RoundCause, RoundReport,
};
pub use error::{Error, ErrorKind, Excerpt, Result};
pub use eviction::Strategy;
pub use freshness::Freshness;
pub use health::{Health, HealthState, Reason};
pub use index::{Hit, Index, MemoryUse, ScopeMatcher, Snapshot, TermCounts};
#[cfg(feature = "extract")]
pub use indexing::{FileChange, IndexReport, MAX_SKIPPED_KEPT, index_paths, index_tree};
pub use machine::{MemoryLimit, SystemMemory};
pub use metadata::{
    ChangeRecord, Class, DocSections, DocumentType, FileMetadata, FileMetadataBuilder, FilePath,
    FileState, Function, HeaderSections, LineRange, MAX_PATH_BYTES,
};
pub use metadata_cache::{
    CacheOptions, CacheStats, ChangeFeed, Fetch, MetadataCache, Missing, Page, Record,
};
pub use position::Position;
pub use query::{
    Answer, LayerPlan, MAX_QUERY_TEXT_BYTES, Plan, PlanStep, QUERY_FIELDS, Query, QueryBuilder,
};
pub use stats::Counter;
pub use sync::{LastSync, SyncFailure, SyncMode, SyncReport, Synchronizer};

/// The README's examples, compiled and run.
#[cfg(all(doctest, feature = "sqlite"))]
#[doc = include_str!("../README.md")]
pub struct Readme;
