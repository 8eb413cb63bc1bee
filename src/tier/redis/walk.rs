//! Everything that goes through the keys of the server, page by page: `SCAN`, which lets others work in
//! between, and visits every key that is there from the beginning to the end, perhaps twice.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::Instant;

use super::epoch::{Epoch, first};
use super::keys::Named;
use super::reply::{array, no_reply, number, replies, text};
use super::{RedisTier, Step, strings};
use crate::error::{Error, ErrorKind, Result};
use crate::redis::{Link, Trouble};
use crate::tier::{Key, KeyPattern};

/// How many keys the server looks at for one page.
const PAGE: usize = 1000;
/// How many pages are looked at to count entries: of larger servers, it is estimated from those.
const COUNTED_PAGES: usize = 64;
/// How many pages one sweep looks at.
const SWEPT_PAGES: usize = 16;
/// From how many entries their bytes are estimated.
const WEIGHED: usize = 100;
/// How often a walk begins again because the server did meanwhile: its pages are other ones then.
const MAX_WALKS: usize = 3;

/// A page of names.
struct Page {
    /// Where the next one begins; 0 after the last.
    next: u64,
    names: Vec<String>,
    /// The epoch, asked for after the names: what has another one in its name will never be asked for.
    epoch: Option<Epoch>,
}

/// What [`RedisTier::count`] found.
#[derive(Debug, Default)]
pub(super) struct Count {
    pub(super) entries: usize,
    pub(super) bytes: u64,
    pub(super) max_bytes: u64,
}

impl RedisTier {
    pub(super) fn visit(
        &self,
        pattern: &KeyPattern,
        visit: &mut dyn FnMut(Key) -> ControlFlow<()>,
    ) -> Result<()> {
        let epoch = self.now()?;
        self.walk(&self.names.matching(epoch.number, pattern), |page| {
            let keys = self.matches(&page, epoch, pattern, true);
            Ok(keys.into_iter().try_for_each(&mut *visit))
        })
    }

    /// All leases leave first, and then all values: who holds one of before keeps nothing from then on, and
    /// what was kept under one meanwhile is there before the values are walked through.
    pub(super) fn remove_all(&self, pattern: &KeyPattern) -> Result<usize> {
        let epoch = self.now()?;
        self.walk(&self.names.leases_matching(epoch.number, pattern), |page| {
            let keys = self.matches(&page, epoch, pattern, false);
            self.unlink(keys.iter().map(|key| self.names.lease(epoch.number, key)))?;
            Ok(ControlFlow::Continue(()))
        })?;
        let mut removed = 0;
        self.walk(&self.names.matching(epoch.number, pattern), |page| {
            let keys = self.matches(&page, epoch, pattern, true);
            removed += self.unlink(keys.iter().map(|key| self.names.value(epoch.number, key)))?;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(removed)
    }

    pub(super) fn evict_any(&self, entries: usize) -> Result<usize> {
        if entries == 0 {
            return Ok(0);
        }
        let (epoch, all) = (self.now()?, KeyPattern::new("*")?);
        let mut evicted = 0;
        self.walk(&self.names.matching(epoch.number, &all), |page| {
            let keys = self.matches(&page, epoch, &all, true);
            let keys = keys.iter().take(entries - evicted);
            evicted += self.unlink(keys.map(|key| self.names.value(epoch.number, key)))?;
            Ok(match evicted < entries {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            })
        })?;
        Ok(evicted)
    }

    pub(super) fn clear_all(&self) -> Result<()> {
        let until = Instant::now() + self.client.timeout();
        if self.renew_epoch().is_err() {
            // A server without room does not even take the epoch. Without one, all can be taken out.
            self.end_epoch()?;
            self.walk(&self.names.all(), |page| {
                self.unlink_orphans(&page, usize::MAX)?;
                Ok(ControlFlow::Continue(()))
            })?;
            self.renew_epoch()?;
        }
        let removed = self.walk(&self.names.all(), |page| {
            self.unlink_orphans(&page, usize::MAX)?;
            Ok(match Instant::now() < until {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            })
        });
        if let Err(error) = removed {
            // They are out of reach, and a sweep goes on with them.
            tracing::debug!(tier = self.name, %error, "cleared values are still on the server");
        }
        Ok(())
    }

    pub(super) fn invalidate_all(&self) -> Result<usize> {
        let before = self.now()?;
        self.renew_epoch()?;
        let mut removed = 0;
        self.walk(&self.names.all(), |page| {
            let all = KeyPattern::new("*")?;
            let keys = self.matches(&page, before, &all, true);
            removed += self.unlink(keys.iter().map(|key| self.names.value(before.number, key)))?;
            self.unlink_orphans(&page, usize::MAX)?;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(removed)
    }

    pub(super) fn sweep_orphans(&self, most: usize) -> Result<usize> {
        let mut removed = 0;
        for _ in 0..SWEPT_PAGES {
            if removed == most {
                break;
            }
            let from = *self.swept_to.lock();
            let page = self.page(&self.names.all(), from)?;
            removed += self.unlink_orphans(&page, most - removed)?;
            if removed < most {
                *self.swept_to.lock() = page.next;
            }
            if page.next == 0 {
                break;
            }
        }
        Ok(removed)
    }

    pub(super) fn count(&self) -> Result<Count> {
        let (epoch, all) = (self.now()?, KeyPattern::new("*")?);
        let (mut keys, mut pages) = (HashSet::new(), 0);
        let mut is_whole = true;
        self.walk(&self.names.matching(epoch.number, &all), |page| {
            keys.extend(self.matches(&page, epoch, &all, true));
            pages += 1;
            is_whole = page.next == 0;
            Ok(match pages < COUNTED_PAGES {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            })
        })?;
        let mut ask = redis::pipe();
        ask.cmd("DBSIZE").cmd("INFO").arg("memory");
        let told = self.client.run(|link| link.ask(&ask));
        // A user may be kept from asking.
        let told = told.unwrap_or_default();
        let share = match (is_whole, told.first().map(number)) {
            (false, Some(all)) => all.max(0) as f64 / (pages * PAGE) as f64,
            _ => 1.0,
        };
        let entries = (keys.len() as f64 * share.max(1.0)) as usize;
        let limit = told.get(1).and_then(text).and_then(|info| {
            let mut lines = info.lines();
            lines.find_map(|line| line.strip_prefix("maxmemory:")?.trim().parse().ok())
        });
        let names = keys.iter().take(WEIGHED);
        let names: Vec<String> = names
            .map(|key| self.names.value(epoch.number, key))
            .collect();
        Ok(Count {
            entries,
            bytes: (self.average_bytes(&names) * entries as f64) as u64,
            max_bytes: limit.unwrap_or(0),
        })
    }

    /// What an entry takes on the server, by its own word; 0 if it does not tell.
    fn average_bytes(&self, names: &[String]) -> f64 {
        if names.is_empty() {
            return 0.0;
        }
        let mut weigh = redis::pipe();
        for name in names {
            weigh.cmd("MEMORY").arg("USAGE").arg(name);
        }
        let told = self.client.run(|link| link.ask(&weigh));
        let told = told.unwrap_or_default();
        let bytes: i64 = told.iter().map(|bytes| number(bytes).max(0)).sum();
        bytes as f64 / names.len() as f64
    }

    /// The epoch as it is now.
    fn now(&self) -> Result<Epoch> {
        let mut ask = redis::pipe();
        ask.add_command(strings([self.names.epoch()]));
        self.run(|link, epoch| {
            let now = link.ask(&ask)?.first().and_then(first);
            Ok(match now == Some(epoch) {
                true => Step::Done(epoch),
                false => Step::Moved(now),
            })
        })
    }

    /// Takes out at most so many values that are of another epoch than the page, and every such lease.
    /// How many values left.
    fn unlink_orphans(&self, page: &Page, most: usize) -> Result<usize> {
        let orphans = self.orphans(page);
        let (values, leases): (Vec<&String>, Vec<&String>) =
            orphans.partition(|name| self.names.is_value(name));
        self.unlink(leases.into_iter().cloned())?;
        self.unlink(values.into_iter().take(most).cloned())
    }

    /// The names of values and leases that are of another epoch than the page.
    fn orphans<'p>(&self, page: &'p Page) -> impl Iterator<Item = &'p String> {
        let now = page.epoch.map(|epoch| epoch.number);
        page.names.iter().filter(move |name| {
            let named = self.names.parse(name);
            named.is_some_and(|named| Some(named.epoch) != now)
        })
    }

    /// How many of these there were.
    fn unlink(&self, names: impl Iterator<Item = String>) -> Result<usize> {
        let names: Vec<String> = names.collect();
        if names.is_empty() {
            return Ok(0);
        }
        let mut unlink = redis::pipe();
        unlink.cmd("UNLINK").arg(&names);
        let replies = replies(self.client.run(|link| link.tell_again(&unlink))?);
        let removed = replies.first().map_or(0, number);
        Ok(usize::try_from(removed).unwrap_or(0))
    }

    /// The keys on the page that match in this epoch, once each: of values, or of leases.
    fn matches(
        &self,
        page: &Page,
        epoch: Epoch,
        pattern: &KeyPattern,
        of_values: bool,
    ) -> HashSet<Key> {
        let names = page.names.iter();
        let names = names.filter(|name| self.names.is_value(name) == of_values);
        let ours = names.filter_map(|name| {
            let named = self.names.parse(name)?;
            self.names.is_ours(&named, epoch.number).then_some(named)
        });
        let matching = |named: &Named| pattern.matches(named.key.as_str());
        ours.filter(matching).map(|named| named.key).collect()
    }

    /// Every page, until told to break off.
    fn walk(
        &self,
        pattern: &str,
        mut each: impl FnMut(Page) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        for _ in 0..MAX_WALKS {
            let generation = self.client.generation();
            let mut from = 0;
            loop {
                let page = self.page(pattern, from)?;
                if self.client.generation() != generation {
                    break;
                }
                from = page.next;
                if each(page)?.is_break() || from == 0 {
                    return Ok(());
                }
            }
        }
        let message = format!(
            "connections to the Redis server {} broke, each of {MAX_WALKS} times that its keys were listed",
            self.client.server()
        );
        Err(Error::new(ErrorKind::Unavailable, message).with_help("try again"))
    }

    /// Takes one page of orphans out, on a connection that somebody has. Goes on where a sweep would.
    pub(super) fn make_room(&self, link: &mut Link) -> Result<(), Trouble> {
        let from = *self.swept_to.lock();
        let page = self.page_on(link, &self.names.all(), from)?;
        let orphans: Vec<&String> = self.orphans(&page).collect();
        if !orphans.is_empty() {
            link.tell_again(redis::pipe().cmd("UNLINK").arg(&orphans))?;
        }
        *self.swept_to.lock() = page.next;
        Ok(())
    }

    fn page(&self, pattern: &str, from: u64) -> Result<Page> {
        self.client.run(|link| self.page_on(link, pattern, from))
    }

    fn page_on(&self, link: &mut Link, pattern: &str, from: u64) -> Result<Page, Trouble> {
        let mut scan = redis::pipe();
        scan.cmd("SCAN").arg(from);
        scan.arg("MATCH").arg(pattern).arg("COUNT").arg(PAGE);
        scan.add_command(strings([self.names.epoch()]));
        let replies = link.ask(&scan)?;
        let [page, now] = &replies[..] else {
            return Err(no_reply());
        };
        let [cursor, names] = array(page) else {
            return Err(no_reply());
        };
        let next = text(cursor).and_then(|cursor| cursor.parse().ok());
        let names = array(names).iter().filter_map(text);
        Ok(Page {
            next: next.ok_or_else(no_reply)?,
            names: names.map(str::to_owned).collect(),
            epoch: self.believed(link, first(now))?,
        })
    }
}
