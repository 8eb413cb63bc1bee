//! A small host: cardex's three components and one of its own, started in the order of their
//! dependencies and stopped in reverse.
//!
//! ```text
//! cargo run --example host -- [--once | --stay] [DATABASE]
//! ```
//!
//! It asks one question and prints the answer. Then, on a terminal or with `--stay`, it runs until
//! SIGINT or SIGTERM; otherwise it stops by itself. Without a database it makes one that vanishes.

use std::error::Error;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use cardex::component::{
    Component, ComponentRegistry, ConfigManagerComponent, DatabaseComponent, InitializationContext,
    MemoryCacheComponent, Settings,
};
use cardex::{Class, FileMetadata, Function, Query, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// A component of the host's own: it knows where things are, because it asks the cache.
#[derive(Debug, Default)]
struct Librarian {
    cache: Mutex<Option<Arc<MemoryCacheComponent>>>,
}

impl Librarian {
    fn cache(&self) -> Option<Arc<MemoryCacheComponent>> {
        self.cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, cache: Option<Arc<MemoryCacheComponent>>) {
        *self.cache.lock().unwrap_or_else(PoisonError::into_inner) = cache;
    }

    /// Tells which files match a question.
    fn answer(&self, query: &Query) -> Result<()> {
        let Some(cache) = self.cache() else {
            println!("The library is closed.");
            return Ok(());
        };
        let answer = cache.query(query)?;
        println!("{} found, as of {}:", answer.total(), answer.as_of());
        answer.paths().for_each(|path| println!("  {path}"));
        Ok(())
    }
}

impl Component for Librarian {
    fn name(&self) -> &str {
        "librarian"
    }

    fn initialize(&self, context: &InitializationContext<'_>) -> Result<()> {
        self.set(Some(context.dependency(MemoryCacheComponent::NAME)?));
        println!("librarian: open");
        Ok(())
    }

    fn shutdown(&self) -> Result<()> {
        self.set(None);
        println!("librarian: closed");
        Ok(())
    }

    fn is_initialized(&self) -> bool {
        self.cache().is_some()
    }
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let (flags, files): (Vec<_>, Vec<_>) = std::env::args()
        .skip(1)
        .partition(|argument| argument.starts_with("--"));
    let (mut once, mut stay) = (false, false);
    for flag in &flags {
        match flag.as_str() {
            "--once" => once = true,
            "--stay" => stay = true,
            other => {
                return Err(format!("unknown flag {other}; known are --once and --stay").into());
            }
        }
    }
    let temporary = tempfile::tempdir()?;
    let database = files.first().map(PathBuf::from);
    let is_new = database.is_none();
    let settings = Settings {
        database: database.unwrap_or_else(|| temporary.path().join("host.db")),
        ..Settings::default()
    };

    // Listened to before anything starts: a signal that comes early is handled once all run.
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let cache = Arc::new(MemoryCacheComponent::new());
    let librarian = Arc::new(Librarian::default());
    let host = ComponentRegistry::new();
    // In any order: each names what it depends on.
    host.register(librarian.clone(), &[MemoryCacheComponent::NAME], true)?;
    host.register(cache.clone(), MemoryCacheComponent::DEPENDENCIES, true)?;
    host.register(
        Arc::new(DatabaseComponent::new()),
        DatabaseComponent::DEPENDENCIES,
        true,
    )?;
    host.register(Arc::new(ConfigManagerComponent::new(settings)), &[], true)?;
    host.start()?;

    if is_new {
        for path in ["src/lexer.py", "src/parser.py"] {
            let class = Class::named("Lexer").method(Function::named("parse"));
            cache.update(
                &FileMetadata::builder(path)
                    .language("python")
                    .class(class)
                    .build()?,
            )?;
        }
    }
    librarian.answer(&Query::builder().language("python").limit(10).build()?)?;
    let stats = cache.stats()?;
    println!(
        "{} of {} records in memory, {} of {} KiB; hit rate {:.0} %",
        stats.items,
        stats.max_items,
        stats.bytes.div_ceil(1024),
        stats.max_bytes / 1024,
        stats.hit_rate() * 100.0,
    );
    if stay || (!once && std::io::stdin().is_terminal()) {
        println!("running: stop it with Ctrl-C");
        signals.forever().next();
    }
    host.stop()?;
    println!("stopped");
    Ok(())
}
