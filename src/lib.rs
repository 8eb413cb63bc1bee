//! An indexed cache of source-file metadata that never lies about its database.

mod bounded;
#[cfg(feature = "sqlite")]
mod cardex;
mod clock;
mod error;
mod eviction;
#[cfg(feature = "extract")]
pub mod extract;
mod index;
mod metadata;
mod position;
mod query;
mod stats;
pub mod store;
mod suggest;
mod sync;
mod worker;

pub use bounded::{BoundedMap, BoundedStats, Evicted, Inserted, Limits, RemovalCause, Usage};
#[cfg(feature = "sqlite")]
pub use cardex::{Cardex, CardexBuilder};
pub use clock::{Clock, ManualClock, SystemClock};
pub use error::{Error, ErrorKind, Excerpt, Result};
pub use eviction::Strategy;
pub use index::{Hit, Index, MemoryUse, Snapshot, TermCounts};
pub use metadata::{
    ChangeRecord, Class, DocSections, DocumentType, FileMetadata, FileMetadataBuilder, FilePath,
    Function, HeaderSections, LineRange, MAX_PATH_BYTES,
};
pub use position::Position;
pub use query::{Answer, LayerPlan, Plan, PlanStep, QUERY_FIELDS, Query, QueryBuilder};
pub use stats::Counter;
pub use sync::{SyncMode, SyncReport, Synchronizer};
