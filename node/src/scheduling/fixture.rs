//! Pools for tests: one row per endpoint.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Candidate, PickContext, PromptMatch};
use convoy_proto::hot::HeaderList;

use crate::endpoints::{Endpoint, EndpointKey, InFlight, Load, LoraAdapters, Member, Sample, View};

/// Samples older than this are unknown to [`World::context`].
pub(crate) const LOAD_AGE_MAX: Duration = Duration::from_secs(2);

/// One endpoint: `10.0.0.<number>:8000`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    load: Option<Load>,
    age: Duration,
    matched_blocks: u32,
}

/// An endpoint that was never sampled.
pub(crate) fn unsampled() -> Row {
    Row::default()
}

/// An endpoint whose page told `load` a moment ago.
pub(crate) fn loaded(load: Load) -> Row {
    Row { load: Some(load), ..Row::default() }
}

pub(crate) fn waiting(requests: u32) -> Row {
    loaded(Load { waiting_requests: Some(requests), ..Load::default() })
}

pub(crate) fn running(requests: u32) -> Row {
    loaded(Load { running_requests: Some(requests), ..Load::default() })
}

pub(crate) fn kv_used(ratio: f64) -> Row {
    loaded(Load { kv_used_ratio: Some(ratio), ..Load::default() })
}

pub(crate) fn lora(running: &[&str], waiting: &[&str], adapters_max: u32) -> Row {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let adapters = LoraAdapters { running: owned(running), waiting: owned(waiting), adapters_max };
    loaded(Load { lora: Some(Arc::new(adapters)), ..Load::default() })
}

pub(crate) fn matched(blocks: u32) -> Row {
    Row { matched_blocks: blocks, ..Row::default() }
}

impl Row {
    /// The same, sampled longer ago than counts.
    pub(crate) fn stale(self) -> Self {
        Self { age: LOAD_AGE_MAX + Duration::from_millis(1), ..self }
    }

    /// The same, holding that many blocks of the prompt.
    pub(crate) fn with_match(self, blocks: u32) -> Self {
        Self { matched_blocks: blocks, ..self }
    }
}

/// A pool, a request and a moment.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) view: View,
    pub(crate) model: String,
    pub(crate) headers: HeaderList,
    /// Blocks of the prompt and tokens in each; `None`: no prompt.
    pub(crate) prompt: Option<(u32, u32)>,
    matched: Vec<u32>,
    now: Instant,
}

impl World {
    pub(crate) fn of(rows: &[Row]) -> Self {
        let now = crate::clock::now() + Duration::from_hours(1);
        let member = |(number, row): (u8, &Row)| member(number, row, now);
        Self {
            view: View { members: (1..).zip(rows).map(member).collect() },
            model: String::new(),
            headers: HeaderList::default(),
            prompt: None,
            matched: rows.iter().map(|row| row.matched_blocks).collect(),
            now,
        }
    }

    pub(crate) fn context(&self) -> PickContext<'_> {
        let matched = &self.matched;
        let prompt =
            self.prompt.map(|(blocks, block_tokens)| PromptMatch { blocks, block_tokens, matched });
        PickContext {
            view: &self.view,
            now: self.now,
            load_age_max: LOAD_AGE_MAX,
            model: &self.model,
            headers: &self.headers,
            prompt,
        }
    }

    pub(crate) fn candidates(&self) -> Vec<Candidate> {
        (0..).take(self.view.members.len()).map(Candidate).collect()
    }
}

fn member(number: u8, row: &Row, now: Instant) -> Member {
    let address = SocketAddr::from(([10, 0, 0, number], 8000));
    let key = EndpointKey { namespace: "default".into(), name: format!("pod-{number}"), address };
    let endpoint = Endpoint {
        key,
        address_text: address.to_string(),
        metrics_host: address.to_string(),
        labels: [].into(),
        incarnation: None,
        slot: u32::from(number),
        in_flight: InFlight::default(),
    };
    let sample = |load: &Load| {
        Arc::new(Sample { load: load.clone(), sampled_at: now.checked_sub(row.age).unwrap() })
    };
    Member { endpoint: Arc::new(endpoint), ready: true, sample: row.load.as_ref().map(sample) }
}
