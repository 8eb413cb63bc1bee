//! Loads by a source, which is known to the cache for good: made on its own threads, so that nobody waits
//! longer than he wants to, and a refresh is waited for by nobody.

use std::sync::Arc;

use super::KvCache;
use super::found::Found;
use super::load::{MAX_LOST, Made, Order, late, lost};
use crate::single_flight::{Boarding, Waited};

/// Makes a value, as often as it is asked to.
pub(super) type Maker = Arc<dyn Fn() -> Made + Send + Sync>;

impl KvCache {
    /// Loads anew in the background, unless the key is being loaded. Nothing happens if too much waits
    /// already: whoever asks next tries again.
    pub(super) fn refresh_behind(&self, order: Order, make: Maker) {
        let Boarding::Leads(lead) = self.0.flights.board_kept(&order.key) else {
            return;
        };
        lead.hand_over();
        let core = Arc::downgrade(&self.0);
        // A job that is not run drops the lead: then the load is lost, and somebody else begins it.
        let _ = self.0.pool.run(
            order.key.clone(),
            Box::new(move || {
                if let Some(core) = core.upgrade() {
                    lead.take_over();
                    // It is counted, and the old value stays.
                    let _ = KvCache(core).lead_refresh(lead, &order, || make());
                }
            }),
        );
    }

    /// Loads on a thread of the cache, or joins the load that is in progress. A stale value is answered
    /// in place of an error, and after the soft time-out.
    pub(super) fn load_behind(&self, order: &Order, make: &Maker, stale: Option<&Found>) -> Made {
        for _ in 0..MAX_LOST {
            let joined = match self.0.flights.board_kept(&order.key) {
                // A source that asks the cache in turn: its threads may all be waiting like this one.
                Boarding::Leads(lead) if self.0.pool.is_own_thread() => {
                    return self.or_stale(self.lead(lead, order, || make()), stale);
                }
                Boarding::Leads(lead) => {
                    let joined = lead.hand_over();
                    let (cache, order, make) = (self.clone(), order.clone(), Arc::clone(make));
                    let job = self.0.pool.run(
                        order.key.clone(),
                        Box::new(move || {
                            lead.take_over();
                            let _ = cache.lead(lead, &order, || make());
                        }),
                    );
                    if let Err(job) = job {
                        job();
                    }
                    joined
                }
                Boarding::Joins(joined) => joined,
            };
            let hard = self.0.options.load_timeout;
            let soft = self.0.options.soft_timeout.filter(|_| stale.is_some());
            let made = match self.wait(
                &order.key,
                &joined,
                soft.map_or(hard, |soft| soft.min(hard)),
            ) {
                Waited::Landed(made) => made,
                Waited::Lost => continue,
                Waited::Late => Err(late(&order.key, hard)),
            };
            return self.or_stale(made, stale);
        }
        Err(lost(&order.key))
    }
}
