//! What a write to a type of cache drops: patterns of its keys, declared with the type.

use std::ops::ControlFlow;

use super::invalidation::{Template, check_room};
use super::{KvCache, KvChange};
use crate::error::{Error, ErrorKind, Result};
use crate::tier::{Key, KeyPattern, MAX_KEY_CHARS};

/// The patterns of keys that depend on each key of a type.
#[derive(Clone, Debug)]
pub(super) struct Dependants {
    kind: String,
    templates: Vec<Template>,
}

impl Dependants {
    /// # Errors
    /// `InvalidPattern` for a text that can be no pattern, has another placeholder, or becomes too long
    /// with a key that there may be; `Full` above a thousand.
    pub(super) fn new(kind: &str, patterns: &[String]) -> Result<Self> {
        check_room(kind, "dependants", patterns.len())?;
        let parsed = patterns.iter().map(|text| {
            let template = Template::new(text)?;
            // Of a longer key, no key that there may be can hold as many.
            let longest = MAX_KEY_CHARS / template.ids().max(1);
            template.of(kind, &"\\*".repeat(longest))?;
            Ok(template)
        });
        Ok(Dependants {
            kind: kind.to_owned(),
            templates: parsed.collect::<Result<_>>()?,
        })
    }

    fn of(&self, written: &Key) -> impl Iterator<Item = Result<KeyPattern>> {
        let id = KeyPattern::escape(written.as_str());
        let chars = written.as_str().chars().count();
        let each = self.templates.iter();
        each.filter_map(move |template| match template.of(&self.kind, &id) {
            // It is too long because no key is as long as what would match.
            Err(_) if template.ids() * chars > MAX_KEY_CHARS => None,
            pattern => Some(pattern),
        })
    }
}

impl KvCache {
    /// Drops what depends on a key that was written, or may have been, but never that key itself; what is
    /// dropped drops nothing else. Every pattern is tried before an error is told.
    ///
    /// # Errors
    /// `CommittedNotApplied` with whatever keeps the tier from forgetting: what depends on the key may
    /// still be found.
    pub(super) fn drop_dependants(&self, written: &Key) -> Result<()> {
        let Some(dependants) = &self.0.dependants else {
            return Ok(());
        };
        let dropped = dependants
            .of(written)
            .map(|pattern| self.drop_dependant(&pattern?, written));
        let dropped: Vec<Result<()>> = dropped.collect();
        dropped
            .into_iter()
            .collect::<Result<()>>()
            .map_err(|cause| {
                let message =
                    format!("{written} is written, but what depends on it is not all gone");
                Error::new(ErrorKind::CommittedNotApplied, message)
                    .with_help("delete by the patterns of `invalidates` when the cache is back")
                    .because(cause)
            })
    }

    fn drop_dependant(&self, pattern: &KeyPattern, written: &Key) -> Result<()> {
        if let Some(key) = pattern.only() {
            return match key == *written {
                true => Ok(()),
                false => self.remove_alone(&key).map(drop),
            };
        }
        let dropped = self.take_out(Some(pattern.clone()), || {
            match pattern.matches(written.as_str()) {
                true => self.remove_others(pattern, written),
                false => self.0.tier.remove_matching(pattern).map(drop),
            }
        });
        self.tell(KvChange::Matching(pattern));
        dropped
    }

    fn remove_others(&self, pattern: &KeyPattern, written: &Key) -> Result<()> {
        let mut others = Vec::new();
        self.0.tier.scan(pattern, &mut |key| {
            if key != *written {
                others.push(key);
            }
            ControlFlow::Continue(())
        })?;
        others
            .iter()
            .try_for_each(|key| self.remove_alone(key).map(drop))
    }
}
