//! `cardex verify`: proves on this machine that no answer is wrong. Processes read and write one
//! scratch database, are stopped and killed, and record what they were told and when, and what they
//! committed; then every recorded answer is compared with the database at the position that it
//! names. The cache is used as any program uses it, and nothing is taken from what it says of itself.

mod check;
mod deaths;
mod faults;
mod fleet;
mod foreign;
mod history;
mod lines;
mod reader;
mod recording;
mod task;
mod world;
mod writer;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cardex::{Error, ErrorKind};
use serde::Serialize;

use self::check::{Proof, Violation};
use self::fleet::Plan;
use self::task::Task;
use super::args::{Format, Global, VerifyArgs};
use super::failure::Failure;
use super::output::{Out, printable};
use super::progress::Bar;
use super::{Outcome, format, interrupt};

/// What was proven, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'a> {
    proven: bool,
    /// What repeats what is asked and written; null for a recording that is checked again.
    seed: Option<u64>,
    /// Where the recording is kept, if it is.
    recording: Option<&'a Path>,
    #[serde(flatten)]
    proof: &'a Proof,
}

/// Records and checks, or checks a recording again; or is one of the processes that are recorded.
pub(super) fn run(global: &Global, args: &VerifyArgs) -> Result<Outcome, Failure> {
    if let Some(task) = &args.task {
        Task::run(task)?;
        return Ok(Outcome::Found);
    }
    let format = global.format("verify", &[Format::Table, Format::Json])?;
    if let Some(folder) = &args.replay {
        let proof = check::check(folder)?;
        return tell(format, None, Some(folder), &proof);
    }
    let plan = args.plan();
    interrupt::flag()?;
    let mut scratch = Scratch::new(args.dir.as_deref())?;
    let mut bar = Bar::new(global, &scratch.path, false);
    let time = format::duration(plan.time);
    fleet::record(&plan, &scratch.path, &mut |left| {
        let left = format::duration(Duration::from_secs(left.as_secs()));
        bar.count(format!("Recording for {time}, {left} left"));
    })?;
    bar.count("Checking".to_owned());
    let proof = check::check(&scratch.path)?;
    bar.clear();
    scratch.is_kept |= proof.violations_total > 0;
    let kept = scratch.is_kept.then_some(scratch.path.as_path());
    tell(format, Some(plan.seed), kept, &proof)
}

impl VerifyArgs {
    fn plan(&self) -> Plan {
        Plan {
            readers: self.readers.into(),
            threads: self.threads.into(),
            writers: self.writers.into(),
            time: Duration::from_secs(self.seconds),
            kills: self.kills,
            faults: self.faults,
            seed: self.seed.unwrap_or_else(|| fastrand::u64(..)),
        }
    }
}

/// The folder of the database and of the recording: it goes with this unless it is kept.
struct Scratch {
    path: PathBuf,
    is_kept: bool,
}

impl Scratch {
    /// The folder that was named, which is kept, or a new one among the temporary files.
    fn new(named: Option<&Path>) -> Result<Self, Failure> {
        let fail = |path: &Path, cause| {
            let message = format!("cannot make the folder {}", path.display());
            Error::new(ErrorKind::Io, message).because(cause)
        };
        let Some(path) = named else {
            let name = format!("cardex-verify-{}-{:x}", std::process::id(), task::now());
            let path = std::env::temp_dir().join(name);
            let mut builder = fs::DirBuilder::new();
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(&path).map_err(|cause| fail(&path, cause))?;
            let is_kept = false;
            return Ok(Scratch { path, is_kept });
        };
        fs::create_dir_all(path).map_err(|cause| fail(path, cause))?;
        let path = path.canonicalize().map_err(|cause| fail(path, cause))?;
        let mut entries = fs::read_dir(&path).map_err(|cause| fail(&path, cause))?;
        if entries.next().is_some() {
            let message = format!("{} is not empty", path.display());
            let error = Error::new(ErrorKind::InvalidInput, message);
            return Err(error
                .with_help("give --dir an empty folder, or a new one")
                .into());
        }
        let is_kept = true;
        Ok(Scratch { path, is_kept })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.is_kept {
            // What is left is among the temporary files.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Tells what was proven. Proving it of no answer at all would be a lie.
fn tell(
    format: Format,
    seed: Option<u64>,
    recording: Option<&Path>,
    proof: &Proof,
) -> Result<Outcome, Failure> {
    let proven = proof.violations_total == 0;
    if proven && proof.answers == 0 {
        let error = Error::new(ErrorKind::InvalidInput, "no answer was recorded");
        return Err(error.with_help("give it more --seconds").into());
    }
    let mut out = Out::new();
    if format == Format::Json {
        let summary = Summary {
            proven,
            seed,
            recording,
            proof,
        };
        out.json(&summary, true)?;
    } else {
        out.line(&sentence(proof, seed))?;
        for violation in &proof.violations {
            people(violation, &mut out)?;
        }
        if let Some(kept) = recording {
            out.line(&hint(kept))?;
        }
    }
    out.finish()?;
    Ok(match proven {
        true => Outcome::Found,
        false => Outcome::Nothing,
    })
}

/// Where a recording is, and the command that checks it, as a shell takes it.
fn hint(recording: &Path) -> String {
    let folder = recording.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+,:@%".contains(c);
    let argument = match folder.chars().all(is_plain) {
        true => folder.clone(),
        false => format!("'{}'", folder.replace('\'', r"'\''")),
    };
    format!(
        "The recording is in {}; `cardex verify --replay {}` checks it again.",
        printable(&folder),
        printable(&argument)
    )
}

fn sentence(proof: &Proof, seed: Option<u64>) -> String {
    let count = format::count;
    let verdict = match proof.violations_total {
        0 => "Proven".to_owned(),
        n => format!("{} in", format::plural(n, "violation", "violations")),
    };
    let seed = seed.map_or(String::new(), |seed| format!("; seed {seed}"));
    format!(
        "{verdict}: {} answers ({} records, {} absent, {} queries) over {} commits, {}, {}{seed}",
        count(proof.answers),
        count(proof.records),
        count(proof.absent),
        count(proof.queries),
        count(proof.commits),
        format::plural(proof.kills, "kill", "kills"),
        format::plural(proof.faults, "fault", "faults"),
    )
}

fn people(violation: &Violation, out: &mut Out) -> Result<(), Failure> {
    let process = violation.process.as_deref().unwrap_or("all");
    out.line(&format!("{process}: {}", printable(&violation.why)))?;
    if let Some(answer) = &violation.answer {
        out.line(&format!("  answer: {}", printable(answer)))?;
    }
    if let Some(at) = &violation.positions {
        let as_of = at.as_of.map_or("-".to_owned(), |as_of| as_of.to_string());
        let (least, known, most) = (at.least, at.known, at.most);
        out.line(&format!(
            "  positions: as of {as_of}; at least {least} was due, {known} known, {most} begun"
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_checks_a_recording_names_its_folder() {
        for (folder, argument) in [("/tmp/a-1", "/tmp/a-1"), ("/tmp/a b's", r"'/tmp/a b'\''s'")] {
            let told = hint(Path::new(folder));
            let command = format!("`cardex verify --replay {argument}` checks it again.");
            assert!(told.ends_with(&command), "{told}");
            assert!(
                told.starts_with(&format!("The recording is in {folder};")),
                "{told}"
            );
        }
    }
}
