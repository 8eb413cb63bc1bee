//! The circuit breaker: whether the server is asked at all. It is closed while the server answers; opens
//! after so many failures in a row, and nobody waits for it then; and is half-open after a while, when
//! one request at a time tries whether it answers again. Plain values, told the time by whoever asks.

use std::time::Duration;

/// How many times the first cooldown the longest one is.
const LONGEST: u32 = 8;

/// What is let through, and what came of it.
#[derive(Debug)]
pub(super) struct Breaker {
    /// Failures in a row that open it.
    failures: u32,
    cooldown: Duration,
    state: State,
    /// How often it changed: what was let through before that says nothing about the state after it.
    changes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failed: u32 },
    Open { until: Duration, cooldown: Duration },
    Probing { cooldown: Duration },
}

/// The right to ask the server once. What came of it is told to the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pass(u64);

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Requests are let through.
    Closed,
    /// None is, for so long.
    Open(Duration),
    /// One is: the next, or the one that is under way.
    HalfOpen,
}

impl Breaker {
    pub(super) fn new(failures: u32, cooldown: Duration) -> Self {
        Breaker {
            failures,
            cooldown,
            state: State::Closed { failed: 0 },
            changes: 0,
        }
    }

    /// Where it stands. `now` is the time since any start, the same for all calls.
    pub(super) fn standing(&self, now: Duration) -> Standing {
        match self.state {
            State::Closed { .. } => Standing::Closed,
            State::Probing { .. } => Standing::HalfOpen,
            State::Open { until, .. } if now < until => Standing::Open(until - now),
            State::Open { .. } => Standing::HalfOpen,
        }
    }

    /// Whether what was heard last was a failure.
    pub(super) fn is_failing(&self) -> bool {
        self.state != State::Closed { failed: 0 }
    }

    /// Whether a request that came now would be let through.
    pub(super) fn would_admit(&self, now: Duration) -> bool {
        match self.standing(now) {
            Standing::Closed => true,
            Standing::Open(_) => false,
            Standing::HalfOpen => !matches!(self.state, State::Probing { .. }),
        }
    }

    /// Lets a request through, or not. Whoever is let through tells what came of it.
    pub(super) fn admit(&mut self, now: Duration) -> Option<Pass> {
        if !self.would_admit(now) {
            return None;
        }
        if let State::Open { cooldown, .. } = self.state {
            self.change(State::Probing { cooldown });
        }
        Some(Pass(self.changes))
    }

    /// The server answered.
    pub(super) fn succeeded(&mut self, pass: Pass) {
        if pass.0 != self.changes {
            return;
        }
        match self.state {
            State::Closed { .. } => self.state = State::Closed { failed: 0 },
            _ => self.change(State::Closed { failed: 0 }),
        }
    }

    /// It did not. At once: no other attempt would do better.
    pub(super) fn failed(&mut self, pass: Pass, now: Duration, at_once: bool) {
        if pass.0 != self.changes {
            return;
        }
        match self.state {
            State::Closed { failed } if failed + 1 < self.failures && !at_once => {
                self.state = State::Closed { failed: failed + 1 };
            }
            State::Closed { .. } => self.open(now, self.cooldown),
            State::Probing { cooldown } => {
                let longest = self.cooldown.saturating_mul(LONGEST);
                self.open(now, cooldown.saturating_mul(2).min(longest));
            }
            State::Open { .. } => {}
        }
    }

    /// Nothing is known of the server: the request was not made. If it was the probe, another one may be.
    pub(super) fn gave_up(&mut self, pass: Pass, now: Duration) {
        if pass.0 == self.changes
            && let State::Probing { cooldown } = self.state
        {
            let until = now;
            self.change(State::Open { until, cooldown });
        }
    }

    fn open(&mut self, now: Duration, cooldown: Duration) {
        let until = now.saturating_add(cooldown);
        self.change(State::Open { until, cooldown });
    }

    fn change(&mut self, state: State) {
        self.state = state;
        self.changes += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// A breaker that opens after three failures, for 10 s, and did so at `now`.
    fn opened(now: Duration) -> Breaker {
        let mut breaker = Breaker::new(3, seconds(10));
        for _ in 0..3 {
            let pass = breaker.admit(now).unwrap();
            breaker.failed(pass, now, false);
        }
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_a_success_begins_the_count_anew() {
        let mut breaker = Breaker::new(3, seconds(10));
        for round in [false, false, true, false, false] {
            let pass = breaker.admit(seconds(1)).unwrap();
            match round {
                true => breaker.succeeded(pass),
                false => breaker.failed(pass, seconds(1), false),
            }
            assert_eq!(breaker.is_failing(), !round);
        }
        assert_eq!(breaker.standing(seconds(1)), Standing::Closed);
        let pass = breaker.admit(seconds(1)).unwrap();
        breaker.failed(pass, seconds(1), false);
        assert_eq!(breaker.standing(seconds(4)), Standing::Open(seconds(7)));
        assert_eq!(breaker.admit(seconds(10)), None);
    }

    #[test]
    fn what_no_attempt_can_cure_opens_it_at_once() {
        let mut breaker = Breaker::new(3, seconds(10));
        let pass = breaker.admit(seconds(1)).unwrap();
        breaker.failed(pass, seconds(1), true);
        assert_eq!(breaker.standing(seconds(1)), Standing::Open(seconds(10)));
    }

    #[test]
    fn half_open_it_lets_one_through_at_a_time_and_a_success_closes_it() {
        let mut breaker = opened(seconds(1));
        assert_eq!(breaker.standing(seconds(11)), Standing::HalfOpen);
        let probe = breaker.admit(seconds(11)).unwrap();
        assert_eq!(breaker.admit(seconds(11)), None);
        assert_eq!(breaker.admit(seconds(99)), None);
        assert_eq!(breaker.standing(seconds(99)), Standing::HalfOpen);
        assert!(breaker.is_failing());
        breaker.succeeded(probe);
        assert!(!breaker.is_failing());
        assert_eq!(breaker.standing(seconds(99)), Standing::Closed);
        assert!(breaker.admit(seconds(99)).is_some());
        assert!(breaker.admit(seconds(99)).is_some());
    }

    #[test]
    fn each_probe_that_fails_doubles_the_wait_up_to_eight_times() {
        let mut breaker = opened(seconds(0));
        let mut now = seconds(10);
        for wait in [20, 40, 80, 80] {
            let probe = breaker.admit(now).unwrap();
            breaker.failed(probe, now, false);
            assert_eq!(breaker.standing(now), Standing::Open(seconds(wait)));
            assert_eq!(breaker.admit(now + seconds(wait - 1)), None);
            now += seconds(wait);
        }
        let probe = breaker.admit(now).unwrap();
        breaker.succeeded(probe);
        for _ in 0..3 {
            let pass = breaker.admit(now).unwrap();
            breaker.failed(pass, now, false);
        }
        assert_eq!(breaker.standing(now), Standing::Open(seconds(10)));
    }

    #[test]
    fn a_probe_that_was_never_made_leaves_room_for_another() {
        let mut breaker = opened(seconds(0));
        let probe = breaker.admit(seconds(10)).unwrap();
        breaker.gave_up(probe, seconds(10));
        assert!(breaker.admit(seconds(10)).is_some());
    }

    #[test]
    fn what_was_let_through_before_a_change_says_nothing_after_it() {
        let mut breaker = Breaker::new(1, seconds(10));
        let late = [(); 3].map(|()| breaker.admit(seconds(0)).unwrap());
        let pass = breaker.admit(seconds(0)).unwrap();
        breaker.failed(pass, seconds(0), false);
        breaker.succeeded(late[0]);
        assert_eq!(breaker.standing(seconds(0)), Standing::Open(seconds(10)));
        let probe = breaker.admit(seconds(10)).unwrap();
        breaker.failed(late[1], seconds(10), true);
        assert_eq!(breaker.standing(seconds(10)), Standing::HalfOpen);
        breaker.gave_up(late[1], seconds(10));
        assert_eq!(breaker.admit(seconds(10)), None);
        breaker.succeeded(probe);
        breaker.failed(late[2], seconds(10), true);
        assert_eq!(breaker.standing(seconds(10)), Standing::Closed);
    }
}
