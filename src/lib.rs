//! An indexed cache of source-file metadata that never lies about its database.

#[cfg(feature = "sqlite")]
mod cardex;
mod clock;
#[cfg(feature = "cli")]
pub mod config;
mod error;
#[cfg(feature = "extract")]
pub mod extract;
mod index;
#[cfg(feature = "extract")]
mod indexing;
mod metadata;
mod position;
mod query;
mod stats;
pub mod store;
mod suggest;
mod sync;
mod worker;

#[cfg(feature = "sqlite")]
pub use cardex::{Cardex, CardexBuilder};
pub use clock::{Clock, ManualClock, SystemClock};
pub use error::{Error, ErrorKind, Excerpt, Result};
pub use index::{Hit, Index, MemoryUse, Snapshot, TermCounts};
#[cfg(feature = "extract")]
pub use indexing::{IndexReport, MAX_SKIPPED_KEPT, index_tree};
pub use metadata::{
    ChangeRecord, Class, DocSections, DocumentType, FileMetadata, FileMetadataBuilder, FilePath,
    Function, HeaderSections, LineRange, MAX_PATH_BYTES,
};
pub use position::Position;
pub use query::{Answer, LayerPlan, Plan, PlanStep, QUERY_FIELDS, Query, QueryBuilder};
pub use stats::Counter;
pub use sync::{SyncMode, SyncReport, Synchronizer};
