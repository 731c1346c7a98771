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

    /// Counts a stream that the client opened and reset before anything was answered.
    pub(crate) fn reset(&mut self, limits: &Limits) -> Result<(), ConnectionError> {
        self.resets = self.resets.saturating_add(1);
        let count_max = limits.resets_per_second_max;
        if count_max < self.resets {
            return Err(ConnectionError::Flood { what: "unanswered streams reset", count_max });
        }
        Ok(())
    }

    /// Counts `weight` frames that move nothing.
    pub(crate) fn idle(&mut self, weight: u32, limits: &Limits) -> Result<(), ConnectionError> {
        self.idle_frames = self.idle_frames.saturating_add(weight);
        let count_max = limits.idle_frames_per_second_max;
        if count_max < self.idle_frames {
            return Err(ConnectionError::Flood { what: "frames that move nothing", count_max });
        }
        Ok(())
    }
}
