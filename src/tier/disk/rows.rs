//! The statements on rows of entries. Whoever calls them holds a connection of the file, and a
//! transaction where they change something.

use rusqlite::{CachedStatement, Connection, Row, Rows, params};

use super::row::{self, Head, Instant, Times};
use super::tally::{Moves, Tally};
use crate::error::Result;
use crate::tier::{Entry, Key};

/// The row of a key.
const SELECT: &str = "SELECT head, value, seq FROM entries WHERE space = ?1 AND key = ?2";

const INSERT: &str = "INSERT INTO entries (space, key, head, ends_ns, value)
    VALUES (?1, ?2, ?3, ?4, ?5)";

/// Every row, in the order of writing.
const ALL: &str = "SELECT head, value, seq, space, key FROM entries ORDER BY seq";

const RENEW: &str = "UPDATE entries SET head = ?2, ends_ns = ?3 WHERE seq = ?1";

const DELETE: &str = "DELETE FROM entries WHERE space = ?1 AND key = ?2";

const DELETE_ONE: &str = "DELETE FROM entries WHERE seq = ?1";

/// Heads in the order of their keys, from one on. A key may be no text where the file is damaged.
const HEADS: &str = "SELECT head, key, seq FROM entries
     WHERE space = ?1 AND key >= CAST(?2 AS TEXT) ORDER BY key LIMIT ?3";

const EXPIRED: &str = "DELETE FROM entries WHERE seq IN
     (SELECT seq FROM entries INDEXED BY entries_by_end
      WHERE space = ?1 AND ends_ns <= ?2 ORDER BY ends_ns, seq LIMIT ?3) RETURNING space, key";

const OLDEST: &str = "DELETE FROM entries WHERE seq IN
     (SELECT seq FROM entries INDEXED BY entries_by_space
      WHERE space = ?1 ORDER BY seq LIMIT ?2) RETURNING space, key";

const OLDEST_OF_ALL: &str = "DELETE FROM entries WHERE seq IN
     (SELECT seq FROM entries ORDER BY seq LIMIT ?1) RETURNING space, key";

const LAST: &str = "SELECT max(seq) FROM entries INDEXED BY entries_by_space WHERE space = ?1";

const UP_TO: &str = "DELETE FROM entries WHERE seq IN
     (SELECT seq FROM entries INDEXED BY entries_by_space
      WHERE space = ?1 AND seq <= ?2 LIMIT ?3)";

/// Quicker than any other way: the pages are let go of, unread.
const EVERYTHING: &str = "DELETE FROM entries";

const NEXT_SPACE: &str = "SELECT min(space) FROM entries INDEXED BY entries_by_space
     WHERE space > ?1";

const COUNT: &str = "SELECT count(*) FROM entries INDEXED BY entries_by_space WHERE space = ?1";

/// Makes sure that every statement fits the file's tables: a schema that was altered is damage.
pub(super) fn prepare(conn: &Connection) -> rusqlite::Result<()> {
    let all = [
        SELECT,
        INSERT,
        RENEW,
        DELETE,
        DELETE_ONE,
        HEADS,
        EXPIRED,
        OLDEST,
        OLDEST_OF_ALL,
        LAST,
        UP_TO,
        EVERYTHING,
        NEXT_SPACE,
        COUNT,
    ];
    all.iter()
        .try_for_each(|sql| conn.prepare_cached(sql).map(drop))
}

/// A row of a copy of the file.
pub(super) enum Copied<'r> {
    /// It is whole, and lives.
    Lives {
        space: &'r str,
        key: Key,
        version: u64,
        times: Times,
        value: &'r [u8],
    },
    Expired,
    Damaged,
}

/// Hands out every row of a copy of the file, in the order of their writing.
pub(super) fn each<E: From<rusqlite::Error>>(
    conn: &Connection,
    now: Instant,
    mut take: impl FnMut(Copied<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut select = conn.prepare(ALL)?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        take(copied(row, now).unwrap_or(Copied::Damaged))?;
    }
    Ok(())
}

fn copied<'r>(row: &'r Row<'_>, now: Instant) -> Option<Copied<'r>> {
    let text = |at| row.get_ref(at).ok()?.as_str().ok();
    let (space, key) = (text(3)?, text(4)?);
    let head = Head::unpack(row.get_ref(0).ok()?.as_blob().ok()?, space, key)?;
    if head.times.remaining(now).is_none() {
        return Some(Copied::Expired);
    }
    let value = row.get_ref(1).ok()?.as_blob().ok()?;
    let (version, times) = (head.version, head.times);
    let key: Result<Key> = Key::new(key);
    (row::sum(value) == head.sum).then_some(Copied::Lives {
        space,
        key: key.ok()?,
        version,
        times,
        value,
    })
}

/// Takes all rows of all spaces out.
pub(super) fn take_everything(conn: &Connection, tally: &mut Tally) -> rusqlite::Result<()> {
    for space in spaces(conn)? {
        let rows = usize::try_from(count(conn, &space)?).unwrap_or(usize::MAX);
        tally.of(&space).removed += rows;
    }
    conn.prepare_cached(EVERYTHING)?.execute([]).map(drop)
}

/// What was found under a key.
#[derive(Debug)]
pub(super) enum Found<V> {
    Nothing,
    Expired,
    Damaged,
    Value(V),
}

/// The entry of a key.
pub(super) fn find(
    conn: &Connection,
    space: &str,
    key: &Key,
    now: Instant,
) -> rusqlite::Result<Found<Entry>> {
    Finder::new(conn, space, now)?.entry(key)
}

/// The entry of a key, and the times that it was stored with.
pub(super) fn find_with_times(
    conn: &Connection,
    space: &str,
    key: &Key,
    now: Instant,
) -> rusqlite::Result<Found<(Entry, Times)>> {
    let mut finder = Finder::new(conn, space, now)?;
    finder.with_head(key, |_, head, value| {
        let entry = head.entry(value, now);
        Ok(entry.map(|entry| (entry, head.times)))
    })
}

/// Finds the rows of a space, one after the other: the statement is looked up once.
pub(super) struct Finder<'c> {
    select: CachedStatement<'c>,
    space: &'c str,
    now: Instant,
}

impl<'c> Finder<'c> {
    pub(super) fn new(
        conn: &'c Connection,
        space: &'c str,
        now: Instant,
    ) -> rusqlite::Result<Self> {
        let select = conn.prepare_cached(SELECT)?;
        Ok(Finder { select, space, now })
    }

    /// The entry of a key.
    pub(super) fn entry(&mut self, key: &Key) -> rusqlite::Result<Found<Entry>> {
        let now = self.now;
        self.with_head(key, |_, head, value| Ok(head.entry(value, now)))
    }

    fn with_head<V>(
        &mut self,
        key: &Key,
        take: impl FnOnce(&Row<'_>, &Head, &[u8]) -> rusqlite::Result<Option<V>>,
    ) -> rusqlite::Result<Found<V>> {
        let mut rows = self.select.query([self.space, key.as_str()])?;
        let Some(row) = rows.next()? else {
            return Ok(Found::Nothing);
        };
        let Some(head) = head(row, self.space, key.as_str()) else {
            return Ok(Found::Damaged);
        };
        if head.times.remaining(self.now).is_none() {
            return Ok(Found::Expired);
        }
        let value = row.get_ref(1)?;
        let Some(value) = value.as_blob().ok().filter(|v| row::sum(v) == head.sum) else {
            return Ok(Found::Damaged);
        };
        Ok(match take(row, &head, value)? {
            Some(found) => Found::Value(found),
            None => Found::Expired,
        })
    }
}

/// Adds a row; its key has none.
pub(super) fn insert(
    conn: &Connection,
    space: &str,
    key: &Key,
    value: &[u8],
    version: u64,
    times: Times,
) -> rusqlite::Result<()> {
    let sum = row::sum(value);
    let head = Head {
        version,
        times,
        sum,
    };
    conn.prepare_cached(INSERT)?.execute(params![
        space,
        key.as_str(),
        head.pack(space, key.as_str()),
        times.ends_ns(),
        value,
    ])?;
    Ok(())
}

/// Gives the entry of a key other times; what was found there.
pub(super) fn renew(
    conn: &Connection,
    space: &str,
    key: &Key,
    now: Instant,
    times: Times,
) -> rusqlite::Result<Found<()>> {
    let found = Finder::new(conn, space, now)?
        .with_head(key, |row, head, _| Ok(Some((row.get::<_, i64>(2)?, *head))))?;
    let (seq, head) = match found {
        Found::Value(found) => found,
        Found::Nothing => return Ok(Found::Nothing),
        Found::Expired => return Ok(Found::Expired),
        Found::Damaged => return Ok(Found::Damaged),
    };
    let head = Head { times, ..head };
    let packed = head.pack(space, key.as_str());
    conn.prepare_cached(RENEW)?
        .execute(params![seq, packed, times.ends_ns()])?;
    Ok(Found::Value(()))
}

/// Takes the row of a key out, whatever it holds; whether there was one.
pub(super) fn delete(conn: &Connection, space: &str, key: &Key) -> rusqlite::Result<bool> {
    let deleted = conn
        .prepare_cached(DELETE)?
        .execute([space, key.as_str()])?;
    Ok(deleted > 0)
}

/// Takes one row out.
pub(super) fn delete_one(conn: &Connection, seq: i64) -> rusqlite::Result<usize> {
    conn.prepare_cached(DELETE_ONE)?.execute([seq])
}

/// A row without its value.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) seq: i64,
    /// As the file has it.
    pub(super) key: Vec<u8>,
    /// The key, if the row is whole, and whether it lives.
    pub(super) whole: Option<(Key, bool)>,
}

/// At most so many rows of a space from this key on, in the order of their keys, as long as they begin
/// with the prefix.
pub(super) fn list(
    conn: &Connection,
    space: &str,
    from: &[u8],
    prefix: &str,
    most: usize,
    now: Instant,
) -> rusqlite::Result<Vec<Listed>> {
    let mut select = conn.prepare_cached(HEADS)?;
    let mut rows = select.query(params![space, from, most as i64])?;
    let mut listed: Vec<Listed> = Vec::new();
    while let Some(row) = rows.next()? {
        let key = row.get_ref(1)?.as_bytes().unwrap_or_default();
        if !key.starts_with(prefix.as_bytes()) {
            break;
        }
        // An index that is damaged may lead back to where we were.
        if key < from || listed.last().is_some_and(|last| *key <= *last.key) {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
            let message = "an index is out of order".to_owned();
            return Err(rusqlite::Error::SqliteFailure(code, Some(message)));
        }
        listed.push(Listed {
            seq: row.get(2)?,
            key: key.to_vec(),
            whole: whole(row, space, key, now),
        });
    }
    Ok(listed)
}

/// The head of a row that begins with it.
fn head(row: &Row<'_>, space: &str, key: &str) -> Option<Head> {
    Head::unpack(row.get_ref(0).ok()?.as_blob().ok()?, space, key)
}

fn whole(row: &Row<'_>, space: &str, key: &[u8], now: Instant) -> Option<(Key, bool)> {
    let key = std::str::from_utf8(key).ok()?;
    let head = head(row, space, key)?;
    let key: Result<Key> = Key::new(key);
    Some((key.ok()?, head.times.remaining(now).is_some()))
}

/// Takes out at most so many rows of a space that have expired, the longest ago first.
pub(super) fn take_expired(
    conn: &Connection,
    space: &str,
    now: Instant,
    most: usize,
    tally: &mut Tally,
) -> rusqlite::Result<usize> {
    let mut delete = conn.prepare_cached(EXPIRED)?;
    let rows = delete.query(params![space, now.wall_ns, most as i64])?;
    take(rows, tally, |moves| &mut moves.expired)
}

/// Takes out at most so many rows of a space, those that were written first.
pub(super) fn take_oldest(
    conn: &Connection,
    space: &str,
    most: usize,
    tally: &mut Tally,
) -> rusqlite::Result<usize> {
    let mut delete = conn.prepare_cached(OLDEST)?;
    let rows = delete.query(params![space, most as i64])?;
    take(rows, tally, |moves| &mut moves.evicted)
}

/// The same of all spaces.
pub(super) fn take_oldest_of_all(
    conn: &Connection,
    most: usize,
    tally: &mut Tally,
) -> rusqlite::Result<usize> {
    let mut delete = conn.prepare_cached(OLDEST_OF_ALL)?;
    let rows = delete.query([most as i64])?;
    take(rows, tally, |moves| &mut moves.evicted)
}

/// Counts the rows that a statement took out, and notes their keys; how many they are.
fn take(
    mut rows: Rows<'_>,
    tally: &mut Tally,
    counted: impl Fn(&mut Moves) -> &mut usize,
) -> rusqlite::Result<usize> {
    let mut taken = 0;
    while let Some(row) = rows.next()? {
        // What is no text is damage; it leaves all the same.
        let text = |column| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_str().unwrap_or(""));
        let moves = tally.of(text(0)?);
        *counted(moves) += 1;
        moves.departed.extend(Key::new(text(1)?));
        taken += 1;
    }
    Ok(taken)
}

/// The row of a space that was written last.
pub(super) fn last(conn: &Connection, space: &str) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached(LAST)?
        .query_row([space], |row| row.get(0))
}

/// Takes out at most so many rows of a space that were written no later than this one; all of them if
/// nobody else has any. Returns how many went.
pub(super) fn take_up_to(
    conn: &Connection,
    space: &str,
    last: i64,
    most: usize,
    tally: &mut Tally,
) -> rusqlite::Result<usize> {
    let is_alone = spaces(conn)?.iter().all(|other| other == space);
    let taken = match is_alone {
        true => conn.prepare_cached(EVERYTHING)?.execute([])?,
        false => conn
            .prepare_cached(UP_TO)?
            .execute(params![space, last, most as i64])?,
    };
    tally.of(space).removed += taken;
    Ok(taken)
}

/// The spaces that have rows.
pub(super) fn spaces(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut spaces: Vec<String> = Vec::new();
    let mut select = conn.prepare_cached(NEXT_SPACE)?;
    loop {
        let last = spaces.last().map_or("", String::as_str);
        let next: Option<String> = select.query_row([last], |row| row.get(0))?;
        match next {
            Some(next) if next.as_str() > last => spaces.push(next),
            _ => return Ok(spaces),
        }
    }
}

/// How many rows a space has.
pub(super) fn count(conn: &Connection, space: &str) -> rusqlite::Result<u64> {
    let count = conn
        .prepare_cached(COUNT)?
        .query_row([space], |row| row.get::<_, i64>(0))?;
    Ok(count.unsigned_abs())
}
