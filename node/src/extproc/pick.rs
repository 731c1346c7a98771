//! A pick, from a request that was read to the endpoint that shall serve it.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use convoy_proto::hot::answer::{Changes, Picked};

use super::{
    asking::{AskedBody, Asking},
    desk::Desk,
    names,
    refusal::Refusal,
};
use crate::{
    clock,
    endpoints::{Endpoint, View},
    prefix::{Asked, Sighting},
    scheduling::{Candidate, PickContext, candidates},
};

/// What was picked.
#[derive(Debug)]
pub(super) struct Pick {
    /// Who should serve the request.
    pub(super) endpoint: Arc<Endpoint>,
    /// As Envoy is told it: `ip:port`, or several with commas between, best first.
    pub(super) destination: String,
    /// Each candidate's score, if Envoy is to be told.
    pub(super) scores: Vec<(Arc<Endpoint>, f64)>,
    /// What the index was told; `None` if the request has no whole block of prompt.
    pub(super) sighting: Option<Sighting>,
}

impl Pick {
    /// The header that carries the pick.
    pub(super) fn header(&self) -> (&[u8], &[u8]) {
        (names::DESTINATION.as_bytes(), self.destination.as_bytes())
    }

    /// Hands what the pick changes, beside headers, to `write`.
    pub(super) fn with_changes(&self, write: impl FnOnce(&Changes<'_>)) {
        let scores: Vec<(&str, f64)> = self
            .scores
            .iter()
            .map(|(endpoint, score)| (endpoint.address_text.as_str(), *score))
            .collect();
        write(&Changes {
            remove_headers: &[],
            clear_route_cache: true,
            picked: Some(Picked { endpoint: &self.destination, scores: &scores }),
        });
    }
}

/// Picks for `asking`, whose body, as far as it is kept here, is `chunks`.
pub(super) fn pick(
    asking: &Asking,
    chunks: &[Bytes],
    desk: &mut Desk,
    now: Instant,
) -> Result<Pick, Refusal> {
    let service = Arc::clone(&desk.service);
    let view = service.view.load();
    let subset = asking.subset.as_ref().filter(|_| service.behaviour.heed_subset);
    candidates(&view, subset, &mut desk.candidates);
    if desk.candidates.is_empty() {
        let bodyless = matches!(asking.body, AskedBody::None);
        let pool_is_empty = !view.members.iter().any(|member| member.ready);
        if !bodyless {
            desk.attempted(asking.target(), None);
        }
        return Err(if bodyless && pool_is_empty {
            Refusal::EmptyPool
        } else {
            Refusal::NoCandidates
        });
    }
    if matches!(asking.body, AskedBody::None) {
        return any(&view, desk);
    }
    let started_at = clock::now();
    let pick = best(asking, chunks, &view, desk, now);
    service.picks.took(clock::now().saturating_duration_since(started_at));
    desk.observe_plugins();
    desk.attempted(asking.target(), pick.as_ref().ok().map(|pick| &*pick.endpoint));
    pick
}

/// Any candidate will do for a request without a body: it asks for no tokens.
fn any(view: &View, desk: &mut Desk) -> Result<Pick, Refusal> {
    let place = desk.random.usize(..desk.candidates.len());
    let candidate = desk.candidates.get(place);
    let endpoint = candidate.and_then(|candidate| endpoint(view, *candidate));
    let endpoint = endpoint.ok_or(Refusal::EmptyPool)?;
    Ok(Pick {
        destination: endpoint.address_text.clone(),
        endpoint: Arc::clone(endpoint),
        scores: Vec::new(),
        sighting: None,
    })
}

fn best(
    asking: &Asking,
    chunks: &[Bytes],
    view: &View,
    desk: &mut Desk,
    now: Instant,
) -> Result<Pick, Refusal> {
    let service = Arc::clone(&desk.service);
    if let (Some(prefixes), AskedBody::Read(request)) = (&service.prefixes, &asking.body) {
        let asked = Asked { request, model: asking.target(), chunks };
        prefixes.look_up(&asked, view, now, &mut desk.prompt);
    } else {
        desk.prompt.clear();
    }
    let context = PickContext {
        view,
        now,
        load_age_max: service.behaviour.load_age_max,
        model: asking.target(),
        headers: &asking.headers,
        prompt: service.prefixes.as_ref().and_then(|prefixes| desk.prompt.matched(prefixes)),
    };
    let decision = service
        .scheduler
        .pick(&context, &desk.candidates, &mut desk.random, &mut desk.scheduling)
        .map_err(|_nobody| Refusal::FilteredOut)?;
    let first = endpoint(view, decision.first()).ok_or(Refusal::FilteredOut)?;
    let destinations: Vec<&str> = decision
        .picked()
        .iter()
        .filter_map(|&picked| Some(endpoint(view, picked)?.address_text.as_str()))
        .collect();
    let scores = decision
        .totals()
        .filter(|_| service.behaviour.emit_scores)
        .filter_map(|scored| Some((Arc::clone(endpoint(view, scored.candidate)?), scored.score)))
        .collect();
    let mut matched = 0;
    if let Some(prompt) = context.prompt {
        matched = prompt.matched_blocks(decision.first());
        service.picks.matched(matched, prompt.blocks, prompt.block_tokens * 4);
    }
    if matched == 0 && asking.wants_cached() {
        return Err(Refusal::NotCached);
    }
    let prefixes = service.prefixes.as_ref();
    let sighting = prefixes.and_then(|prefixes| prefixes.sighted(first, now, &desk.prompt));
    Ok(Pick { endpoint: Arc::clone(first), destination: destinations.join(","), scores, sighting })
}

fn endpoint(view: &View, candidate: Candidate) -> Option<&Arc<Endpoint>> {
    view.members.get(candidate.0 as usize).map(|member| &member.endpoint)
}
