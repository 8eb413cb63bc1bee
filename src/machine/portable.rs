//! The memory of a machine that is not Linux, as the `sysinfo` crate tells it.

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use super::MACHINE;
use super::limit::MemoryLimit;

/// The machine's memory; what the system calls available is not in use.
pub(super) fn machine() -> MemoryLimit {
    let memory = MemoryRefreshKind::nothing().with_ram();
    match System::new_with_specifics(RefreshKind::nothing().with_memory(memory)) {
        Ok(system) if system.total_memory() > 0 => {
            let total = system.total_memory();
            let used = total.saturating_sub(system.available_memory());
            MemoryLimit::new(MACHINE, used, total)
        }
        _ => MemoryLimit::unknown(MACHINE),
    }
}
