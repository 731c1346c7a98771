//! The watchdog: ends the process when the request path has stopped moving.
//!
//! Envoy never notices a picker that hangs: it waits for the answer for as long as its message
//! timeout allows, which gateways set to many minutes. A process that ended is noticed at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Shows that one thread of the request path moves.
#[derive(Clone, Debug, Default)]
pub struct Heartbeat(Arc<AtomicU64>);

impl Heartbeat {
    /// How often a healthy thread beats.
    pub const INTERVAL: Duration = Duration::from_millis(100);

    pub fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn beats(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How often the watchdog looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long a thread may stand still, in the watchdog's own running time.
pub const STILL_MAX: Duration = Duration::from_secs(1);

/// Judges heartbeats. Pure: the time between looks is an argument.
#[derive(Debug)]
pub struct Judge {
    threads: Vec<Watched>,
}

#[derive(Debug)]
struct Watched {
    heartbeat: Heartbeat,
    seen: u64,
    still: Duration,
}

impl Judge {
    pub fn new(heartbeats: impl IntoIterator<Item = Heartbeat>) -> Self {
        let threads = heartbeats
            .into_iter()
            .map(|heartbeat| Watched { seen: heartbeat.beats(), heartbeat, still: Duration::ZERO })
            .collect();
        Self { threads }
    }

    /// Looks at every thread, `elapsed` after the last look. Returns the first that has stood
    /// still for longer than [`STILL_MAX`].
    ///
    /// A look that came late counts as two at most: a process that was stopped whole, or starved
    /// of CPU, stopped the watchdog with the threads it watches, and that is not a hang.
    pub fn look(&mut self, elapsed: Duration) -> Option<usize> {
        let counted = elapsed.min(2 * LOOK_EVERY);
        for watched in &mut self.threads {
            let beats = watched.heartbeat.beats();
            watched.still =
                if beats == watched.seen { watched.still + counted } else { Duration::ZERO };
            watched.seen = beats;
        }
        self.threads.iter().position(|watched| STILL_MAX < watched.still)
    }
}

/// Watches `heartbeats` on a thread of its own, for ever, and calls `hung` when one stands still.
pub fn watch(
    heartbeats: Vec<Heartbeat>,
    mut now: impl FnMut() -> Instant + Send + 'static,
    hung: impl Fn(usize) + Send + 'static,
) -> std::io::Result<()> {
    thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
        let mut judge = Judge::new(heartbeats);
        let mut last = now();
        loop {
            thread::sleep(LOOK_EVERY);
            let at = now();
            if let Some(thread) = judge.look(at.saturating_duration_since(last)) {
                hung(thread);
            }
            last = at;
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beating_thread_is_never_hung() {
        let heartbeat = Heartbeat::default();
        let mut judge = Judge::new([heartbeat.clone()]);
        for _ in 0..1000 {
            heartbeat.beat();
            assert_eq!(judge.look(LOOK_EVERY), None);
        }
    }

    #[test]
    fn the_thread_that_stands_still_is_named_after_a_second() {
        let (moving, still) = (Heartbeat::default(), Heartbeat::default());
        let mut judge = Judge::new([moving.clone(), still]);
        for _ in 0..STILL_MAX.as_millis() / LOOK_EVERY.as_millis() {
            moving.beat();
            assert_eq!(judge.look(LOOK_EVERY), None);
        }
        moving.beat();
        assert_eq!(judge.look(LOOK_EVERY), Some(1));
    }

    #[test]
    fn a_process_that_was_stopped_whole_is_not_hung() {
        let heartbeat = Heartbeat::default();
        let mut judge = Judge::new([heartbeat.clone()]);
        assert_eq!(judge.look(Duration::from_hours(1)), None);
        heartbeat.beat();
        assert_eq!(judge.look(LOOK_EVERY), None);
    }
}
