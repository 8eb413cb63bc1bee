//! The thread that delivers: it hands the next operations to the sink, writes down what became of them,
//! and goes on until nothing is left that may be tried now.

use crate::primitives::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Shared;
use super::operation::{Operation, Outcome};
use super::queue::Verdict;
use crate::error::{Error, ErrorKind, Result};
use crate::panics::caught;

impl Shared {
    /// Delivers until nothing may be tried now, or it is told to stop; returns when there will be more.
    pub(super) fn deliver_all(&self, stop: &AtomicBool) -> Option<Duration> {
        let mut returned = Vec::new();
        loop {
            let most = match stop.load(Ordering::Relaxed) {
                true => 0,
                false => self.options.batch,
            };
            match self.exchange(returned, most) {
                Ok(batch) if !batch.is_empty() => returned = self.deliver(batch),
                Ok(_) => break,
                Err(error) => {
                    if error.kind() != ErrorKind::NotInitialized {
                        tracing::warn!(%error, "what was delivered could not be noted: it comes again");
                    }
                    break;
                }
            }
        }
        let now = self.clock.elapsed();
        self.queue.lock().next_due(now)
    }

    /// Writes down what became of these, and takes the next ones.
    fn exchange(&self, returned: Vec<(Operation, Outcome)>, most: usize) -> Result<Vec<Operation>> {
        let batch = self.turn(|shared, writer| {
            let now = shared.clock.elapsed();
            if !returned.is_empty() {
                let is_down =
                    |(_, outcome): &(_, Outcome)| matches!(outcome, Outcome::Unavailable(_));
                let is_sink_down = returned.iter().all(is_down);
                let (delivered, trouble) = tally(&returned);
                let failed = returned.len() as u64 - delivered;
                let judged = shared
                    .queue
                    .lock()
                    .judge(returned, shared.options.max_tries);
                let died_at = shared.clock.now();
                if let Err(error) = writer.journal.settle(&judged, died_at) {
                    shared.queue.lock().rest_sink(now, writer.backoff);
                    return Err(error);
                }
                shared.counters.delivered.add(delivered);
                shared.counters.failed.add(failed);
                tell_of_dead(&judged);
                shared
                    .queue
                    .lock()
                    .settle(judged, is_sink_down, died_at, now, writer.backoff);
                let mut troubles = shared.troubles.lock();
                (troubles.notes, troubles.sink) = (None, trouble);
            }
            Ok(shared.queue.lock().take(most, now))
        });
        self.tell_of_room();
        batch
    }

    /// Hands these to the sink. After a panic each is handed over alone, so that the others go on.
    fn deliver(&self, batch: Vec<Operation>) -> Vec<(Operation, Outcome)> {
        self.counters.handed_over.add(batch.len() as u64);
        match self.hand_over(&batch) {
            Ok(outcomes) => batch.into_iter().zip(outcomes).collect(),
            Err(error) if batch.len() == 1 => refused(batch, &error),
            Err(error) => {
                tracing::warn!(%error, "the sink panicked: each operation is delivered alone");
                let alone = batch.into_iter().flat_map(|operation| {
                    let one = vec![operation];
                    match self.hand_over(&one) {
                        Ok(outcomes) => one.into_iter().zip(outcomes).collect(),
                        Err(error) => refused(one, &error),
                    }
                });
                alone.collect()
            }
        }
    }

    /// An outcome for each.
    fn hand_over(&self, batch: &[Operation]) -> Result<Vec<Outcome>> {
        let mut outcomes = caught(ErrorKind::Internal, || Ok(self.sink.apply(batch)))
            .map_err(|error| error.prefixed("the sink"))?;
        outcomes.resize_with(batch.len(), || {
            let message = "the sink did not tell what became of the operation";
            Outcome::Refused(Error::new(ErrorKind::Internal, message))
        });
        Ok(outcomes)
    }
}

/// How many were delivered, and the first failure.
fn tally(returned: &[(Operation, Outcome)]) -> (u64, Option<Error>) {
    let (mut delivered, mut trouble) = (0, None);
    for (_, outcome) in returned {
        match outcome {
            Outcome::Applied => delivered += 1,
            Outcome::Refused(error) | Outcome::Unavailable(error) => {
                trouble.get_or_insert_with(|| error.clone());
            }
        }
    }
    (delivered, trouble)
}

fn refused(batch: Vec<Operation>, error: &Error) -> Vec<(Operation, Outcome)> {
    let refuse = |operation| (operation, Outcome::Refused(error.clone()));
    batch.into_iter().map(refuse).collect()
}

fn tell_of_dead(judged: &[(Operation, Verdict)]) {
    for (operation, verdict) in judged {
        if let Verdict::Dead(tries, error) = verdict {
            let (id, key) = (operation.id, &operation.key);
            tracing::warn!(%id, %key, tries, error = format!("{error:#}"), "an operation is a dead letter");
        }
    }
}
