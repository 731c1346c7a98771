//! The pool as the book keeps it: what the source lists, and what each endpoint last told.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    slots::Slots,
    view::{Endpoint, EndpointKey, InFlight, Load, Member, Sample, View},
};
use crate::discovery::{Event, ListedEndpoint};

/// A metrics page read: whose, when it was asked for, and what it said.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The endpoint as it was when its page was asked for.
    pub endpoint: Arc<Endpoint>,
    pub sampled_at: Instant,
    pub load: Load,
}

/// What a fact changed, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Changed {
    Nothing,
    Loads,
    /// Who is in the pool, how it is described, or whether it is ready.
    Members,
}

/// Every endpoint of the pool, by key.
#[derive(Debug)]
pub(super) struct Pool {
    records: BTreeMap<EndpointKey, Record>,
    slots: Arc<Slots>,
}

#[derive(Debug)]
struct Record {
    member: Member,
    /// The source tells lives apart, so signs of a restart on the page count for nothing.
    told_incarnation: bool,
}

impl Pool {
    /// Takes up where `view` left off.
    pub(super) fn from_view(view: &View, slots: Arc<Slots>) -> Self {
        let record = |member: &Member| {
            (member.endpoint.key.clone(), Record { member: member.clone(), told_incarnation: true })
        };
        Self { records: view.members.iter().map(record).collect(), slots }
    }

    pub(super) fn view(&self) -> View {
        View { members: self.records.values().map(|record| record.member.clone()).collect() }
    }

    pub(super) fn apply(&mut self, event: Event) -> Changed {
        match event {
            Event::Listed(listed) => self.replace(listed),
            Event::Upserted(listed) => self.upsert(listed),
            Event::Removed(key) => match self.records.remove(&key) {
                Some(_) => Changed::Members,
                None => Changed::Nothing,
            },
        }
    }

    fn replace(&mut self, listed: Vec<ListedEndpoint>) -> Changed {
        let mut before = std::mem::take(&mut self.records);
        let mut changed = Changed::Nothing;
        for listed in listed {
            if let Some(record) = before.remove(&listed.key) {
                self.records.insert(listed.key.clone(), record);
            }
            changed = changed.max(self.upsert(listed));
        }
        if before.is_empty() { changed } else { Changed::Members }
    }

    fn upsert(&mut self, listed: ListedEndpoint) -> Changed {
        let told_incarnation = listed.incarnation.is_some();
        let Some(record) = self.records.get_mut(&listed.key) else {
            let member = Member {
                ready: listed.ready,
                endpoint: Arc::new(new_life(listed.clone(), &self.slots)),
                sample: None,
            };
            self.records.insert(listed.key, Record { member, told_incarnation });
            return Changed::Members;
        };
        record.told_incarnation = told_incarnation;
        let member = &mut record.member;
        let endpoint = &member.endpoint;
        let is_new_life = told_incarnation && endpoint.incarnation != listed.incarnation;
        let is_described_alike =
            endpoint.labels == listed.labels && endpoint.metrics_host == listed.metrics_host;
        if !is_new_life && is_described_alike && member.ready == listed.ready {
            return Changed::Nothing;
        }
        member.ready = listed.ready;
        if is_new_life {
            *member = Member {
                ready: listed.ready,
                endpoint: Arc::new(new_life(listed, &self.slots)),
                sample: None,
            };
        } else if !is_described_alike {
            member.endpoint = Arc::new(Endpoint {
                labels: listed.labels,
                metrics_host: listed.metrics_host,
                ..Endpoint::clone(endpoint)
            });
        }
        Changed::Members
    }

    /// Notes what an endpoint told. What another life of it told is dropped.
    pub(super) fn hear(&mut self, heard: Heard) -> Changed {
        let Some(record) = self.records.get_mut(&heard.endpoint.key) else {
            return Changed::Nothing;
        };
        let member = &mut record.member;
        if !member.endpoint.in_flight.same(&heard.endpoint.in_flight) {
            return Changed::Nothing;
        }
        let before = member.sample.as_ref();
        if before.is_some_and(|before| heard.sampled_at <= before.sampled_at) {
            return Changed::Nothing;
        }
        let restarted = !record.told_incarnation
            && before.is_some_and(|before| shows_restart(&before.load, &heard.load));
        member.sample = Some(Arc::new(Sample { load: heard.load, sampled_at: heard.sampled_at }));
        if !restarted {
            return Changed::Loads;
        }
        let ended = &member.endpoint;
        let in_flight = InFlight::default();
        member.endpoint = Arc::new(Endpoint {
            incarnation: Some(successor(ended.incarnation.as_deref())),
            slot: self.slots.claim(&in_flight),
            in_flight,
            ..Endpoint::clone(ended)
        });
        Changed::Members
    }
}

fn new_life(listed: ListedEndpoint, slots: &Slots) -> Endpoint {
    let in_flight = InFlight::default();
    Endpoint {
        address_text: listed.key.address.to_string(),
        key: listed.key,
        metrics_host: listed.metrics_host,
        labels: listed.labels,
        incarnation: listed.incarnation,
        slot: slots.claim(&in_flight),
        in_flight,
    }
}

/// Boot time, from which engines compute their start, may jump by a second as clocks are set.
const PROCESS_START_JITTER_S: f64 = 1.5;

/// True if the page `after` comes from another process than the page `before`.
fn shows_restart(before: &Load, after: &Load) -> bool {
    let started = before.process_start_s.zip(after.process_start_s);
    let counted = before.lifetime_tokens.zip(after.lifetime_tokens);
    started.is_some_and(|(before, after)| PROCESS_START_JITTER_S < (after - before).abs())
        || counted.is_some_and(|(before, after)| after < before)
}

/// A name for the life that follows one which the source did not tell from it.
fn successor(incarnation: Option<&str>) -> String {
    let seen = incarnation.and_then(|name| name.strip_prefix("restart-")?.parse::<u64>().ok());
    format!("restart-{}", seen.unwrap_or(0).saturating_add(1))
}

/// Spreads publishing out: at once after a quiet time, else when `apart` has passed.
#[derive(Debug)]
pub(super) struct Pacer {
    apart: Duration,
    published_at: Option<Instant>,
    is_due: bool,
}

/// What to do about a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Publish,
    /// Ask again after this time.
    Wait(Duration),
    /// Somebody waits already.
    Nothing,
}

impl Pacer {
    pub(super) fn new(apart: Duration) -> Self {
        Self { apart, published_at: None, is_due: false }
    }

    pub(super) fn on_change(&mut self, now: Instant) -> Pace {
        if self.is_due {
            return Pace::Nothing;
        }
        let since = self.published_at.map(|at| now.saturating_duration_since(at));
        match since.and_then(|since| self.apart.checked_sub(since)) {
            None | Some(Duration::ZERO) => {
                self.published_at = Some(now);
                Pace::Publish
            }
            Some(rest) => {
                self.is_due = true;
                Pace::Wait(rest)
            }
        }
    }

    /// The wait is over, and the view is published.
    pub(super) fn on_waited(&mut self, now: Instant) {
        self.is_due = false;
        self.published_at = Some(now);
    }
}

#[cfg(test)]
mod tests;
