//! Work that may wait for the database, on threads that may block: never on those that serve the
//! sockets. Each piece holds a permit until it ends, so there are never more threads than requests.

use std::sync::Arc;

use super::limits::Permit;
use super::problem::Problem;
use super::state::State;

/// Does a piece of work, and waits for its outcome as long as a request may take. Work that takes
/// longer goes on and keeps its permit; what only reads ends at its next look at whether it is wanted.
pub(super) async fn run<T: Send + 'static>(
    state: &Arc<State>,
    work: impl FnOnce(&State) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let permit = state.limits.request()?;
    under(permit, state, work).await
}

/// As [`run`], for whoever holds a permit.
pub(super) async fn under<T: Send + 'static>(
    permit: Permit,
    state: &Arc<State>,
    work: impl FnOnce(&State) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let held = Arc::clone(state);
    let task = tokio::task::spawn_blocking(move || {
        let outcome = work(&held);
        drop(permit);
        outcome
    });
    match tokio::time::timeout(state.options().request_timeout, task).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(Problem::panicked()),
        Err(_) => Err(Problem::timed_out("the work")
            .with_help("what it writes is not lost; ask for less, or come again")),
    }
}
