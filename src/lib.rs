//! An indexed cache of source-file metadata that never lies about its database.

mod clock;
mod error;
#[cfg(feature = "extract")]
pub mod extract;
mod metadata;
mod position;
mod stats;
pub mod store;

pub use clock::{Clock, ManualClock, SystemClock};
pub use error::{Error, ErrorKind, Excerpt, Result};
pub use metadata::{
    ChangeRecord, Class, DocSections, DocumentType, FileMetadata, FileMetadataBuilder, FilePath,
    Function, HeaderSections, LineRange, MAX_PATH_BYTES,
};
pub use position::Position;
pub use stats::Counter;
