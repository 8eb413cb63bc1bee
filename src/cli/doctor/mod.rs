//! `cardex doctor`: everything that this command depends on, each with what was seen, what is wrong,
//! and the cure. It makes and changes nothing.

mod checks;

use cardex::{Health, HealthState, Reason};
use serde::Serialize;

use self::checks::Subject;
use super::Outcome;
use super::args::{Format, Global};
use super::context::Context;
use super::failure::Failure;
use super::output::{Out, Paint, printable};
use super::project;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    #[serde(flatten)]
    health: Health,
    /// What was seen, in a few words.
    seen: String,
}

impl Check {
    fn new(name: &str, seen: impl Into<String>) -> Self {
        Check {
            health: Health::healthy(name),
            seen: seen.into(),
        }
    }

    /// As well as what was found.
    fn found(self, health: Health) -> Self {
        let state = health.state;
        let add = |check: Check, reason| check.but(state, reason);
        health.reasons.into_iter().fold(self, add)
    }

    fn but(mut self, state: HealthState, reason: Reason) -> Self {
        self.health = self.health.but(state, reason);
        self
    }
}

#[derive(Serialize)]
struct Report {
    state: HealthState,
    checks: Vec<Check>,
}

/// Looks at everything. The exit code is 1 if anything is not as it should be.
pub(super) fn run(global: Global) -> Result<Outcome, Failure> {
    let paint = Paint::for_stdout(global.color);
    let format = global.format.unwrap_or(Format::Table);
    if !matches!(format, Format::Table | Format::Json) {
        global.no_format("doctor")?;
    }
    // Without a root there is nothing to look at.
    let root = project::root(global.directory.as_deref())?;
    let mut checks = Vec::new();
    match Context::new(global, None) {
        Ok(context) => {
            let files = context.config.entries().iter();
            let set = files.filter(|entry| entry.origin != cardex::config::Origin::Default);
            let seen = format!("{} values are not the default", set.count());
            checks.push(Check::new("configuration", seen));
            let subject = Subject::new(&context);
            checks.extend(subject.checks());
        }
        Err(Failure::Error(error)) => {
            let check = Check::new("configuration", root.display().to_string());
            checks.push(check.but(HealthState::Unhealthy, Reason::from(&error)));
        }
        Err(other) => return Err(other),
    }
    let state = HealthState::worst(checks.iter().map(|check| check.health.state));
    let report = Report { state, checks };
    let mut out = Out::new();
    match format {
        Format::Json => out.json(&report, true)?,
        _ => people(&report, paint, &mut out)?,
    }
    out.finish()?;
    Ok(match state {
        HealthState::Healthy => Outcome::Found,
        _ => Outcome::Nothing,
    })
}

fn people(report: &Report, paint: Paint, out: &mut Out) -> Result<(), Failure> {
    let widest = report.checks.iter().map(|check| check.health.name.len());
    let width = widest.max().unwrap_or(0);
    for check in &report.checks {
        let health = &check.health;
        let state = format!("{:<9}", health.state);
        let state = match health.state {
            HealthState::Healthy => paint.green(&state),
            HealthState::Disabled => paint.dim(&state),
            _ => paint.red(&state),
        };
        let (name, seen) = (&health.name, printable(&check.seen));
        out.line(&format!("{name:<width$}  {state}  {seen}"))?;
        for reason in &health.reasons {
            let line = format!("{}[{}]: {}", health.state, reason.code, reason.message);
            out.line(&format!("  {}", printable(&line)))?;
            if let Some(help) = &reason.help {
                out.line(&format!("  {}: {}", paint.cyan("help"), printable(help)))?;
            }
        }
    }
    Ok(())
}
