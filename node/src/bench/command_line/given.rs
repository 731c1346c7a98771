//! The text given for a flag, read as what the flag takes.

use std::str::FromStr;
use std::time::Duration;

use super::UsageError;
use crate::notation::{bytes_from_text, duration_from_text, duration_to_text};

const DURATION_MAX: Duration = Duration::from_hours(24);

/// A flag and the text given for it.
pub(super) struct Given {
    pub(super) flag: &'static str,
    pub(super) value: String,
}

impl Given {
    pub(super) fn wrong(&self, right: impl Into<String>) -> UsageError {
        UsageError::Value { flag: self.flag, value: self.value.clone(), right: right.into() }
    }

    pub(super) fn parsed<T: FromStr>(&self, right: &str) -> Result<T, UsageError> {
        self.value.parse().map_err(|_| self.wrong(right))
    }

    pub(super) fn count(&self, least: u64, most: u64) -> Result<usize, UsageError> {
        let count: Option<u64> = self.value.parse().ok();
        let count = count.filter(|count| least <= *count && *count <= most);
        count
            .and_then(|count| usize::try_from(count).ok())
            .ok_or_else(|| self.wrong(format!("a number from {least} to {most}")))
    }

    pub(super) fn number(&self, least: f64, most: f64) -> Result<f64, UsageError> {
        let number: Option<f64> = self.value.parse().ok();
        number
            .filter(|number| least <= *number && *number <= most)
            .ok_or_else(|| self.wrong(format!("a number from {least} to {most}")))
    }

    pub(super) fn bytes(&self, least: u64, most: u64) -> Result<usize, UsageError> {
        let bytes = bytes_from_text(&self.value);
        let bytes = bytes.filter(|bytes| least <= *bytes && *bytes <= most);
        bytes.and_then(|bytes| usize::try_from(bytes).ok()).ok_or_else(|| {
            self.wrong(format!("a size from {least} to {most} bytes, such as 16KiB"))
        })
    }

    pub(super) fn duration(&self) -> Result<Duration, UsageError> {
        let duration = duration_from_text(&self.value);
        duration.filter(|duration| *duration <= DURATION_MAX).ok_or_else(|| {
            self.wrong(format!("a duration up to {}, such as 20ms", duration_to_text(DURATION_MAX)))
        })
    }

    pub(super) fn word<T: Copy, const N: usize>(
        &self,
        words: [(&str, T); N],
    ) -> Result<T, UsageError> {
        let found = words.iter().find(|(word, _)| *word == self.value);
        found
            .map(|(_, meaning)| *meaning)
            .ok_or_else(|| self.wrong(format!("one of {}", words.map(|(word, _)| word).join(", "))))
    }

    pub(super) fn target(&self) -> Result<String, UsageError> {
        let right = "HOST:PORT, such as 127.0.0.1:9002";
        match self.value.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                Ok(self.value.clone())
            }
            Some(_) | None => Err(self.wrong(right)),
        }
    }
}
