//! A metrics page, read in one pass into a load. Nothing is allocated per line.
//!
//! Only lines of wanted families are looked at closely; of all others no more than their first
//! byte, the bytes where a wanted name would end, and their newline. Of several samples of one
//! reading the one with the highest timestamp counts, and the first of equals, so that the label
//! sets of several engines or models on one page are not summed.

use std::sync::Arc;

use memchr::memchr;

use super::{
    text::{Labels, Point, read_point, skip_blanks},
    wanted::{Family, Reading, Use, Wanted},
};
use crate::endpoints::{Load, LoraAdapters};

/// What one page told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    pub load: Load,
    /// Readings found; of a page with none nothing can be said.
    pub found: u32,
    /// Readings that the engine should tell and that the page did not hold.
    pub missing: u32,
    /// Lines that are neither comment nor sample, or samples of a wanted family that cannot be
    /// read.
    pub garbage_lines: u32,
}

/// Reads a page in the Prometheus text format, or in `OpenMetrics`.
pub fn read(page: &[u8], wanted: &Wanted) -> Page {
    let mut pass = Pass::new(wanted);
    let mut rest = page;
    while !rest.is_empty() {
        let (line, newline) = rest.split_at(memchr(b'\n', rest).unwrap_or(rest.len()));
        rest = newline.get(1..).unwrap_or_default();
        pass.line(line);
    }
    pass.finish()
}

/// The sample that a reading takes, as far as the page was read.
#[derive(Clone, Debug)]
struct Best<'p> {
    rank: usize,
    /// Names adapters, where the reading is of those: it is kept, since a walk over the labels of
    /// the best for every sample that follows would make a page of many slow to read.
    names_adapters: bool,
    point: Point,
    labels: Labels<'p>,
}

struct Pass<'p, 'w> {
    wanted: &'w Wanted,
    best: [Option<Best<'p>>; Reading::COUNT],
    /// Bit per family, by position: its declared type holds no single number.
    unusable: u64,
    garbage_lines: u32,
}

impl<'p, 'w> Pass<'p, 'w> {
    fn new(wanted: &'w Wanted) -> Self {
        Self { wanted, best: [const { None }; Reading::COUNT], unusable: 0, garbage_lines: 0 }
    }

    fn line(&mut self, line: &'p [u8]) {
        match line.first() {
            Some(b'a'..=b'z' | b'A'..=b'Z' | b'_' | b':') => self.sample(line),
            Some(b'#') => self.comment(line),
            // A name in quotes is one that no selector can ask for.
            None | Some(b'{') => {}
            Some(b' ' | b'\t') => self.line(skip_blanks(line)),
            Some(b'\r') if line.len() == 1 => {}
            Some(_) => self.garbage_lines = self.garbage_lines.saturating_add(1),
        }
    }

    /// Notes a wanted family whose type has no single number: a histogram, a summary.
    fn comment(&mut self, line: &[u8]) {
        let Some(declared) = line.strip_prefix(b"# TYPE ") else {
            return;
        };
        for (position, family) in self.wanted.families.iter().enumerate() {
            if let Some([b' ' | b'\t', kind @ ..]) = declared.strip_prefix(&*family.name)
                && NOT_SINGLE.contains(&kind.trim_ascii())
            {
                self.unusable |= bit(position);
            }
        }
    }

    fn sample(&mut self, line: &'p [u8]) {
        let wanted = self.wanted;
        for (position, family) in wanted.families.iter().enumerate() {
            // The byte behind the name is looked at first: it rules out nearly every line.
            let Some(b'{' | b' ' | b'\t') = line.get(family.name.len()) else {
                continue;
            };
            let Some(rest) = line.strip_prefix(&*family.name) else {
                continue;
            };
            if self.unusable & bit(position) == 0 && self.take(family, rest).is_none() {
                self.garbage_lines = self.garbage_lines.saturating_add(1);
            }
            return;
        }
    }

    /// Offers one sample to every use of its family; `None` if the line cannot be read.
    fn take(&mut self, family: &Family, rest: &'p [u8]) -> Option<()> {
        let labels = Labels::new(rest.strip_suffix(b"\r").unwrap_or(rest));
        let point = read_point(labels.end()?)?;
        for usage in &family.uses {
            if !matches(usage, &labels) {
                continue;
            }
            let best = self.best.get_mut(usage.reading as usize)?;
            let names_adapters = usage.reading == Reading::Lora && names_adapters(&labels);
            let labels = labels.clone();
            let sample = Best { rank: usage.rank, names_adapters, point, labels };
            if best.as_ref().is_none_or(|best| supersedes(usage.reading, &sample, best)) {
                *best = Some(sample);
            }
        }
        Some(())
    }

    fn finish(self) -> Page {
        let lora = self.best(Reading::Lora).map(|best| Arc::new(adapters(&best.labels)));
        let (mut cache_block_tokens, mut cache_blocks) = (None, None);
        if let Some(info) = self.best(Reading::CacheInfo) {
            let number = |label| positive(info.labels.value(label)?.parse().ok());
            cache_block_tokens = number(&self.wanted.cache_block_tokens_label);
            cache_blocks = number(&self.wanted.cache_blocks_label);
        }
        let counted = |reading| positive(self.value(reading).and_then(count));
        let load = Load {
            waiting_requests: self.value(Reading::Waiting).and_then(count),
            running_requests: self.value(Reading::Running).and_then(count),
            kv_used_ratio: self.value(Reading::KvUsed).and_then(ratio),
            lora,
            cache_block_tokens: cache_block_tokens.or_else(|| counted(Reading::CacheBlockTokens)),
            cache_blocks: cache_blocks.or_else(|| counted(Reading::CacheBlocks)),
            process_start_s: self.value(Reading::ProcessStart).filter(|start| start.is_finite()),
            lifetime_tokens: self.value(Reading::LifetimeTokens).filter(|count| count.is_finite()),
        };
        Page {
            load,
            found: self.tally(Self::told),
            missing: self.tally(|pass, reading| {
                pass.wanted.asks_for(reading) && reading != Reading::Lora && !pass.told(reading)
            }),
            garbage_lines: self.garbage_lines,
        }
    }

    fn best(&self, reading: Reading) -> Option<&Best<'p>> {
        self.best.get(reading as usize)?.as_ref()
    }

    fn value(&self, reading: Reading) -> Option<f64> {
        self.best(reading).map(|best| best.point.value)
    }

    fn told(&self, reading: Reading) -> bool {
        self.best(reading).is_some()
    }

    /// Counts among what an engine tells of its load.
    fn tally(&self, counts: impl Fn(&Self, Reading) -> bool) -> u32 {
        Reading::OF_LOAD.iter().map(|&reading| u32::from(counts(self, reading))).sum()
    }
}

/// Types of families whose samples are parts of something.
const NOT_SINGLE: [&[u8]; 4] = [b"histogram", b"summary", b"gaugehistogram", b"stateset"];

/// The bit of a family. Those past the last bit are read whatever their type is.
fn bit(position: usize) -> u64 {
    u32::try_from(position).map_or(0, |position| 1_u64.checked_shl(position).unwrap_or(0))
}

/// True if `sample` takes the place of `best`, which came earlier on the page.
///
/// Adapters carry their time as the value, and servers keep a sample without adapters beside those
/// that name some: it says that nothing runs, not that nothing is loaded, so it ranks last.
fn supersedes(reading: Reading, sample: &Best<'_>, best: &Best<'_>) -> bool {
    if sample.rank != best.rank {
        return sample.rank < best.rank;
    }
    if reading != Reading::Lora {
        return best.point.timestamp < sample.point.timestamp;
    }
    match (best.names_adapters, sample.names_adapters) {
        (false, true) => true,
        (true, false) => false,
        (true, true) | (false, false) => best.point.value < sample.point.value,
    }
}

fn matches(usage: &Use, labels: &Labels<'_>) -> bool {
    let carries =
        |(name, value): &(String, String)| labels.value(name).as_deref() == Some(value.as_str());
    usage.labels.iter().all(carries)
}

const LORA_RUNNING: &str = "running_lora_adapters";
const LORA_WAITING: &str = "waiting_lora_adapters";
const LORA_MAX: &str = "max_lora";

fn names_adapters(labels: &Labels<'_>) -> bool {
    let named = |label| labels.value(label).is_some_and(|names| !names.is_empty());
    named(LORA_RUNNING) || named(LORA_WAITING)
}

/// An engine holds some hundreds. More, from a page gone wrong, would make a sample of many times
/// the page's size.
const ADAPTERS_LISTED_MAX: usize = 4096;

fn adapters(labels: &Labels<'_>) -> LoraAdapters {
    let list = |label| {
        let names = labels.value(label).unwrap_or_default();
        let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.take(ADAPTERS_LISTED_MAX).map(str::to_owned).collect()
    };
    LoraAdapters {
        running: list(LORA_RUNNING),
        waiting: list(LORA_WAITING),
        adapters_max: labels.value(LORA_MAX).and_then(|max| max.parse().ok()).unwrap_or(0),
    }
}

/// A number of requests or blocks. What no count can be is unknown.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
fn count(value: f64) -> Option<u32> {
    (0.0 <= value && value <= f64::from(u32::MAX)).then_some(value as u32)
}

/// A share. Engines overshoot 1.0 by rounding; what is negative or no number is unknown.
fn ratio(value: f64) -> Option<f64> {
    (0.0 <= value && value.is_finite()).then_some(value.min(1.0))
}

/// Engines print zero for a cache that they have not laid out.
fn positive(value: Option<u32>) -> Option<u32> {
    value.filter(|&value| 0 < value)
}

#[cfg(test)]
mod tests;
