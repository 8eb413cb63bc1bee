//! How well a part does, with reasons that a person can act on. The same words stand in a host's own
//! checks, on the command line and on the wire.

use std::fmt;

use serde::Serialize;

use crate::error::Error;

/// How well something does, from good to bad; [`HealthState::worst`] of several is the last in this
/// order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum HealthState {
    /// Switched off on purpose. It makes nothing worse.
    Disabled,
    /// All is as it should be.
    Healthy,
    /// It works, and less well or less freshly than it should; it may recover by itself.
    Degraded,
    /// It is not known: nobody has looked yet, or looking failed.
    Unknown,
    /// It does not work until somebody acts.
    Unhealthy,
}

impl HealthState {
    /// The worst of several states; healthy if there is none.
    pub fn worst(states: impl IntoIterator<Item = HealthState>) -> HealthState {
        let least = HealthState::Healthy;
        states.into_iter().fold(least, HealthState::max)
    }

    /// Its name, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            HealthState::Disabled => "disabled",
            HealthState::Healthy => "healthy",
            HealthState::Degraded => "degraded",
            HealthState::Unknown => "unknown",
            HealthState::Unhealthy => "unhealthy",
        }
    }

    /// Whether it can be asked: its answers are exact for the position that they tell.
    pub fn serves(self) -> bool {
        matches!(self, HealthState::Healthy | HealthState::Degraded)
    }
}

impl fmt::Display for HealthState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a state is not healthy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Reason {
    /// A stable code in kebab case: that of an error, where an error is the reason.
    pub code: &'static str,
    /// What is wrong, in a sentence that names it.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Reason {
    /// A reason with a code of its own.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Reason {
            code,
            message: message.into(),
            help: None,
        }
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// An error is a reason, its causes included.
impl From<&Error> for Reason {
    fn from(error: &Error) -> Self {
        Reason {
            code: error.kind().code(),
            message: format!("{error:#}"),
            help: error.help().map(str::to_owned),
        }
    }
}

/// How a part does, and the parts of that part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Health {
    /// Whose health it is.
    pub name: String,
    /// The worst of its reasons and its parts.
    pub state: HealthState,
    /// Why it is not healthy; empty if it is, or if only parts of it are not.
    pub reasons: Vec<Reason>,
    /// The health of its parts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Health>,
}

impl Health {
    /// A part in which nothing has been found wrong yet.
    pub fn healthy(name: impl Into<String>) -> Self {
        Health {
            name: name.into(),
            state: HealthState::Healthy,
            reasons: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// The same, at best in this state, for this reason.
    #[must_use]
    pub fn but(mut self, state: HealthState, reason: Reason) -> Self {
        self.state = HealthState::worst([self.state, state]);
        self.reasons.push(reason);
        self
    }

    /// A part that is switched off.
    pub fn disabled(name: impl Into<String>, reason: Reason) -> Self {
        Health {
            state: HealthState::Disabled,
            reasons: vec![reason],
            ..Health::healthy(name)
        }
    }

    /// The whole of these parts, as bad as the worst of them.
    #[must_use]
    pub fn with_parts(mut self, parts: Vec<Health>) -> Self {
        let states = parts.iter().map(|part| part.state);
        self.state = HealthState::worst(states.chain([self.state]));
        self.parts = parts;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_whole_is_as_bad_as_its_worst_part_and_no_worse_for_a_disabled_one() {
        let off = Health::disabled("redis", Reason::new("disabled", "there is no redis.url"));
        let whole = |parts| Health::healthy("cardex").with_parts(parts);
        assert_eq!(whole(vec![off.clone()]).state, HealthState::Healthy);
        let slow = Health::healthy("cache").but(HealthState::Degraded, Reason::new("slow", "slow"));
        assert_eq!(
            whole(vec![slow.clone(), off.clone()]).state,
            HealthState::Degraded
        );
        let lost = Health::healthy("log").but(HealthState::Unhealthy, Reason::new("lost", "lost"));
        assert_eq!(whole(vec![lost, slow, off]).state, HealthState::Unhealthy);
    }

    #[test]
    fn an_error_gives_its_code_its_causes_and_its_help() {
        let cause = Error::new(ErrorKind::Io, "no such device");
        let error = Error::new(ErrorKind::DatabaseCorrupt, "a.db is damaged")
            .with_help("restore a copy")
            .because(cause);
        let reason = Reason::from(&error);
        assert_eq!(reason.code, "database-corrupt");
        assert_eq!(reason.message, "a.db is damaged: no such device");
        assert_eq!(reason.help.as_deref(), Some("restore a copy"));
    }
}
