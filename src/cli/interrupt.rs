//! SIGINT and SIGTERM: the first one asks the work in progress to stop at a safe place, a second one
//! ends the process at once. SIGHUP asks a process that runs for long to read its configuration again.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use cardex::{Error, ErrorKind};
use rustix::event::{Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use super::failure::Failure;

static STOP: OnceLock<Stop> = OnceLock::new();

struct Stop {
    asked: Arc<AtomicBool>,
    signal: Arc<AtomicUsize>,
}

/// The flag that is set when the process is asked to stop. From the first call on signals do not
/// end the process by themselves: whoever takes this looks at it, or prints through `Out`.
pub(super) fn flag() -> Result<&'static AtomicBool, Failure> {
    if let Some(stop) = STOP.get() {
        return Ok(&stop.asked);
    }
    let stop = Stop {
        asked: Arc::default(),
        signal: Arc::default(),
    };
    for signal in [SIGINT, SIGTERM] {
        let number = usize::try_from(signal).unwrap_or_default();
        // Order matters: this one sees the flag that an earlier signal has set.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop.asked))
            .and_then(|_| flag::register_usize(signal, Arc::clone(&stop.signal), number))
            .and_then(|_| flag::register(signal, Arc::clone(&stop.asked)))
            .map_err(cannot_listen)?;
    }
    Ok(&STOP.get_or_init(|| stop).asked)
}

fn cannot_listen(cause: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, "cannot listen to signals").because(cause)
}

/// An early end if the process was asked to stop.
pub(super) fn check() -> Result<(), Failure> {
    match STOP.get() {
        Some(stop) if stop.asked.load(Ordering::SeqCst) => {
            let signal = stop.signal.load(Ordering::SeqCst);
            Err(Failure::Interrupted(u8::try_from(signal).unwrap_or(2)))
        }
        _ => Ok(()),
    }
}

/// The flag that each SIGHUP sets. From here on none ends the process: whoever takes this waits.
pub(super) fn hang_ups() -> Result<Arc<AtomicBool>, Failure> {
    let hung_up = Arc::new(AtomicBool::new(false));
    flag::register(SIGHUP, Arc::clone(&hung_up)).map_err(cannot_listen)?;
    Ok(hung_up)
}

/// Waits until the process is asked to stop, and returns as an early end; meanwhile, `hang_up` is called
/// after each SIGHUP. A signal that comes to another thread wakes nobody: it is looked for twenty times
/// a second.
pub(super) fn wait(
    hung_up: &AtomicBool,
    mut hang_up: impl FnMut(),
) -> Result<std::convert::Infallible, Failure> {
    let rest = Timespec {
        tv_sec: 0,
        tv_nsec: 50_000_000,
    };
    loop {
        check()?;
        if hung_up.swap(false, Ordering::SeqCst) {
            hang_up();
        }
        match poll(&mut [], Some(&rest)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(cause) => return Err(std::io::Error::from(cause).into()),
        }
    }
}
