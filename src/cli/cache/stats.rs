//! `cardex cache stats` and `report`: what the caches hold where others can see it, and how they do.

use std::sync::Arc;

use cardex::kv::{Backend, CacheType, Caches, CachesSetup, KvStats};
use cardex::{Error, Health, HealthState};
use serde::Serialize;

use super::super::args::Format;
use super::super::context::Context;
use super::super::failure::Failure;
use super::super::output::Out;
use super::super::table::{cell, fields, lines, table};
use super::super::{Outcome, format};
use super::{is_unmade, open};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    caches: Vec<OfCache>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<OfFile>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redis: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OfCache {
    #[serde(rename = "type")]
    name: String,
    place: String,
    entries: usize,
    /// In memory; null where it has none.
    bytes: Option<u64>,
    hits: u64,
    misses: u64,
    hit_rate: f64,
    evictions: u64,
    expirations: u64,
    errors: u64,
    health: Health,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OfFile {
    path: String,
    bytes: u64,
    max_bytes: u64,
}

/// Tells what each type holds, or one of them.
pub(super) fn stats(context: &Context, name: Option<&str>) -> Result<Outcome, Failure> {
    let format = context.format("cache stats", &super::FORMATS)?;
    let setup = context.caches_setup(false)?;
    let caches = open(&setup.clone().without_bus())?;
    if let Some(name) = name {
        // Who is asked for by name exists, or it is an error.
        caches.absent_tier(name)?;
    }
    let wanted = name.map(CacheType::own_name);
    let types = caches.types().into_iter();
    let types = types.filter(|known| wanted.is_none_or(|name| name == known.name()));
    let mut told = Told {
        caches: Vec::new(),
        file: caches.tiers().disk_file().map(|file| OfFile {
            path: file.path().display().to_string(),
            bytes: file.bytes(),
            max_bytes: file.max_bytes(),
        }),
        redis: setup.redis_server(),
    };
    for known in types {
        if let Some(of) = of_cache(context, &caches, &setup, &known, wanted.is_some())? {
            told.caches.push(of);
        }
    }
    let mut out = Out::new();
    match format {
        Format::Table => people(context, &told, &mut out)?,
        format => out.json(&told, format == Format::Json)?,
    }
    out.finish()?;
    Ok(Outcome::Found)
}

/// What a type holds; of all types, only those that are configured or hold something.
fn of_cache(
    context: &Context,
    caches: &Caches,
    setup: &CachesSetup,
    known: &CacheType,
    is_wanted: bool,
) -> Result<Option<OfCache>, Failure> {
    let told = match known.its_backend() {
        Backend::Memory => None,
        _ if is_unmade(context, setup, known) => None,
        _ => Some(caches.get(known.name())),
    };
    let (stats, health) = match told {
        None => (KvStats::default(), Health::healthy(known.name())),
        Some(Ok(cache)) => match cache.stats() {
            Ok(stats) => (stats, cache.health()),
            Err(error) => (KvStats::default(), failed(known, &error)),
        },
        Some(Err(error)) => (KvStats::default(), failed(known, &error)),
    };
    let health = match caches.absent_tier(known.name())? {
        Some(error) if health.state <= HealthState::Healthy => {
            health.but(HealthState::Degraded, (&error).into())
        }
        _ => health,
    };
    let is_defined = setup.types().iter().any(|own| own.name() == known.name());
    let shows = is_wanted || is_defined || stats.total_entries > 0;
    Ok(shows.then(|| OfCache {
        name: known.name().to_owned(),
        place: place(caches, known),
        entries: stats.total_entries,
        bytes: stats.memory_usage,
        hits: stats.hits,
        misses: stats.misses,
        hit_rate: stats.hit_rate(),
        evictions: stats.evictions,
        expirations: stats.expirations,
        errors: stats.errors,
        health,
    }))
}

fn failed(known: &CacheType, error: &Error) -> Health {
    Health::healthy(known.name()).but(HealthState::Unhealthy, error.into())
}

/// Where the results of a type lie, beside the memory of whoever made them.
fn place(caches: &Caches, known: &CacheType) -> String {
    let has_file = caches.tiers().disk_file().is_some();
    let has_redis = redis(caches);
    let is_strict = known.its_consistency() == cardex::kv::Consistency::Strong && has_redis;
    let (file, redis) = match known.its_backend() {
        Backend::Memory => return "memory".to_owned(),
        Backend::Disk => (has_file, false),
        Backend::Redis => (false, has_redis),
        _ => (has_file && !is_strict, has_redis),
    };
    let places = [(file, "file"), (redis, "Redis")].into_iter();
    let places: Vec<&str> = places.filter_map(|(is, name)| is.then_some(name)).collect();
    match places.is_empty() {
        true => "-".to_owned(),
        false => places.join(", "),
    }
}

#[cfg(feature = "redis")]
fn redis(caches: &Caches) -> bool {
    caches.tiers().redis_client().is_some()
}

#[cfg(not(feature = "redis"))]
fn redis(_: &Caches) -> bool {
    false
}

fn people(context: &Context, told: &Told, out: &mut Out) -> Result<(), Failure> {
    let headings = [
        "TYPE", ">ENTRIES", ">HITS", ">RATE", ">EVICTED", ">EXPIRED", ">ERRORS", "HEALTH", "WHERE",
    ];
    let mut table = table(&headings, context.paint);
    for of in &told.caches {
        let count = |count: u64| cell(&format::count(count));
        let rate = match of.hits + of.misses {
            0 => "-".to_owned(),
            _ => format!("{:.1} %", of.hit_rate * 100.0),
        };
        table.add_row([
            cell(&of.name),
            count(of.entries as u64),
            count(of.hits),
            cell(&rate),
            count(of.evictions),
            count(of.expirations),
            count(of.errors),
            cell(of.health.state.name()),
            cell(&of.place),
        ]);
    }
    let mut rows = Vec::new();
    if let Some(file) = &told.file {
        let (bytes, most) = (format::bytes(file.bytes), format::bytes(file.max_bytes));
        rows.push(("file", format!("{}, {bytes} of {most}", file.path)));
    }
    rows.extend(told.redis.iter().map(|server| ("Redis", server.clone())));
    let reasons = told.caches.iter().filter_map(|of| {
        let reason = super::reason(&of.health)?;
        Some(("note", format!("{}: {}", of.name, reason.message)))
    });
    rows.extend(reasons);
    if !told.caches.is_empty() {
        lines(&table).iter().try_for_each(|line| out.line(line))?;
    }
    lines(&fields(rows, context.paint))
        .iter()
        .try_for_each(|line| out.line(line))
}

/// Tells how the types that are configured do against what they are held to.
pub(super) fn report(context: &Context) -> Result<Outcome, Failure> {
    let format = context.format("cache report", &super::FORMATS)?;
    let setup = context.caches_setup(false)?;
    let caches = open(&setup.clone().without_bus())?;
    for known in setup.types() {
        if known.its_backend() != Backend::Memory
            && !is_unmade(context, &setup, known)
            && let Err(error) = caches.get(known.name())
        {
            context.note(&format!("note: {error}"));
        }
    }
    let report = Arc::new(caches.report());
    let mut out = Out::new();
    match format {
        Format::Table => out.bytes(report.to_string().as_bytes())?,
        format => out.json(&*report, format == Format::Json)?,
    }
    out.finish()?;
    context.note(
        "note: requests are counted by the process that makes them; a server tells its own at /v1/report",
    );
    Ok(Outcome::Found)
}
