//! What the processes of a history write about and ask for: a few files of one project, each in a
//! state that no other commit has, and the questions whose answers can be told from those states.

use std::fmt;

use cardex::{Error, ErrorKind, FileMetadata, FilePath, Function, Query, Result};

/// The project that is asked about; another one shares its log.
pub(super) const PROJECT: &str = "main";
pub(super) const OTHER: &str = "other";
/// The files that every writer writes, and those that only the process that is killed does.
pub(super) const SHARED: usize = 96;
const OWN: usize = 8;
pub(super) const PATHS: usize = SHARED + OWN;

pub(super) const LANGUAGES: [&str; 4] = ["rust", "python", "go", "java"];
pub(super) const FUNCTIONS: usize = 6;
/// The questions: each language, each function, everything.
pub(super) const QUESTIONS: usize = LANGUAGES.len() + FUNCTIONS + 1;

/// The text of a path; texts sort as their numbers do.
pub(super) fn path(number: usize) -> Result<FilePath> {
    FilePath::new(&format!("src/{number:03}.x"))
}

/// The number of a path of [`path`]; an error if it is none of them.
pub(super) fn path_number(path: &str) -> Result<usize> {
    let number = path
        .strip_prefix("src/")
        .and_then(|rest| rest.strip_suffix(".x"))
        .and_then(|number| number.parse().ok());
    number
        .filter(|number| *number < PATHS)
        .ok_or_else(|| strange(format!("nobody wrote a file {path}")))
}

/// An answer that no history explains.
pub(super) fn strange(what: String) -> Error {
    Error::new(ErrorKind::Internal, what)
}

/// What is in a file: a number that no other state has, and what can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) tag: u64,
    /// Below the number of [`LANGUAGES`].
    pub(super) language: usize,
    /// Below [`FUNCTIONS`].
    pub(super) function: usize,
}

impl Content {
    pub(super) fn random(tag: u64, random: &mut fastrand::Rng) -> Self {
        Content {
            tag,
            language: random.usize(..LANGUAGES.len()),
            function: random.usize(..FUNCTIONS),
        }
    }

    pub(super) fn record(&self, number: usize) -> Result<FileMetadata> {
        FileMetadata::builder(path(number)?.as_str())
            .language(LANGUAGES[self.language])
            .digest(digest(self.tag))
            .function(Function::named(function(self.function)))
            .build()
    }

    /// What a record says; an error if nobody wrote a record like it.
    pub(super) fn of(record: &FileMetadata) -> Result<Self> {
        let parts = || {
            let [function] = &record.functions[..] else {
                return None;
            };
            let (digest, language) = (record.digest.as_deref()?, record.language.as_deref()?);
            Content::parts(digest, language, function.name.as_deref()?)
        };
        parts().ok_or_else(|| strange(format!("nobody wrote {record:?}")))
    }

    /// As the database holds it.
    pub(super) fn parts(digest: &str, language: &str, function: &str) -> Option<Self> {
        Some(Content {
            tag: digest.strip_prefix("state:")?.parse().ok()?,
            language: language_number(language)?,
            function: function.strip_prefix('f')?.parse().ok()?,
        })
    }

    /// Whether it is of the answer to this question.
    pub(super) fn answers(&self, question: usize) -> bool {
        match question {
            language if language < LANGUAGES.len() => self.language == language,
            all if all == QUESTIONS - 1 => true,
            function => self.function == function - LANGUAGES.len(),
        }
    }

    /// The content that [`Display`](fmt::Display) writes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.');
        let mut number = || numbers.next()?.parse::<u64>().ok();
        Some(Content {
            tag: number()?,
            language: number()? as usize,
            function: number()? as usize,
        })
    }
}

/// `TAG.LANGUAGE.FUNCTION`, in numbers.
impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.tag, self.language, self.function)
    }
}

pub(super) fn digest(tag: u64) -> String {
    format!("state:{tag}")
}

pub(super) fn function(number: usize) -> String {
    format!("f{number}")
}

pub(super) fn language_number(name: &str) -> Option<usize> {
    LANGUAGES.iter().position(|one| *one == name)
}

pub(super) fn query(question: usize, limit: Option<usize>) -> Result<Query> {
    let mut query = Query::builder();
    if question < LANGUAGES.len() {
        query = query.field("language", LANGUAGES[question]);
    } else if question < QUESTIONS - 1 {
        query = query.field("function", &function(question - LANGUAGES.len()));
    }
    if let Some(limit) = limit {
        query = query.limit(limit);
    }
    query.build()
}
