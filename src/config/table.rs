//! The table of configuration keys. It drives parsing, `config show`, the schema and the documentation:
//! a key that is not here does not exist.

use std::time::Duration;

use super::keys::{Key, Kind, UNSET, Value};
use super::setup::AUTO;
use crate::coordinator::CoordinatorOptions;
use crate::eviction::Strategy;
use crate::machine;
use crate::ratio::Ratio;
use crate::watch::WatchOptions;

/// Where the database is unless something else is said.
pub(super) const DEFAULT_DATABASE: &str = ".cardex/cardex.db";

/// Every key.
pub static KEYS: &[Key] = &[
    Key {
        name: "index.exclude",
        kind: Kind::Patterns,
        doc: "Files and directories to leave out, as patterns of a .gitignore file.",
        is_live: false,
        default: || Value::List(Vec::new()),
    },
    Key {
        name: "index.languages",
        kind: Kind::Languages,
        doc: "The languages to index; an empty list is every file, of whatever language.",
        is_live: false,
        default: || Value::List(Vec::new()),
    },
    Key {
        name: "index.max_file_bytes",
        kind: Kind::Size(1 << 10, 1 << 30),
        doc: "Larger files are skipped.",
        is_live: false,
        default: || Value::Size(16 << 20),
    },
    Key {
        name: "index.threads",
        kind: Kind::Count(1, 256),
        doc: "How many files are read at the same time; by default one for each processor.",
        is_live: false,
        default: || Value::Count(processors()),
    },
    Key {
        name: "database.url",
        kind: Kind::Database,
        doc: "The SQLite file: a path from the project's root, or sqlite:PATH.",
        is_live: false,
        default: || Value::Text(DEFAULT_DATABASE.to_owned()),
    },
    Key {
        name: "database.max_connections",
        kind: Kind::Count(1, 16),
        doc: "How many connections to the database are open at most.",
        is_live: false,
        default: || Value::Count(4),
    },
    Key {
        name: "database.connection_timeout",
        kind: Kind::Duration(Duration::from_secs(1), Duration::from_secs(30)),
        doc: "How long to wait for a connection, or for another process's lock.",
        is_live: false,
        default: || Value::Duration(Duration::from_secs(5)),
    },
    Key {
        name: "memory_cache.enabled",
        kind: Kind::Switch,
        doc: "Whether a host runs a cache of records.",
        is_live: false,
        default: || Value::Switch(true),
    },
    Key {
        name: "memory_cache.max_items",
        kind: Kind::Count(100, 1_000_000),
        doc: "How many records are held in memory at most; answers never depend on it.",
        is_live: true,
        default: || Value::Count(10_000),
    },
    Key {
        name: "memory_cache.max_bytes",
        kind: Kind::Memory(1 << 20),
        doc: "How much memory the records take at most.",
        is_live: true,
        // A smaller container starts with all that it has.
        default: || Value::Size(machine::total_memory_bytes().min(64 << 20)),
    },
    Key {
        name: "memory_cache.max_record_bytes",
        kind: Kind::Size(1 << 10, 1 << 30),
        doc: "Larger records are refused.",
        is_live: false,
        default: || Value::Size(16 << 20),
    },
    Key {
        name: "memory_cache.eviction_strategy",
        kind: Kind::Strategy,
        doc: "Which records leave first when the cache is full.",
        is_live: false,
        default: || Value::Strategy(Strategy::default()),
    },
    Key {
        name: "memory_cache.eviction_batch_size",
        kind: Kind::Count(1, 1000),
        doc: "How many records leave at once when there are too many, but no more than a tenth of them.",
        is_live: true,
        default: || Value::Count(100),
    },
    Key {
        name: "memory_cache.write_policy",
        kind: Kind::OneOf(&["write_through"]),
        doc: "When a write is in the database: with write_through, before it returns.",
        is_live: false,
        default: || Value::Text("write_through".to_owned()),
    },
    Key {
        name: "memory_cache.change_poll",
        kind: Kind::Duration(Duration::from_millis(1), Duration::from_secs(10)),
        doc: "How long a host's cache rests between two looks at the change log.",
        is_live: true,
        default: || Value::Duration(Duration::from_millis(10)),
    },
    Key {
        name: "memory_cache.sync_interval",
        kind: Kind::Duration(Duration::from_secs(10), Duration::from_secs(3600)),
        doc: "How long until it looks so that nothing is taken for granted.",
        is_live: true,
        default: || Value::Duration(Duration::from_secs(300)),
    },
    Key {
        name: "coordinator.pressure_threshold",
        kind: {
            let (min, max) = CoordinatorOptions::THRESHOLD_PERCENT;
            Kind::Ratio(min, max)
        },
        doc: "Above this used share of memory, a host's caches give room.",
        is_live: true,
        default: || Value::Ratio(Ratio::percent(80)),
    },
    Key {
        name: "coordinator.eviction_ratio",
        kind: {
            let (min, max) = CoordinatorOptions::RATIO_PERCENT;
            Kind::Ratio(min, max)
        },
        doc: "How much of its entries each cache gives up at once.",
        is_live: true,
        default: || Value::Ratio(Ratio::percent(20)),
    },
    Key {
        name: "coordinator.check_interval",
        kind: Kind::Duration(
            CoordinatorOptions::MIN_INTERVAL,
            CoordinatorOptions::MAX_INTERVAL,
        ),
        doc: "How often memory is looked at.",
        is_live: true,
        default: || Value::Duration(Duration::from_secs(30)),
    },
    Key {
        name: "coordinator.max_bytes",
        kind: Kind::Limit(CoordinatorOptions::MIN_BYTES),
        doc: "How much memory the caches of a host may take together.",
        is_live: true,
        default: || Value::Limit(None),
    },
    Key {
        name: "tiers.enabled",
        kind: Kind::Switch,
        doc: "Whether results are cached at all; without it every cache of them is empty and stays so.",
        is_live: false,
        default: || Value::Switch(true),
    },
    Key {
        name: "tiers.memory.enabled",
        kind: Kind::Switch,
        doc: "Whether results are kept in memory.",
        is_live: false,
        default: || Value::Switch(true),
    },
    Key {
        name: "tiers.memory.max_items",
        kind: Kind::Count(1, 1_000_000),
        doc: "How many results a type keeps in memory at most, unless it says so itself.",
        is_live: false,
        default: || Value::Count(1000),
    },
    Key {
        name: "tiers.memory.max_bytes",
        kind: Kind::Memory(1 << 10),
        doc: "How much memory they take at most, for each type.",
        is_live: false,
        default: || Value::Size(machine::total_memory_bytes().min(64 << 20)),
    },
    Key {
        name: "tiers.memory.ttl",
        kind: LIFETIME,
        doc: "How long memory holds a result at most that a tier behind it has, too.",
        is_live: false,
        default: || Value::Duration(Duration::from_secs(300)),
    },
    Key {
        name: "tiers.disk.enabled",
        kind: Kind::Switch,
        doc: "Whether results are kept in a file, which outlives the process.",
        is_live: false,
        default: || Value::Switch(true),
    },
    Key {
        name: "tiers.disk.path",
        kind: Kind::File,
        doc: "The file, from the project's root; one process uses it at a time.",
        is_live: false,
        default: || Value::Text(".cardex/derived.db".to_owned()),
    },
    Key {
        name: "tiers.disk.max_items",
        kind: Kind::Count(1, 1_000_000),
        doc: "How many results of a type the file holds at most.",
        is_live: false,
        default: || Value::Count(1_000_000),
    },
    Key {
        name: "tiers.disk.max_bytes",
        kind: Kind::Size(1 << 20, 1 << 40),
        doc: "How large the file gets at most, for all types together.",
        is_live: false,
        default: || Value::Size(500_000_000),
    },
    Key {
        name: "tiers.disk.ttl",
        kind: LIFETIME,
        doc: "How long the file holds a result at most that Redis has, too.",
        is_live: false,
        default: || Value::Duration(Duration::from_secs(3600)),
    },
    Key {
        name: "tiers.redis.enabled",
        kind: Kind::Switch,
        doc: "Whether results are shared through Redis; it takes redis.url as well.",
        is_live: false,
        default: || Value::Switch(true),
    },
    Key {
        name: "tiers.redis.ttl",
        kind: LIFETIME,
        doc: "How long Redis holds a result whose type says nothing.",
        is_live: false,
        default: || Value::Duration(Duration::from_secs(7200)),
    },
    Key {
        name: "redis.url",
        kind: Kind::Redis,
        doc: "The Redis server that processes share; REDIS_URL is honoured, too.",
        is_live: false,
        default: || Value::Text(UNSET.to_owned()),
    },
    Key {
        name: "redis.namespace",
        kind: Kind::Prefix,
        doc: "What sets a project's results apart there; auto is this project on this machine alone, a name is for machines that share them.",
        is_live: false,
        default: || Value::Text(AUTO.to_owned()),
    },
    Key {
        name: "redis.max_connections",
        kind: Kind::Count(1, 1000),
        doc: "How many connections to it are open at most.",
        is_live: false,
        default: || Value::Count(20),
    },
    Key {
        name: "redis.timeout",
        kind: Kind::Duration(Duration::from_millis(10), Duration::from_secs(60)),
        doc: "How long to wait for a connection, and for an answer.",
        is_live: false,
        default: || Value::Duration(Duration::from_secs(5)),
    },
    Key {
        name: "coordination.enabled",
        kind: Kind::Switch,
        doc: "Whether processes that share Redis make a missing result once for all of them, and tell each other what they change.",
        is_live: false,
        default: || Value::Switch(true),
    },
    Key {
        name: "coordination.lease",
        kind: Kind::Duration(Duration::from_secs(1), Duration::from_secs(600)),
        doc: "How long the right to make it lasts if its holder is gone; a holder at work renews it.",
        is_live: false,
        default: || Value::Duration(Duration::from_secs(30)),
    },
    Key {
        name: "coordination.heartbeat",
        kind: Kind::Duration(Duration::from_millis(100), Duration::from_secs(60)),
        doc: "How often processes that share Redis tell that they are there; what one changes is served by no other for longer than three; the same in all of them.",
        is_live: false,
        default: || Value::Duration(Duration::from_secs(1)),
    },
    Key {
        name: "watch.enabled",
        kind: Kind::Switch,
        doc: "Whether `serve` keeps the database up to date with the tree, as with --watch.",
        is_live: false,
        default: || Value::Switch(false),
    },
    Key {
        name: "watch.debounce",
        kind: {
            let (min, max) = WatchOptions::DEBOUNCE;
            Kind::Duration(min, max)
        },
        doc: "How long a file must have been left alone before a change of it is brought in.",
        is_live: false,
        default: || Value::Duration(Duration::from_millis(100)),
    },
    Key {
        name: "watch.max_delay",
        kind: {
            let (min, max) = WatchOptions::MAX_DELAY;
            Kind::Duration(min, max)
        },
        doc: "How long a file that is never left alone waits; not below the debounce.",
        is_live: false,
        default: || Value::Duration(Duration::from_secs(1)),
    },
    Key {
        name: "watch.ignore",
        kind: Kind::Patterns,
        doc: "What is not followed at once, as patterns of a .gitignore file; a look at the whole tree, every five minutes, finds it.",
        is_live: false,
        default: || Value::List(Vec::new()),
    },
    Key {
        name: "watch.poll_interval",
        kind: {
            let (min, max) = WatchOptions::POLL_INTERVAL;
            Kind::Duration(min, max)
        },
        doc: "How often a tree is looked at that cannot be watched.",
        is_live: false,
        default: || Value::Duration(Duration::from_secs(2)),
    },
    Key {
        name: "server.listen",
        kind: Kind::Address,
        doc: "Where `serve` listens; port 0 is any that is free. Others than this machine want a token.",
        is_live: false,
        default: || Value::Text("127.0.0.1:7878".to_owned()),
    },
    Key {
        name: "server.token_file",
        kind: Kind::File,
        doc: "The file with the token that changing verbs want, readable by its owner alone; without one, nothing can be changed.",
        is_live: false,
        default: || Value::Text(UNSET.to_owned()),
    },
    Key {
        name: "server.token_for_reading",
        kind: Kind::Switch,
        doc: "Whether reading wants the token on this machine, too: where others share it, or reach it through a proxy.",
        is_live: false,
        default: || Value::Switch(false),
    },
    Key {
        name: "server.max_body_bytes",
        kind: Kind::Size(1 << 10, 16 << 20),
        doc: "Longer bodies of requests are refused.",
        is_live: true,
        default: || Value::Size(1 << 20),
    },
    Key {
        name: "server.max_header_bytes",
        kind: Kind::Size(8 << 10, 1 << 20),
        doc: "Longer request lines and headers are refused.",
        is_live: true,
        default: || Value::Size(16 << 10),
    },
    Key {
        name: "server.header_timeout",
        kind: Kind::Duration(Duration::from_millis(100), Duration::from_secs(60)),
        doc: "How long a client may take to send its headers, or keep a connection idle.",
        is_live: true,
        default: || Value::Duration(Duration::from_secs(5)),
    },
    Key {
        name: "server.request_timeout",
        kind: Kind::Duration(Duration::from_millis(100), Duration::from_secs(600)),
        doc: "How long a request is worked on; what a client asked to wait for changes comes on top.",
        is_live: true,
        default: || Value::Duration(Duration::from_secs(10)),
    },
    Key {
        name: "server.max_page",
        kind: Kind::Count(1, 10_000),
        doc: "How many files one answer lists at most.",
        is_live: true,
        default: || Value::Count(1000),
    },
    Key {
        name: "server.max_requests",
        kind: Kind::Count(1, 1024),
        doc: "How many requests are worked on at once; others are told to come again. As many clients may wait for changes.",
        is_live: false,
        default: || Value::Count(64),
    },
    Key {
        name: "server.max_connections",
        kind: Kind::Count(1, 65_536),
        doc: "How many connections are open at once; for one more, the one that was idle for the longest time is closed.",
        is_live: false,
        default: || Value::Count(1024),
    },
];

/// From a millisecond to ten years.
const LIFETIME: Kind = Kind::Duration(
    Duration::from_millis(1),
    Duration::from_secs(10 * 365 * 86_400),
);

/// What a type says that says nothing: what it is predefined to be, or the defaults of its tiers.
fn unsaid() -> Value {
    Value::Text(UNSET.to_owned())
}

/// The keys that each type of cache has of its own, NAME being the type's name.
pub static TYPE_KEYS: &[Key] = &[
    Key {
        name: "types.NAME.enabled",
        kind: Kind::Switch,
        doc: "Whether the type caches anything.",
        is_live: false,
        default: unsaid,
    },
    Key {
        name: "types.NAME.backend",
        kind: Kind::OneOf(&["auto", "memory", "disk", "redis", "tiered", "multi_tier"]),
        doc: "Where its results are kept; auto is every tier that answers.",
        is_live: false,
        default: unsaid,
    },
    Key {
        name: "types.NAME.prefix",
        kind: Kind::Prefix,
        doc: "What sets its keys apart in tiers that types share; by default its name.",
        is_live: false,
        default: unsaid,
    },
    Key {
        name: "types.NAME.strategy",
        kind: Kind::OneOf(&[
            "cache_aside",
            "read_through",
            "write_through",
            "write_behind",
            "refresh_ahead",
        ]),
        doc: "Who reads the source, and when it is written.",
        is_live: false,
        default: unsaid,
    },
    Key {
        name: "types.NAME.ttl",
        kind: LIFETIME,
        doc: "How long a result lives that says nothing itself.",
        is_live: false,
        default: unsaid,
    },
    Key {
        name: "types.NAME.grace",
        kind: Kind::Duration(Duration::ZERO, Duration::from_secs(30 * 86_400)),
        doc: "How much longer a result is kept for when no new one can be made.",
        is_live: false,
        default: unsaid,
    },
    Key {
        name: "types.NAME.max_items",
        kind: Kind::Count(1, 1_000_000),
        doc: "How many results it keeps in memory at most where that is its only tier; a tenth of them in front of others.",
        is_live: false,
        default: unsaid,
    },
    Key {
        name: "types.NAME.max_bytes",
        kind: Kind::Memory(1 << 10),
        doc: "How much memory its results take at most.",
        is_live: false,
        default: unsaid,
    },
    Key {
        name: "types.NAME.policy",
        kind: Kind::Policy,
        doc: "Which results leave memory first when it is full.",
        is_live: false,
        default: unsaid,
    },
    Key {
        name: "types.NAME.consistency",
        kind: Kind::OneOf(&["strong", "eventual"]),
        doc: "Whether it may answer with what was true a moment ago.",
        is_live: false,
        default: unsaid,
    },
    Key {
        name: "types.NAME.invalidates",
        kind: Kind::KeyPatterns,
        doc: "Patterns of keys that a write to this type drops, with {id} for what was written.",
        is_live: false,
        default: unsaid,
    },
];

fn processors() -> u64 {
    std::thread::available_parallelism().map_or(1, |n| n.get().min(256) as u64)
}
