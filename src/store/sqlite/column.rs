//! Values of a record as columns of a row, and back. Nothing is trusted on the way back: whatever
//! another program may have left in a column is either the value it should be or a named fault.

use chrono::{DateTime, Datelike, SecondsFormat, Utc};
use rusqlite::Row;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::failure::Fault;
use crate::error::{Error, ErrorKind, Result};
use crate::metadata::{FilePath, LineRange, MAX_PATH_BYTES};

/// A list as JSON; the empty list is NULL.
pub(super) fn list<T: Serialize>(items: &[T]) -> Option<String> {
    let json = || serde_json::to_string(items).expect("a list of strings is valid JSON");
    (!items.is_empty()).then(json)
}

/// An instant as text of a fixed width, so that it sorts.
///
/// # Errors
/// `InvalidRecord` if its year does not have four digits.
pub(super) fn instant(name: &str, at: DateTime<Utc>) -> Result<String> {
    if !(0..=9999).contains(&at.year()) {
        let message = format!(
            "`{name}` is in year {}: give a year from 0 to 9999",
            at.year()
        );
        return Err(Error::new(ErrorKind::InvalidRecord, message));
    }
    Ok(at.to_rfc3339_opts(SecondsFormat::Nanos, true))
}

/// A size as SQLite's signed integer.
///
/// # Errors
/// `InvalidRecord` if it does not fit.
pub(super) fn size(bytes: u64) -> Result<i64> {
    i64::try_from(bytes).map_err(|_| {
        let message = format!("`sizeBytes` = {bytes} is more than a file can have");
        Error::new(ErrorKind::InvalidRecord, message)
    })
}

/// Text as it is in a row, whether or not it is UTF-8.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RawText(Vec<u8>);

impl FromSql for RawText {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Text(bytes) => Ok(RawText(bytes.to_vec())),
            _ => Err(FromSqlError::InvalidType),
        }
    }
}

impl ToSql for RawText {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>, rusqlite::Error> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(&self.0)))
    }
}

/// Reads the columns of one row; `table` is for the fault's sentence.
pub(super) struct Columns<'r, 's> {
    pub(super) row: &'r Row<'s>,
    pub(super) table: &'static str,
}

impl<'r> Columns<'r, '_> {
    fn fault(&self, index: usize, reason: &str) -> Fault {
        let column = self.row.as_ref().column_name(index).unwrap_or("?");
        Fault::row(format!("{}.{column} {reason}", self.table))
    }

    /// Text, borrowed from the row.
    pub(super) fn text(&self, index: usize) -> Result<Option<&'r str>, Fault> {
        match self.row.get_ref(index)? {
            ValueRef::Null => Ok(None),
            ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(Some(text)),
                Err(_) => Err(self.fault(index, "is not valid UTF-8")),
            },
            other => Err(self.fault(index, &format!("is {:?}, not text", other.data_type()))),
        }
    }

    /// Text as an owned value.
    pub(super) fn owned<T: for<'a> From<&'a str>>(&self, i: usize) -> Result<Option<T>, Fault> {
        Ok(self.text(i)?.map(T::from))
    }

    /// An integer.
    pub(super) fn integer(&self, index: usize) -> Result<Option<i64>, Fault> {
        match self.row.get_ref(index)? {
            ValueRef::Null => Ok(None),
            ValueRef::Integer(value) => Ok(Some(value)),
            other => Err(self.fault(
                index,
                &format!("is {:?}, not an integer", other.data_type()),
            )),
        }
    }

    /// An integer that is never NULL.
    pub(super) fn required(&self, index: usize) -> Result<i64, Fault> {
        self.integer(index)?
            .ok_or_else(|| self.fault(index, "is NULL"))
    }

    /// An integer of a narrower or unsigned type.
    pub(super) fn number<T: TryFrom<i64>>(&self, index: usize) -> Result<Option<T>, Fault> {
        let Some(value) = self.integer(index)? else {
            return Ok(None);
        };
        match T::try_from(value) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(self.fault(index, &format!("= {value} is out of range"))),
        }
    }

    /// A JSON list; NULL is the empty one.
    pub(super) fn list<T: DeserializeOwned>(&self, index: usize) -> Result<Vec<T>, Fault> {
        let Some(text) = self.text(index)? else {
            return Ok(Vec::new());
        };
        let mut list: Vec<T> = serde_json::from_str(text)
            .map_err(|e| self.fault(index, &format!("is no JSON list of strings: {e}")))?;
        list.shrink_to_fit();
        Ok(list)
    }

    /// An instant: RFC 3339 of any width and offset.
    pub(super) fn instant(&self, index: usize) -> Result<Option<DateTime<Utc>>, Fault> {
        let Some(text) = self.text(index)? else {
            return Ok(None);
        };
        match DateTime::parse_from_rfc3339(text) {
            Ok(at) => Ok(Some(at.to_utc())),
            Err(_) => Err(self.fault(index, &format!("= `{text}` is no RFC 3339 time"))),
        }
    }

    /// Two columns: the first line and the last.
    pub(super) fn lines(&self, index: usize) -> Result<LineRange, Fault> {
        let (start, end) = (self.number(index)?, self.number(index + 1)?);
        LineRange::new(start, end).map_err(|e| Fault::row(format!("{}: {e}", self.table)))
    }

    /// The path of a file, in the one form that it is known by.
    pub(super) fn path(&self, index: usize) -> Result<&'r str, Fault> {
        let text = self
            .text(index)?
            .ok_or_else(|| self.fault(index, "is NULL"))?;
        if is_stored_form(text) {
            return Ok(text);
        }
        let reason = match FilePath::new(text) {
            Ok(normal) => format!("path `{text}` should be stored as `{normal}`"),
            Err(e) => e.to_string(),
        };
        Err(Fault::row(reason).of_file(text))
    }

    /// The path in column `index`, as well as it can be shown.
    pub(super) fn shown(&self, index: usize) -> String {
        match self.row.get_ref(index) {
            Ok(ValueRef::Text(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            Ok(other) => format!("{other:?}"),
            Err(e) => e.to_string(),
        }
    }
}

/// Whether [`FilePath::new`] would keep the path as it is; without allocating, since a scan asks for
/// each row.
fn is_stored_form(path: &str) -> bool {
    let bytes = path.as_bytes();
    let mut part_start = 0;
    let good_part = |part: &[u8]| !matches!(part, b"" | b"." | b"..");
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            0 => return false,
            b'/' if !good_part(&bytes[part_start..at]) => return false,
            b'/' => part_start = at + 1,
            _ => {}
        }
    }
    bytes.len() <= MAX_PATH_BYTES && good_part(&bytes[part_start..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_quick_look_at_a_path_agrees_with_file_path(path in "[a./\0]{0,6}|[a-z/]{4090,4100}") {
            let kept = FilePath::new(&path).is_ok_and(|normal| normal.as_str() == path);
            prop_assert_eq!(is_stored_form(&path), kept, "{}", path);
        }
    }

    #[test]
    fn instants_have_one_width_and_four_digit_years() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        assert_eq!(
            instant("t", at("2025-01-02T03:04:05Z")).unwrap(),
            "2025-01-02T03:04:05.000000000Z"
        );
        assert_eq!(
            instant("t", at("2016-12-31T23:59:60.5Z")).unwrap().len(),
            30
        );
        let error = instant("lastModified", at("+10000-01-01T00:00:00Z")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRecord);
        assert!(size(u64::MAX).is_err());
    }
}
