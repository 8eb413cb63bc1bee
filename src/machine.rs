//! What the machine has, for the limits that depend on it.

/// The machine's memory in bytes, in whole MiB; `u64::MAX` where the system does not tell.
pub(crate) fn total_memory_bytes() -> u64 {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let total = {
        let info = rustix::system::sysinfo();
        // Counted in units of `mem_unit` bytes.
        let total = u128::from(info.totalram) * u128::from(info.mem_unit);
        u64::try_from(total >> 20 << 20).unwrap_or(u64::MAX)
    };
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let total = 0;
    if total == 0 { u64::MAX } else { total }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_memory_for_its_tests() {
        let total = total_memory_bytes();
        assert!(total > 64 << 20, "{total}");
        assert!(total == u64::MAX || total.is_multiple_of(1 << 20));
    }
}
