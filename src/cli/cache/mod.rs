//! `cardex cache`: the caches of derived results, as they lie in the file and on the Redis server. What a
//! process holds in its own memory no other process can see, and this command has none.

mod copy;
mod stats;

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use cardex::kv::{Backend, CacheType, Caches, CachesSetup, KvCache, Ttl};
use cardex::tier::{KeyPattern, Lifetime};
use cardex::{Error, ErrorKind, Health, HealthState, Reason, SystemClock};
use serde::Serialize;
use serde_json::value::RawValue;

use super::args::{CacheCommand, Format};
use super::context::Context;
use super::failure::Failure;
use super::output::{Out, printable};
use super::{Outcome, format};

/// The longest value that is read from the standard input.
const MAX_VALUE_BYTES: u64 = 64 << 20;

/// How long it may take to tell other processes of a change.
const TELLING: Duration = Duration::from_secs(2);

/// What is printed of a value, and what of a lifetime.
const FORMATS: [Format; 3] = [Format::Table, Format::Json, Format::Jsonl];

/// Does what it is told.
pub(super) fn run(context: &Context, command: CacheCommand) -> Result<Outcome, Failure> {
    match command {
        CacheCommand::Get { name, key } => get(context, &name, &key),
        CacheCommand::Set {
            name,
            key,
            value,
            ttl,
        } => set(context, &name, &key, &value, ttl),
        CacheCommand::Delete { name, key, pattern } => {
            delete(context, &name, key.as_deref(), pattern.as_deref())
        }
        CacheCommand::Keys { name, pattern } => keys(context, &name, pattern.as_deref()),
        CacheCommand::Ttl { name, key } => ttl(context, &name, &key),
        CacheCommand::Stats { name } => stats::stats(context, name.as_deref()),
        CacheCommand::Clear { name } => clear(context, &name),
        CacheCommand::Report => stats::report(context),
        CacheCommand::Backup { file } => copy::backup(context, &file),
        CacheCommand::Restore { file } => copy::restore(context, &file),
    }
}

/// A cache without memory, and what it is one of.
struct Opened {
    caches: Caches,
    cache: KvCache,
}

impl Opened {
    /// The cache of a type, to look at; `None` if it lies in a file that nobody has made yet.
    fn to_read(context: &Context, name: &str) -> Result<Option<Self>, Failure> {
        let setup = context.caches_setup(false)?.without_bus();
        let caches = open(&setup)?;
        let known = known(&caches, name)?;
        if is_unmade(context, &setup, &known) {
            return Ok(None);
        }
        Ok(Some(Self::over(caches, name)?))
    }

    /// The same, to change. It has to be whole: what one tier would miss, others could still find there. Other
    /// processes are told, if they share it.
    fn to_change(context: &Context, name: &str) -> Result<Self, Failure> {
        let caches = open(&context.caches_setup(true)?)?;
        known(&caches, name)?;
        if let Some(error) = caches.absent_tier(name)? {
            return Err(error.into());
        }
        Ok(Self::over(caches, name)?)
    }

    /// Of what the server has missed by earlier commands, what it still has is removed there first.
    fn over(caches: Caches, name: &str) -> cardex::Result<Self> {
        let cache = caches.get(name)?;
        cache.tier().repair();
        Ok(Opened { caches, cache })
    }

    /// That there is nothing, if it is sure: a tier that was not asked may have it.
    fn nothing(&self) -> Result<Outcome, Failure> {
        self.assert_whole()?;
        Ok(Outcome::Nothing)
    }

    /// That each tier answered.
    fn assert_whole(&self) -> Result<(), Failure> {
        if let Some(error) = self.caches.absent_tier(self.cache.name())? {
            return Err(error.into());
        }
        let health = self.cache.health();
        if health.state <= HealthState::Healthy {
            return Ok(());
        }
        let message = format!("the cache `{}` cannot be asked as a whole", health.name);
        let error = Error::new(ErrorKind::Unavailable, message);
        Err(match reason(&health) {
            Some(Reason { message, help, .. }) => {
                let error = error.because(message.clone());
                help.iter().fold(error, |error, help| error.with_help(help))
            }
            None => error,
        }
        .into())
    }

    /// Waits until other processes are told, and tells what was not reached, of a change that was made all
    /// the same.
    fn note_missed(&self, context: &Context) {
        if let Err(error) = self.caches.settle(TELLING) {
            let error = printable(&format!("{error:#}")).into_owned();
            context.note(&format!("note: {error}; their memory may be behind"));
        }
        let health = self.cache.health();
        if !self.cache.is_enabled() {
            context.note(
                "note: it is switched off, and keeps nothing (tiers.enabled, types.NAME.enabled)",
            );
        } else if let Some(reason) = reason(&health) {
            let message = printable(&reason.message).into_owned();
            context.note(&format!(
                "note: {message}; it is put right later by forgetting, and what was changed may be gone then"
            ));
        }
    }
}

/// Opens the caches without memory: a command that ends has no use for it, nor for what others tell.
fn open(setup: &CachesSetup) -> Result<Caches, Failure> {
    let setup = setup.clone().memory(None).telling_only();
    Ok(setup.open(None, Arc::new(SystemClock))?)
}

/// The type of this name, unless no other process can see its results.
fn known(caches: &Caches, name: &str) -> Result<CacheType, Failure> {
    caches.absent_tier(name)?;
    let own = CacheType::own_name(name);
    let known = caches.types().into_iter().find(|known| known.name() == own);
    match known {
        Some(known) if known.its_backend() != Backend::Memory => Ok(known),
        _ => Err(in_memory(own).into()),
    }
}

/// Whether a type lies in a file alone that nobody has made yet.
fn is_unmade(context: &Context, setup: &CachesSetup, known: &CacheType) -> bool {
    let has_redis = setup.redis_server().is_some();
    let is_alone = match known.its_backend() {
        Backend::Disk => true,
        Backend::Auto | Backend::Tiered => !has_redis,
        _ => false,
    };
    let derived = context.config.derived();
    let has_file = derived.disk && derived.disk_path.is_some();
    is_alone && has_file && setup.disk_path().is_none()
}

fn in_memory(name: &str) -> Error {
    let message = format!("the results of `{name}` lie in the memory of each process alone");
    Error::new(ErrorKind::InvalidInput, message)
        .with_help("ask the process: a server tells them at /v1/caches and clears them there")
}

/// The first reason of what does not do well, or of a part of it.
fn reason(health: &Health) -> Option<&Reason> {
    let own = health.reasons.first();
    own.or_else(|| health.parts.iter().find_map(reason))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'s> {
    #[serde(rename = "type")]
    name: &'s str,
    key: &'s str,
    /// Null if it is no JSON.
    value: Option<&'s RawValue>,
    /// Null if it is never over.
    ttl_ms: Option<u64>,
    bytes: usize,
}

fn get(context: &Context, name: &str, key: &str) -> Result<Outcome, Failure> {
    let format = context.format("cache get", &FORMATS)?;
    let Some(opened) = Opened::to_read(context, name)? else {
        return Ok(Outcome::Nothing);
    };
    let Some((value, ttl)) = opened.cache.peek_bytes(key)? else {
        return opened.nothing();
    };
    let mut out = Out::new();
    match format {
        Format::Table if out.is_terminal() => {
            out.line(&printable(&String::from_utf8_lossy(&value)))?;
        }
        Format::Table => {
            out.bytes(&value)?;
            out.bytes(b"\n")?;
        }
        format => {
            let shown = Shown {
                name: opened.cache.name(),
                key,
                value: serde_json::from_slice(&value).ok(),
                ttl_ms: millis(ttl),
                bytes: value.len(),
            };
            out.json(&shown, format == Format::Json)?;
        }
    }
    out.finish()?;
    Ok(Outcome::Found)
}

fn set(
    context: &Context,
    name: &str,
    key: &str,
    value: &str,
    ttl: Lifetime,
) -> Result<Outcome, Failure> {
    context.global.no_format("cache set")?;
    let read;
    let text = match value {
        "-" => {
            read = standard_input()?;
            read.as_str()
        }
        text => text,
    };
    let value: &RawValue = serde_json::from_str(text).map_err(|cause| {
        let error = Error::new(ErrorKind::InvalidInput, "the value is no JSON");
        error
            .with_help("a text stands in quotes of its own: '\"text\"'")
            .because(cause)
    })?;
    let opened = Opened::to_change(context, name)?;
    let is_kept = opened.cache.set(key, value, ttl)?;
    opened.note_missed(context);
    match is_kept {
        true => Ok(Outcome::Found),
        false if opened.cache.is_enabled() => {
            context.note("note: it is larger than what may be kept, and is not");
            Ok(Outcome::Nothing)
        }
        false => Ok(Outcome::Nothing),
    }
}

fn standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    let read = io::stdin()
        .take(MAX_VALUE_BYTES + 1)
        .read_to_string(&mut text);
    read.map_err(|cause| {
        let error = Error::new(ErrorKind::InvalidInput, "cannot read the standard input");
        error.because(cause)
    })?;
    if text.len() as u64 > MAX_VALUE_BYTES {
        let most = format::bytes(MAX_VALUE_BYTES);
        let message = format!("the standard input has more than {most}");
        return Err(Error::new(ErrorKind::InvalidInput, message).into());
    }
    Ok(text)
}

fn delete(
    context: &Context,
    name: &str,
    key: Option<&str>,
    pattern: Option<&str>,
) -> Result<Outcome, Failure> {
    context.global.no_format("cache delete")?;
    let pattern = pattern.map(KeyPattern::new).transpose()?;
    let opened = Opened::to_change(context, name)?;
    let deleted = match (key, &pattern) {
        (Some(key), _) => usize::from(opened.cache.delete(key)?),
        (None, Some(pattern)) => opened.cache.delete_matching(pattern)?,
        (None, None) => 0,
    };
    opened.note_missed(context);
    if pattern.is_some() {
        let entries = format::plural(deleted as u64, "entry", "entries");
        context.note(&format!("Deleted {entries}"));
    }
    Ok(match deleted {
        0 => Outcome::Nothing,
        _ => Outcome::Found,
    })
}

#[derive(Serialize)]
struct Listed<'l> {
    key: &'l str,
}

fn keys(context: &Context, name: &str, pattern: Option<&str>) -> Result<Outcome, Failure> {
    let format = context.format("cache keys", &FORMATS)?;
    let pattern = pattern.map_or_else(|| Ok(KeyPattern::all()), KeyPattern::new)?;
    let Some(opened) = Opened::to_read(context, name)? else {
        return Ok(Outcome::Nothing);
    };
    let keys = opened.cache.keys(&pattern)?;
    opened.assert_whole()?;
    let mut out = Out::new();
    match format {
        Format::Json => {
            let keys: Vec<&str> = keys.iter().map(|key| key.as_str()).collect();
            out.json(&keys, true)?;
        }
        Format::Jsonl => {
            let mut listed = keys.iter().map(|key| Listed { key: key.as_str() });
            listed.try_for_each(|key| out.json(&key, false))?;
        }
        _ => keys
            .iter()
            .try_for_each(|key| out.line(&printable(key.as_str())))?,
    }
    out.finish()?;
    Ok(match keys.is_empty() {
        true => Outcome::Nothing,
        false => Outcome::Found,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Remaining {
    ttl_ms: Option<u64>,
}

fn ttl(context: &Context, name: &str, key: &str) -> Result<Outcome, Failure> {
    let format = context.format("cache ttl", &FORMATS)?;
    let Some(opened) = Opened::to_read(context, name)? else {
        return Ok(Outcome::Nothing);
    };
    let Some(ttl) = opened.cache.ttl(key)? else {
        return opened.nothing();
    };
    let mut out = Out::new();
    match (format, ttl) {
        (Format::Table, Ttl::Never) => out.line("never")?,
        (Format::Table, Ttl::For(time)) => out.line(&whole(time))?,
        (format, ttl) => {
            let ttl_ms = millis(ttl);
            out.json(&Remaining { ttl_ms }, format == Format::Json)?;
        }
    }
    out.finish()?;
    Ok(Outcome::Found)
}

fn clear(context: &Context, name: &str) -> Result<Outcome, Failure> {
    context.global.no_format("cache clear")?;
    let opened = Opened::to_change(context, name)?;
    opened.cache.clear()?;
    opened.assert_whole()?;
    opened.note_missed(context);
    Ok(Outcome::Found)
}

fn millis(ttl: Ttl) -> Option<u64> {
    match ttl {
        Ttl::Never => None,
        Ttl::For(time) => Some(format::millis(time)),
    }
}

/// A time in whole units, not less than it is: a lifetime of an hour is one when it is asked for at once.
fn whole(time: Duration) -> String {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let parts = [(hours, "h"), (minutes, "m"), (seconds, "s")].into_iter();
    let parts = parts.filter(|(count, _)| *count > 0);
    parts
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_its_units() {
        for (millis, told) in [
            (1, "1s"),
            (59_001, "1m"),
            (3_600_000, "1h"),
            (3_661_000, "1h1m1s"),
        ] {
            assert_eq!(whole(Duration::from_millis(millis)), told);
        }
    }
}
