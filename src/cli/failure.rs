//! Why a command ended early, and how an error is shown: what failed, the bad place with a caret,
//! what to do. Never a backtrace.

use std::error::Error as _;
use std::io;

use cardex::{Error, ErrorKind, Excerpt};

use super::output::{Paint, printable};

/// Why a command ended early.
#[derive(Debug)]
pub(super) enum Failure {
    /// Something failed.
    Error(Error),
    /// Whoever read the output has read enough.
    PipeClosed,
    /// A signal of this number.
    Interrupted(u8),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Error(error)
    }
}

/// An error of writing the output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::PipeClosed,
            _ => {
                Failure::Error(Error::new(ErrorKind::Io, "cannot write the output").because(error))
            }
        }
    }
}

/// Shows an error on stderr.
pub(super) fn print(error: &Error, paint: Paint) {
    eprint!("{}", render(error, paint));
}

fn render(error: &Error, paint: Paint) -> String {
    let code = paint.red(&format!("error[{}]", error.code()));
    let mut text = format!("{code}: {}\n", paint.bold(&printable(&error.to_string())));
    if let Some(excerpt) = error.excerpt() {
        text.push_str(&caret(excerpt, paint));
    }
    let mut said = String::new();
    let mut cause = error.source();
    while let Some(because) = cause {
        let line = because.to_string();
        // A cause of several lines draws a picture of its own, and ours says the same; many wrap
        // another one and repeat it.
        let repeats = !said.is_empty() && line.ends_with(&said);
        if !line.contains('\n') && !repeats {
            text.push_str(&format!("{}: {}\n", paint.bold("cause"), printable(&line)));
        }
        said = line;
        cause = because.source();
    }
    if let Some(help) = error.help() {
        text.push_str(&format!("{}: {}\n", paint.cyan("help"), printable(help)));
    }
    text
}

/// How much of a long line is shown on either side of the bad place, in characters.
const CONTEXT: usize = 30;

/// The input, and carets under the bad place.
fn caret(excerpt: &Excerpt, paint: Paint) -> String {
    let (start, end) = (excerpt.at.start, excerpt.at.end.max(excerpt.at.start));
    let parts = (|| {
        let text = &excerpt.text;
        Some((text.get(..start)?, text.get(start..end)?, text.get(end..)?))
    })();
    let Some((before, bad, after)) = parts else {
        return String::new();
    };
    let skip = before.chars().count().saturating_sub(CONTEXT);
    let elided = if skip > 0 { "…" } else { "" };
    let before: String = before.chars().skip(skip).collect();
    let bad: String = bad.chars().take(2 * CONTEXT).collect();
    let after: String = after.chars().take(CONTEXT).collect();
    let before = format!("{elided}{}", printable(&before));
    let bad = printable(&bad);
    let blank = " ".repeat(before.chars().count());
    let carets = "^".repeat(bad.chars().count().max(1));
    format!(
        "  |\n  | {before}{bad}{}\n  | {blank}{}\n",
        printable(&after),
        paint.red(&carets)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_bad_place() {
        let error = Error::new(ErrorKind::InvalidPattern, "no")
            .with_excerpt("ä(b", 2..3)
            .with_help("close it");
        let expected = "error[invalid-pattern]: no\n  |\n  | ä(b\n  |  ^\nhelp: close it\n";
        assert_eq!(render(&error, Paint::OFF), expected);
    }

    #[test]
    fn a_long_line_is_cut_around_the_bad_place() {
        let text = format!("{}!{}", "a".repeat(500), "b".repeat(500));
        let error = Error::new(ErrorKind::InvalidPattern, "no").with_excerpt(text, 500..501);
        let shown = render(&error, Paint::OFF);
        assert!(
            shown.lines().all(|line| line.chars().count() < 80),
            "{shown}"
        );
        assert!(shown.contains("a!b"));
    }
}
