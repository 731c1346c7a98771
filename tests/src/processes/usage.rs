//! What a process has cost: its processor time and memory, from `/proc`.

use std::time::Duration;
use std::{fs, io};

/// What a process has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// User and system time of all its threads, those that ended included. The kernel counts it in
    /// ticks, usually of 10 ms.
    pub cpu: Duration,
    /// Memory resident at the moment of asking.
    pub resident_bytes: u64,
    /// The most memory that was resident at any moment.
    pub resident_bytes_max: u64,
}

impl Usage {
    /// Reads what the process `id` has used.
    pub fn of(id: u32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        let ticks_per_second = rustix::param::clock_ticks_per_second();
        let cpu = cpu(&stat, ticks_per_second).ok_or_else(|| unreadable("stat"))?;
        let resident = |key| kibibytes(&status, key).ok_or_else(|| unreadable("status"));
        Ok(Self {
            cpu,
            resident_bytes: resident("VmRSS:")?,
            resident_bytes_max: resident("VmHWM:")?,
        })
    }
}

/// User and system time, fields 14 and 15 of `/proc/<pid>/stat`. The second field is the program's
/// name in brackets and may hold blanks and brackets, so counting begins after the last bracket.
fn cpu(stat: &str, ticks_per_second: u64) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let nanos_per_tick = 1_000_000_000_u64.checked_div(ticks_per_second)?;
    Some(Duration::from_nanos(user.checked_add(system)?.checked_mul(nanos_per_tick)?))
}

/// The value of a line such as `VmRSS:   1234 kB`, in bytes.
fn kibibytes(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let number: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    number.checked_mul(1024)
}

fn unreadable(file: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("/proc/<pid>/{file} has an unknown form"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_blanks_and_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 90 0 0 0 250 50 0 0 20 0 1";
        assert_eq!(cpu(stat, 100), Some(Duration::from_secs(3)));
    }

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(kibibytes("Name:\tx\nVmRSS:\t    12 kB\n", "VmRSS:"), Some(12 * 1024));
        assert_eq!(kibibytes("Name:\tx\n", "VmRSS:"), None);
    }

    #[test]
    fn this_process_has_used_memory() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(0 < usage.resident_bytes && usage.resident_bytes <= usage.resident_bytes_max);
    }
}
