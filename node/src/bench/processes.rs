//! What processes cost: their CPU time from their own clocks, the rest from `/proc`.
//!
//! The clock of a process counts nanoseconds of all its threads, those that ended included; `/proc` counts ticks
//! of 10 ms, which is too coarse for a window of some seconds, but tells user from system time.

use std::fs;
use std::io;
use std::time::Duration;

use nix::time::ClockId;
use nix::unistd::Pid;

/// A process that can be asked.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) id: u32,
    /// Its program's name.
    pub(super) command: String,
    clock: ClockId,
}

/// Why a process cannot be measured.
#[derive(Debug, thiserror::Error)]
#[error("cannot measure process {id}; is it still there?")]
pub struct ProcessError {
    id: u32,
    source: io::Error,
}

/// What a process has used since it began, and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) cpu: Duration,
    pub(super) user_ticks: u64,
    pub(super) system_ticks: u64,
    pub(super) rss_bytes: u64,
    /// The most that it ever held.
    pub(super) rss_peak_ever_bytes: u64,
}

impl Process {
    pub(super) fn find(id: u32) -> Result<Self, ProcessError> {
        let found = || {
            let pid = Pid::from_raw(i32::try_from(id).map_err(io::Error::other)?);
            let clock = ClockId::pid_cpu_clock_id(pid)?;
            let command = fs::read_to_string(format!("/proc/{id}/comm"))?.trim().to_owned();
            Ok(Self { id, command, clock })
        };
        found().map_err(|source| ProcessError { id, source })
    }

    /// The process that asks.
    pub(super) fn own() -> Result<Self, ProcessError> {
        Self::find(std::process::id())
    }

    pub(super) fn read(&self) -> Result<Reading, ProcessError> {
        let id = self.id;
        let read = || {
            let cpu = Duration::from(self.clock.now()?);
            let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
            let status = fs::read_to_string(format!("/proc/{id}/status"))?;
            reading(cpu, &stat, &status)
                .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc has another form"))
        };
        read().map_err(|source| ProcessError { id, source })
    }
}

fn reading(cpu: Duration, stat: &str, status: &str) -> Option<Reading> {
    // The name stands in brackets and may hold blanks and brackets; user and system time are the 12th and 13th
    // fields after it.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    Some(Reading {
        cpu,
        user_ticks: fields.next()?.parse().ok()?,
        system_ticks: fields.next()?.parse().ok()?,
        rss_bytes: kibibytes(status, "VmRSS:")?,
        rss_peak_ever_bytes: kibibytes(status, "VmHWM:")?,
    })
}

/// The value of a line such as `VmRSS:   1234 kB`, in bytes.
fn kibibytes(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let number: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    number.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_blanks_and_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 90 0 0 0 250 50 0 0 20 0 1";
        let status = "Name:\tx\nVmHWM:\t    20 kB\nVmRSS:\t    12 kB\n";
        let read = reading(Duration::ZERO, stat, status).unwrap();
        assert_eq!((read.user_ticks, read.system_ticks), (250, 50));
        assert_eq!((read.rss_bytes, read.rss_peak_ever_bytes), (12 << 10, 20 << 10));
    }

    #[test]
    fn the_own_process_uses_time_and_memory() {
        let process = Process::own().unwrap();
        let before = process.read().unwrap();
        assert!(Duration::ZERO < before.cpu && 0 < before.rss_bytes);
        assert!(before.cpu < process.read().unwrap().cpu);
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        let error = Process::find(u32::from(u16::MAX) << 15).unwrap_err();
        assert!(error.to_string().contains("2147450880"));
    }
}
