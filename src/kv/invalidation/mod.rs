//! What leaves a cache when an entity is written: its own entry, the lists and counts of its type, what
//! users see of it, what was declared to depend on it, and whatever hooks see to. Nothing that fails
//! stops the rest, and nothing that failed is kept quiet.
//!
//! ```
//! use std::sync::Arc;
//!
//! use cardex::SystemClock;
//! use cardex::kv::invalidation::Invalidator;
//! use cardex::kv::{KvCache, KvOptions};
//! use cardex::tier::{Lifetime, MemoryTier, MemoryTierOptions};
//!
//! let clock = Arc::new(SystemClock);
//! let tier = Arc::new(MemoryTier::new("shop", MemoryTierOptions::default(), clock.clone()));
//! let cache = KvCache::new("shop", KvOptions::default(), tier, clock.clone());
//! let invalidator = Invalidator::new(cache.clone(), clock);
//! invalidator.declare("order", &["user:*:orders"])?;
//!
//! for key in ["order:7", "order:list:new", "user:1:orders", "order:8"] {
//!     cache.set(key, &1, Lifetime::Default)?;
//! }
//! let done = invalidator.written("order", "7", "an order was paid")?;
//! assert_eq!((done.removed(), done.is_complete()), (3, true));
//! assert!(cache.exists("order:8")?);
//! # Ok::<(), cardex::Error>(())
//! ```

mod log;
mod template;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use self::log::{Invalidated, InvalidationLog, MAX_INVALIDATIONS_KEPT};
pub(super) use self::template::Template;
use super::KvCache;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::panics::caught;
use crate::primitives::RwLock;
use crate::tier::{Key, KeyPattern, Tier};

/// The most dependants, and the most hooks, of a type: what is called at each write.
const MOST_OF_A_TYPE: usize = 1000;

/// Something that forgets what matches.
pub trait Forgets: Send + Sync {
    /// Takes out what matches, and returns how many entries left.
    ///
    /// # Errors
    /// Whatever keeps it from forgetting.
    fn delete_matching(&self, pattern: &KeyPattern) -> Result<usize>;
}

impl Forgets for KvCache {
    fn delete_matching(&self, pattern: &KeyPattern) -> Result<usize> {
        KvCache::delete_matching(self, pattern)
    }
}

impl Forgets for Arc<dyn Tier> {
    fn delete_matching(&self, pattern: &KeyPattern) -> Result<usize> {
        self.remove_matching(pattern)
    }
}

/// What was written: an entity of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entity<'e> {
    /// Its type, such as `order`.
    pub kind: &'e str,
    /// Which one of the type.
    pub id: &'e str,
}

/// Somebody else's part of an invalidation; returns how many entries left.
type Hook = Arc<dyn Fn(Entity<'_>) -> Result<usize> + Send + Sync>;

/// A hook and what it is called.
type NamedHook = (String, Hook);

/// Invalidates what a write makes untrue.
pub struct Invalidator {
    target: Arc<dyn Forgets>,
    rules: RwLock<Rules>,
    log: Arc<InvalidationLog>,
}

/// What was declared, by type.
#[derive(Default)]
struct Rules {
    dependants: BTreeMap<String, Vec<Template>>,
    hooks: BTreeMap<String, Vec<NamedHook>>,
}

impl Invalidator {
    /// One over a cache, or over a tier, without dependants or hooks.
    pub fn new(target: impl Forgets + 'static, clock: Arc<dyn Clock>) -> Self {
        Invalidator {
            target: Arc::new(target),
            rules: RwLock::default(),
            log: Arc::new(InvalidationLog::new(clock)),
        }
    }

    /// Declares patterns of keys that depend on every entity of a type, after those that were declared
    /// before. `{id}` and `{type}` in a pattern stand for those of the entity, whatever characters they
    /// have; `\{` is a brace.
    ///
    /// # Errors
    /// `InvalidPattern` for a pattern that is none, or with another placeholder; `Full` above a thousand.
    /// Nothing is declared then.
    pub fn declare(&self, kind: &str, patterns: &[&str]) -> Result<()> {
        let parsed = patterns.iter().map(|text| Template::new(text));
        let parsed: Vec<Template> = parsed.collect::<Result<_>>()?;
        let mut rules = self.rules.write();
        let of_type = rules.dependants.entry(kind.to_owned()).or_default();
        check_room(kind, "dependants", of_type.len() + parsed.len())?;
        of_type.extend(parsed);
        Ok(())
    }

    /// Calls the hook after each write of an entity of the type, after the hooks that were added before;
    /// `name` is what it is called when it fails.
    ///
    /// # Errors
    /// `Full` above a thousand.
    pub fn hook(
        &self,
        kind: &str,
        name: &str,
        hook: impl Fn(Entity<'_>) -> Result<usize> + Send + Sync + 'static,
    ) -> Result<()> {
        let mut rules = self.rules.write();
        let of_type = rules.hooks.entry(kind.to_owned()).or_default();
        check_room(kind, "hooks", of_type.len() + 1)?;
        of_type.push((name.to_owned(), Arc::new(hook)));
        Ok(())
    }

    /// An entity was written: what it makes untrue leaves, in this order: `{type}:{id}`,
    /// `{type}:list:*`, `{type}:count`, `user:*:{type}:{id}`, the declared dependants, the hooks.
    ///
    /// In a key, type and id stand as [`Key::from_parts`] writes parts; an id that holds `*` means
    /// itself. `cause` is what the log says of it.
    ///
    /// # Errors
    /// `InvalidInput` for a type or an id that can be no part of a key, and nothing leaves. What fails
    /// later is in the answer.
    pub fn written(&self, kind: &str, id: &str, cause: &str) -> Result<Invalidation> {
        let entity = Entity { kind, id };
        let (patterns, hooks) = self.plan(entity)?;
        let mut steps = Vec::with_capacity(patterns.len() + hooks.len());
        for pattern in patterns {
            let forget = || self.target.delete_matching(&pattern);
            let outcome = caught(ErrorKind::Internal, forget);
            self.log.note(cause, pattern.as_str(), &outcome);
            steps.push(Step {
                what: pattern.as_str().to_owned(),
                outcome,
            });
        }
        for (name, hook) in hooks {
            let outcome = caught(ErrorKind::Internal, || hook(entity));
            let what = format!("the hook `{name}`");
            self.log.note(cause, &what, &outcome);
            steps.push(Step { what, outcome });
        }
        let invalidation = Invalidation { steps };
        for step in invalidation.failures() {
            if let Err(error) = &step.outcome {
                let (what, error) = (&step.what, format!("{error:#}"));
                tracing::warn!(kind, id, what, error, "part of an invalidation failed");
            }
        }
        Ok(invalidation)
    }

    /// Everything of a pattern leaves, on somebody's word.
    ///
    /// # Errors
    /// Those of the cache.
    pub fn forget(&self, pattern: &KeyPattern, cause: &str) -> Result<usize> {
        let forget = || self.target.delete_matching(pattern);
        let outcome = caught(ErrorKind::Internal, forget);
        self.log.note(cause, pattern.as_str(), &outcome);
        outcome
    }

    /// The last invalidations.
    pub fn log(&self) -> &Arc<InvalidationLog> {
        &self.log
    }

    /// What is to be done, as it was declared at this moment.
    fn plan(&self, entity: Entity<'_>) -> Result<(Vec<KeyPattern>, Vec<NamedHook>)> {
        let part = |text| Ok::<_, Error>(KeyPattern::escape(Key::from_parts([text])?.as_str()));
        let (kind, id) = (part(entity.kind)?, part(entity.id)?);
        let rules = self.rules.read();
        let mut patterns = vec![
            KeyPattern::new(&format!("{kind}:{id}"))?,
            KeyPattern::new(&format!("{kind}:list:*"))?,
            KeyPattern::new(&format!("{kind}:count"))?,
            KeyPattern::new(&format!("user:*:{kind}:{id}"))?,
        ];
        for dependant in rules.dependants.get(entity.kind).into_iter().flatten() {
            patterns.push(dependant.of(&kind, &id)?);
        }
        let hooks = rules.hooks.get(entity.kind).cloned().unwrap_or_default();
        Ok((patterns, hooks))
    }
}

pub(super) fn check_room(kind: &str, what: &str, count: usize) -> Result<()> {
    if count <= MOST_OF_A_TYPE {
        return Ok(());
    }
    let message = format!("`{kind}` would have {count} {what}, and may have {MOST_OF_A_TYPE}");
    Err(Error::new(ErrorKind::Full, message).with_help("let one pattern match many keys"))
}

/// What an invalidation did.
#[derive(Debug)]
pub struct Invalidation {
    steps: Vec<Step>,
}

/// One part of an invalidation.
#[derive(Debug)]
#[non_exhaustive]
pub struct Step {
    /// The pattern, or the name of the hook.
    pub what: String,
    /// How many entries left, or why not all of them did.
    pub outcome: Result<usize>,
}

impl Invalidation {
    /// How many entries left.
    pub fn removed(&self) -> usize {
        let removed = self
            .steps
            .iter()
            .flat_map(|step| step.outcome.as_ref().ok());
        removed.sum()
    }

    /// Its parts, in their order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The parts that failed: what they were to forget may still be found.
    pub fn failures(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.outcome.is_err())
    }

    /// Whether no part failed.
    pub fn is_complete(&self) -> bool {
        self.failures().next().is_none()
    }
}

impl fmt::Debug for Invalidator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = self.rules.read();
        f.debug_struct("Invalidator")
            .field("dependants", &rules.dependants)
            .field("hooks", &rules.hooks.keys())
            .finish_non_exhaustive()
    }
}
