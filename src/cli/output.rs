//! What is printed: to whom, in which colours, and without characters that would act on a terminal.

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::args::Color;
use super::failure::Failure;
use super::interrupt;

/// Colours, on or off.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint(bool);

impl Paint {
    #[cfg(test)]
    pub(super) const OFF: Paint = Paint(false);

    pub(super) fn for_stdout(when: Color) -> Self {
        Paint(wanted(when, io::stdout().is_terminal(), variable))
    }

    pub(super) fn for_stderr(when: Color) -> Self {
        Paint(wanted(when, io::stderr().is_terminal(), variable))
    }

    pub(super) fn is_on(self) -> bool {
        self.0
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(super) fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    pub(super) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(super) fn cyan(self, text: &str) -> String {
        self.paint("36", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.0 && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Whether colours are wanted, on a terminal or not, in this environment.
fn wanted(when: Color, terminal: bool, variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let dumb = variable("TERM").is_some_and(|term| term == "dumb");
    let refused = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
    match when {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => terminal && !dumb && !refused,
    }
}

/// The text with control characters written out: file names and documents come from anybody, and
/// must not steer a terminal.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    let acts = |c: char| {
        // The marks that reorder text are no control characters, and can deceive as well.
        c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.chars().any(acts) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if acts(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// A line for a person, on stderr. One that cannot be written is lost, and no reason to stop: the
/// answer is on the standard output, and the exit code says the rest.
pub(super) fn say(line: &str) {
    say_to(&mut io::stderr().lock(), line);
}

fn say_to(out: &mut impl Write, line: &str) {
    let _ = out.write_all(format!("{line}\n").as_bytes());
}

/// The standard output, buffered.
pub(super) struct Out {
    out: BufWriter<StdoutLock<'static>>,
    terminal: bool,
}

impl Out {
    pub(super) fn new() -> Self {
        let stdout = io::stdout();
        Out {
            terminal: stdout.is_terminal(),
            out: BufWriter::with_capacity(64 << 10, stdout.lock()),
        }
    }

    /// Whether a person reads it.
    pub(super) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// A path and its end: written out on a terminal, as it is for programs.
    pub(super) fn path(&mut self, path: &str, end: u8) -> Result<(), Failure> {
        let shown = match self.terminal {
            true => printable(path),
            false => Cow::Borrowed(path),
        };
        self.bytes(shown.as_bytes())?;
        self.bytes(&[end])
    }

    pub(super) fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.bytes(line.as_bytes())?;
        self.bytes(b"\n")
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        interrupt::check()?;
        Ok(self.out.write_all(bytes)?)
    }

    /// A value as one line of JSON, or indented.
    pub(super) fn json(
        &mut self,
        value: &impl serde::Serialize,
        indented: bool,
    ) -> Result<(), Failure> {
        interrupt::check()?;
        if indented {
            serde_json::to_writer_pretty(&mut self.out, value).map_err(io::Error::from)?;
        } else {
            serde_json::to_writer(&mut self.out, value).map_err(io::Error::from)?;
        }
        self.bytes(b"\n")
    }

    /// Writes out what is buffered; without it, an error would go unseen.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        self.flush()
    }

    /// As [`Out::finish`], to go on.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.out.flush()?)
    }

    /// Waits, at most for so long: less if the process is to stop, or if nobody reads any more.
    pub(super) fn wait(&self, within: Timespec) -> Result<(), Failure> {
        let stdout = io::stdout();
        // Errors and hang-ups are told without being asked for.
        let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
        match poll(&mut watched, Some(&within)) {
            Ok(0) | Err(Errno::INTR) => interrupt::check(),
            Ok(_) => Err(Failure::PipeClosed),
            Err(cause) => Err(io::Error::from(cause).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_written_out() {
        assert_eq!(printable("a\x1b[2Jb\n\u{202e}"), "a\\u{1b}[2Jb\\n\\u{202e}");
        assert_eq!(printable("grün/日本.rs"), "grün/日本.rs");
    }

    #[test]
    fn colours_are_for_terminals_unless_the_flag_or_the_environment_says_otherwise() {
        let with = |name: &'static str, value: &'static str| {
            move |asked: &str| (asked == name).then(|| OsString::from(value))
        };
        let none = with("", "");
        assert!(wanted(Color::Auto, true, none));
        assert!(!wanted(Color::Auto, false, none));
        assert!(!wanted(Color::Auto, true, with("NO_COLOR", "1")));
        assert!(wanted(Color::Auto, true, with("NO_COLOR", "")));
        assert!(!wanted(Color::Auto, true, with("TERM", "dumb")));
        assert!(wanted(Color::Always, false, with("NO_COLOR", "1")));
        assert!(!wanted(Color::Never, true, none));
    }

    #[test]
    fn what_cannot_be_said_is_no_panic() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        say_to(&mut Full, "lost");
    }
}
