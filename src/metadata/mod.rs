//! `FileMetadata`: what is known of one source file. Records are made once, by a builder or from
//! JSON, and shared read-only ever after; whatever is wrong with one is refused while it is made.

mod parts;
mod path;
mod state;
mod weight;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use self::parts::null_as_default;
pub use self::parts::{
    ChangeRecord, Class, DocSections, DocumentType, Function, HeaderSections, LineRange,
};
pub use self::path::{FilePath, MAX_PATH_BYTES};
pub use self::state::FileState;
use crate::error::Result;

/// Everything known of one source file. JSON on the wire is camelCase; absent values and empty
/// lists may be left out or null, unknown fields are ignored, the order of lists is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FileMetadata {
    /// Where it is: relative to the project's root, unique in the project.
    #[cfg_attr(feature = "server", schemars(with = "String"))]
    pub path: FilePath,
    /// Its language; compared without regard to ASCII case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<SmolStr>,
    /// What its header says.
    #[serde(default, deserialize_with = "null_as_default")]
    pub header_sections: HeaderSections,
    /// Its free functions, in the order of the file.
    #[serde(default, deserialize_with = "null_as_default")]
    pub functions: Vec<Function>,
    /// Its classes, in the order of the file.
    #[serde(default, deserialize_with = "null_as_default")]
    pub classes: Vec<Class>,
    /// Its size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// `algorithm:hex` of its raw bytes; ours is blake3. Another algorithm compares as unequal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<SmolStr>,
    /// When the file was last written to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<DateTime<Utc>>,
    /// When it was read to make this record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extraction_timestamp: Option<DateTime<Utc>>,
    /// What kind of document it is.
    #[serde(default, deserialize_with = "null_as_default")]
    pub document_type: DocumentType,
}

impl FileMetadata {
    /// A record of this path, to be filled in.
    ///
    /// ```
    /// use cardex::{Class, FileMetadata, Function};
    ///
    /// let record = FileMetadata::builder("src/lexer.py")
    ///     .language("python")
    ///     .class(Class::named("Lexer").method(Function::named("next")))
    ///     .reference("docs/GRAMMAR.md")
    ///     .build()?;
    /// assert_eq!(record.path.as_str(), "src/lexer.py");
    /// # Ok::<(), cardex::Error>(())
    /// ```
    pub fn builder(path: &str) -> FileMetadataBuilder {
        FileMetadataBuilder(FilePath::new(path).map(FileMetadata::new))
    }

    /// A record of this path that says nothing else yet.
    pub fn new(path: FilePath) -> Self {
        FileMetadata {
            path,
            language: None,
            header_sections: HeaderSections::default(),
            functions: Vec::new(),
            classes: Vec::new(),
            size_bytes: None,
            digest: None,
            last_modified: None,
            extraction_timestamp: None,
            document_type: DocumentType::default(),
        }
    }
}

/// Fills in a [`FileMetadata`]; what was wrong on the way waits for
/// [`FileMetadataBuilder::build`].
#[derive(Debug)]
#[must_use]
pub struct FileMetadataBuilder(Result<FileMetadata>);

impl FileMetadataBuilder {
    fn with(mut self, change: impl FnOnce(&mut FileMetadata)) -> Self {
        if let Ok(record) = &mut self.0 {
            change(record);
        }
        self
    }

    /// Its language.
    pub fn language(self, language: impl Into<SmolStr>) -> Self {
        self.with(|record| record.language = Some(language.into()))
    }

    /// What its header says, in place of anything set before.
    pub fn header(self, header: HeaderSections) -> Self {
        self.with(|record| record.header_sections = header)
    }

    /// One more document that its header cites.
    pub fn reference(self, document: impl Into<String>) -> Self {
        self.with(|record| {
            record
                .header_sections
                .reference_documentation
                .push(document.into());
        })
    }

    /// One more free function.
    pub fn function(self, function: Function) -> Self {
        self.with(|record| record.functions.push(function))
    }

    /// One more class.
    pub fn class(self, class: Class) -> Self {
        self.with(|record| record.classes.push(class))
    }

    /// Its size in bytes.
    pub fn size_bytes(self, size: u64) -> Self {
        self.with(|record| record.size_bytes = Some(size))
    }

    /// The digest of its bytes, `algorithm:hex`.
    pub fn digest(self, digest: impl Into<SmolStr>) -> Self {
        self.with(|record| record.digest = Some(digest.into()))
    }

    /// When the file was last written to.
    pub fn last_modified(self, at: DateTime<Utc>) -> Self {
        self.with(|record| record.last_modified = Some(at))
    }

    /// When it was read.
    pub fn extraction_timestamp(self, at: DateTime<Utc>) -> Self {
        self.with(|record| record.extraction_timestamp = Some(at))
    }

    /// What kind of document it is.
    pub fn document_type(self, kind: DocumentType) -> Self {
        self.with(|record| record.document_type = kind)
    }

    /// The record.
    ///
    /// # Errors
    /// `InvalidPath` if the path was refused.
    pub fn build(self) -> Result<FileMetadata> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_round_trip_is_camel_case_and_complete() {
        let json = r#"{"path":"src/a.py","language":"python","headerSections":{"intent":"why","designPrinciples":["p"],"constraints":["c"],"referenceDocumentation":["docs/A.md"],"changeHistory":[{"timestamp":"2025-01-01","summary":"s","details":["d"]}]},"functions":[{"name":"f","docSections":{"intent":"i","designPrinciples":["x"],"implementationDetails":"how","designDecisions":"why"},"parameters":["a","b: int"],"lineRange":{"start":1,"end":9}}],"classes":[{"name":"C","methods":[{"name":"m"},{}],"lineRange":{"start":3}}],"sizeBytes":7,"digest":"blake3:00","lastModified":"2025-03-27T12:05:27.000000001Z","extractionTimestamp":"2025-03-28T00:00:00Z","documentType":"Header"}"#;
        let record: FileMetadata = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&record).unwrap(), json);
    }

    #[test]
    fn null_reads_as_absent_or_empty_and_unknown_fields_are_ignored() {
        let json = r#"{"path":"a","language":null,"headerSections":null,"functions":null,
            "classes":[{"name":null,"methods":null,"docSections":null,"lineRange":null}],
            "documentType":null,"colour":"red"}"#;
        let record: FileMetadata = serde_json::from_str(json).unwrap();
        let expected = FileMetadata::builder("a")
            .class(Class::default())
            .build()
            .unwrap();
        assert_eq!(record, expected);
    }

    #[test]
    fn what_is_wrong_is_refused_while_the_record_is_made() {
        let end_before_start = r#"{"path":"a","functions":[{"lineRange":{"start":2,"end":1}}]}"#;
        let error = serde_json::from_str::<FileMetadata>(end_before_start).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("line range 2..1 ends before it starts"),
            "{error}"
        );
        assert!(serde_json::from_str::<FileMetadata>(r#"{"path":"/etc/passwd"}"#).is_err());
        assert!(serde_json::from_str::<FileMetadata>(r#"{"path":"a","sizeBytes":-1}"#).is_err());
        assert!(FileMetadata::builder("").language("c").build().is_err());
    }
}
