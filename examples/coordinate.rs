//! A host whose own caches give room together with cardex's: one over `moka`, one over `lru`. Each
//! joins by the six methods of `Cache`; the coordinator knows nothing else of them.
//!
//! ```text
//! cargo run --example coordinate
//! ```
//!
//! It fills them, changes a file, and lets them grow over what they may weigh together.

use std::error::Error;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cardex::{
    Cache, CacheCoordinator, CacheReport, CacheUsage, Cardex, CoordinatorOptions, Counter,
    FileMetadata, FilePath, Function, Result, Scope,
};

/// The contents of files, the least recently used of which leave first.
struct Contents {
    held: Mutex<Held>,
    hits: Counter,
    misses: Counter,
    evictions: Counter,
}

struct Held {
    texts: lru::LruCache<FilePath, Arc<str>>,
    bytes: usize,
}

impl Contents {
    fn new(capacity: NonZeroUsize) -> Self {
        let texts = lru::LruCache::new(capacity);
        Contents {
            held: Mutex::new(Held { texts, bytes: 0 }),
            hits: Counter::default(),
            misses: Counter::default(),
            evictions: Counter::default(),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The contents of a file, read if they are not here.
    fn text(&self, path: &FilePath, read: impl FnOnce() -> String) -> Arc<str> {
        if let Some(text) = self.held().texts.get(path) {
            self.hits.bump();
            return Arc::clone(text);
        }
        self.misses.bump();
        let text: Arc<str> = read().into();
        let mut held = self.held();
        held.bytes += text.len();
        if let Some((_, old)) = held.texts.push(path.clone(), Arc::clone(&text)) {
            held.bytes -= old.len();
            self.evictions.bump();
        }
        text
    }
}

impl Cache for Contents {
    fn name(&self) -> &str {
        "file_content"
    }

    fn usage(&self) -> CacheUsage {
        let held = self.held();
        CacheUsage {
            entries: held.texts.len(),
            capacity: Some(held.texts.cap().get()),
            bytes: Some(held.bytes as u64),
            max_bytes: None,
        }
    }

    fn evict(&self, entries: usize) -> Result<usize> {
        let mut held = self.held();
        let mut evicted = 0;
        while evicted < entries
            && let Some((_, text)) = held.texts.pop_lru()
        {
            held.bytes -= text.len();
            evicted += 1;
        }
        self.evictions.add(evicted as u64);
        Ok(evicted)
    }

    fn invalidate(&self, scope: &Scope) -> Result<usize> {
        let scope = scope.matcher()?;
        let mut held = self.held();
        let paths = held.texts.iter().map(|(path, _)| path);
        let outdated: Vec<FilePath> = paths
            .filter(|path| scope.covers(path.as_str()))
            .cloned()
            .collect();
        for path in &outdated {
            let text = held.texts.pop(path);
            held.bytes -= text.map_or(0, |text| text.len());
        }
        Ok(outdated.len())
    }

    fn clear(&self) -> Result<()> {
        let mut held = self.held();
        held.texts.clear();
        held.bytes = 0;
        Ok(())
    }

    fn stats(&self) -> Result<CacheReport> {
        Ok(CacheReport::new(self.usage())
            .requests(self.hits.get(), self.misses.get())
            .evictions(self.evictions.get()))
    }
}

/// What a tool found in each file. Who leaves when it is full is `moka`'s business; under pressure
/// any of them do.
struct Findings {
    held: moka::sync::Cache<FilePath, Arc<[usize]>>,
    hits: Counter,
    misses: Counter,
    evictions: Counter,
}

impl Findings {
    fn new(max_bytes: u64) -> Self {
        let weigh = |path: &FilePath, found: &Arc<[usize]>| {
            let bytes = path.as_str().len() + size_of_val(&**found);
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        let held = moka::sync::Cache::builder();
        Findings {
            held: held.weigher(weigh).max_capacity(max_bytes).build(),
            hits: Counter::default(),
            misses: Counter::default(),
            evictions: Counter::default(),
        }
    }

    /// Where the lines of a text begin, found once.
    fn lines(&self, path: &FilePath, text: &str) -> Arc<[usize]> {
        let found = self.held.entry_by_ref(path).or_insert_with(|| {
            let ends = text.match_indices('\n').map(|(at, _)| at + 1);
            std::iter::once(0).chain(ends).collect()
        });
        match found.is_fresh() {
            true => self.misses.bump(),
            false => self.hits.bump(),
        }
        found.into_value()
    }

    /// Drops at most so many that meet the condition; how many.
    fn drop_some(&self, most: usize, condition: impl Fn(&FilePath) -> bool) -> usize {
        let paths = self.held.iter().map(|(path, _)| path);
        let paths: Vec<_> = paths.filter(|path| condition(path)).take(most).collect();
        let removed = paths
            .iter()
            .filter(|path| self.held.remove(&***path).is_some());
        removed.count()
    }
}

impl Cache for Findings {
    fn name(&self) -> &str {
        "findings"
    }

    fn usage(&self) -> CacheUsage {
        // Its counts lag behind until this is done.
        self.held.run_pending_tasks();
        CacheUsage {
            entries: usize::try_from(self.held.entry_count()).unwrap_or(usize::MAX),
            capacity: None,
            bytes: Some(self.held.weighted_size()),
            max_bytes: self.held.policy().max_capacity(),
        }
    }

    fn evict(&self, entries: usize) -> Result<usize> {
        let evicted = self.drop_some(entries, |_| true);
        self.evictions.add(evicted as u64);
        Ok(evicted)
    }

    fn invalidate(&self, scope: &Scope) -> Result<usize> {
        let scope = scope.matcher()?;
        Ok(self.drop_some(usize::MAX, |path| scope.covers(path.as_str())))
    }

    fn clear(&self) -> Result<()> {
        self.held.invalidate_all();
        Ok(())
    }

    fn stats(&self) -> Result<CacheReport> {
        Ok(CacheReport::new(self.usage())
            .requests(self.hits.get(), self.misses.get())
            .evictions(self.evictions.get()))
    }
}

fn tell(coordinator: &CacheCoordinator) {
    let stats = coordinator.stats();
    for cache in &stats.caches {
        match &cache.report {
            Ok(report) => println!(
                "  {:<13} {:>4} entries, {:>4} KiB, {:.0} % hits",
                cache.name,
                report.usage.entries,
                report.usage.bytes.unwrap_or(0).div_ceil(1024),
                report.hit_rate() * 100.0,
            ),
            Err(error) => println!("  {:<13} {error}", cache.name),
        }
    }
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let database = directory.path().join("project.db");
    let cardex = Cardex::builder().database(database).open()?;
    let contents = Arc::new(Contents::new(NonZeroUsize::new(500).ok_or("500 is 0")?));
    let findings = Arc::new(Findings::new(1 << 20));

    // All together may weigh 1 MiB; above 80 % of that, each gives up a fifth of its entries.
    let options = CoordinatorOptions::default().max_bytes(Some(1 << 20))?;
    let coordinator = CacheCoordinator::new(options);
    coordinator.register(cardex.as_cache())?;
    coordinator.register(contents.clone())?;
    coordinator.register(findings.clone())?;
    println!("enrolled: {}", coordinator.list().join(", "));

    let mut paths = Vec::new();
    for n in 0..200 {
        let record = FileMetadata::builder(&format!("src/part{}/f{n:03}.py", n % 4))
            .language("python")
            .function(Function::named(format!("f{n}")))
            .build()?;
        cardex.update(&record)?;
        paths.push(record.path);
    }
    let ask = |paths: &[FilePath]| -> Result<()> {
        for path in paths {
            let text = contents.text(path, || "a line of some file\n".repeat(220));
            findings.lines(path, &text);
            cardex.get(path)?;
        }
        Ok(())
    };
    ask(&paths[..100])?;
    ask(&paths[..100])?;
    println!("100 files, asked twice:");
    tell(&coordinator);

    for outcome in coordinator.invalidate(&Scope::Prefix("src/part3".to_owned()))? {
        println!(
            "src/part3 changed: {} of {} left",
            outcome.removed?, outcome.cache
        );
    }

    ask(&paths)?;
    println!("all 200:");
    tell(&coordinator);
    // A host calls `start` once, and this happens by itself.
    if coordinator.check_pressure()
        && let Some(round) = coordinator.stats().last_round
    {
        let share = |share: Option<f64>| share.map_or(0.0, |share| share * 100.0);
        let (before, after) = (share(round.before), share(round.after));
        println!("memory {before:.0} % used, then {after:.0} %:");
        for outcome in round.outcomes {
            println!("  {} of {} left", outcome.removed?, outcome.cache);
        }
    }
    ask(&paths)?;
    println!("all 200 again:");
    tell(&coordinator);
    Ok(())
}
