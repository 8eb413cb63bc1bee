//! The parts of a record: header sections, functions, classes, and where they stand.

use serde::{Deserialize, Deserializer, Serialize};
use smol_str::SmolStr;

use crate::error::{Error, ErrorKind, Result};

/// A null on the wire reads as the empty value.
pub(super) fn null_as_default<'de, D, T>(input: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(input)?.unwrap_or_default())
}

/// What the header comment of a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct HeaderSections {
    /// Why the file exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<String>,
    /// The principles its design follows.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub design_principles: Vec<String>,
    /// What limits it.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub constraints: Vec<String>,
    /// The documents it cites, as paths in the project.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub reference_documentation: Vec<String>,
    /// What was changed in it, as it tells itself.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub change_history: Vec<ChangeRecord>,
}

/// One entry of a file's own change history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ChangeRecord {
    /// When, in the words of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// What, in a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// What, in several lines.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub details: Vec<String>,
}

/// What the documentation of a function or class says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct DocSections {
    /// Why it exists: the whole documentation comment where it has no sections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<String>,
    /// The principles its design follows.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub design_principles: Vec<String>,
    /// How it works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub implementation_details: Option<String>,
    /// Why it is built this way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub design_decisions: Option<String>,
}

impl DocSections {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A range of lines, counted from 1, both ends included and either of them unknown. It never ends
/// before it starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", try_from = "RawLineRange")]
pub struct LineRange {
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<u32>,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
struct RawLineRange {
    start: Option<u32>,
    end: Option<u32>,
}

impl TryFrom<RawLineRange> for LineRange {
    type Error = Error;
    fn try_from(raw: RawLineRange) -> Result<Self> {
        LineRange::new(raw.start, raw.end)
    }
}

impl LineRange {
    /// A range of lines.
    ///
    /// # Errors
    /// `InvalidRecord` if both ends are known and `end < start`.
    pub fn new(start: Option<u32>, end: Option<u32>) -> Result<Self> {
        match (start, end) {
            (Some(start), Some(end)) if end < start => Err(Error::new(
                ErrorKind::InvalidRecord,
                format!("line range {start}..{end} ends before it starts"),
            )),
            _ => Ok(LineRange { start, end }),
        }
    }

    /// The first line.
    pub fn start(self) -> Option<u32> {
        self.start
    }

    /// The last line.
    pub fn end(self) -> Option<u32> {
        self.end
    }

    fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

/// A function, or a method of a class. One without a name is kept but not indexed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Function {
    /// Its bare name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<SmolStr>,
    /// Its documentation.
    #[serde(
        skip_serializing_if = "DocSections::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub doc_sections: DocSections,
    /// Its parameters, as written.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub parameters: Vec<SmolStr>,
    /// Where it stands.
    #[serde(
        skip_serializing_if = "LineRange::is_unknown",
        deserialize_with = "null_as_default"
    )]
    pub line_range: LineRange,
}

impl Function {
    /// A function of this name.
    pub fn named(name: impl Into<SmolStr>) -> Self {
        Function {
            name: Some(name.into()),
            ..Self::default()
        }
    }

    /// The same with these parameters.
    #[must_use]
    pub fn parameters<T: Into<SmolStr>>(mut self, parameters: impl IntoIterator<Item = T>) -> Self {
        self.parameters = parameters.into_iter().map(Into::into).collect();
        self
    }

    /// The same with its documentation.
    #[must_use]
    pub fn intent(mut self, intent: impl Into<String>) -> Self {
        self.doc_sections.intent = Some(intent.into());
        self
    }

    /// The same, standing at these lines.
    #[must_use]
    pub fn lines(mut self, lines: LineRange) -> Self {
        self.line_range = lines;
        self
    }
}

/// A class: also a struct, enum, trait, interface or named Go type. One without a name is kept but
/// not indexed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Class {
    /// Its bare name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<SmolStr>,
    /// Its documentation.
    #[serde(
        skip_serializing_if = "DocSections::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub doc_sections: DocSections,
    /// Its methods, in the order of the file.
    #[serde(deserialize_with = "null_as_default")]
    pub methods: Vec<Function>,
    /// Where it stands.
    #[serde(
        skip_serializing_if = "LineRange::is_unknown",
        deserialize_with = "null_as_default"
    )]
    pub line_range: LineRange,
}

impl Class {
    /// A class of this name.
    pub fn named(name: impl Into<SmolStr>) -> Self {
        Class {
            name: Some(name.into()),
            ..Self::default()
        }
    }

    /// The same with one more method.
    #[must_use]
    pub fn method(mut self, method: Function) -> Self {
        self.methods.push(method);
        self
    }

    /// The same with its documentation.
    #[must_use]
    pub fn intent(mut self, intent: impl Into<String>) -> Self {
        self.doc_sections.intent = Some(intent.into());
        self
    }

    /// The same, standing at these lines.
    #[must_use]
    pub fn lines(mut self, lines: LineRange) -> Self {
        self.line_range = lines;
        self
    }
}

/// What kind of document a file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
pub enum DocumentType {
    /// Source code.
    #[default]
    Code,
    /// A Markdown document.
    Markdown,
    /// A header file, of declarations only.
    Header,
    /// A configuration file.
    Config,
}

impl DocumentType {
    /// The name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            DocumentType::Code => "Code",
            DocumentType::Markdown => "Markdown",
            DocumentType::Header => "Header",
            DocumentType::Config => "Config",
        }
    }
}

impl std::str::FromStr for DocumentType {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        [
            DocumentType::Code,
            DocumentType::Markdown,
            DocumentType::Header,
            DocumentType::Config,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == text)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidRecord,
                format!("`{text}` is no document type"),
            )
            .with_help("one of Code, Markdown, Header, Config")
        })
    }
}
