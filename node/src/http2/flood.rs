//! Counting what is honest in small numbers and an attack in large ones.

use std::time::{Duration, Instant};

use super::error::ConnectionError;
use super::limits::Limits;

const WINDOW: Duration = Duration::from_secs(1);

/// Counts over the current second.
#[derive(Debug, Default)]
pub(crate) struct Flood {
    since: Option<Instant>,
    resets: u32,
    idle_frames: u32,
}

impl Flood {
    /// Starts a new count if the last is a second old.
    pub(crate) fn at(&mut self, now: Instant) {
        let fresh = self.since.is_some_and(|since| now.saturating_duration_since(since) < WINDOW);
        if !fresh {
            *self = Self { since: Some(now), resets: 0, idle_frames: 0 };
        }
    }

    /// Counts a stream that ended before anything was answered, by the client's doing.
    pub(crate) fn reset(&mut self) {
        self.resets = self.resets.saturating_add(1);
    }

    /// Counts `weight` frames that move nothing.
    pub(crate) fn idle(&mut self, weight: u32) {
        self.idle_frames = self.idle_frames.saturating_add(weight);
    }

    pub(crate) fn check(&self, limits: &Limits) -> Result<(), ConnectionError> {
        let counts = [
            (self.resets, limits.resets_per_second_max, "unanswered streams ended"),
            (self.idle_frames, limits.idle_frames_per_second_max, "frames that move nothing"),
        ];
        for (count, count_max, what) in counts {
            if count_max < count {
                return Err(ConnectionError::Flood { what, count_max });
            }
        }
        Ok(())
    }
}
