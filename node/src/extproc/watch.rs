//! A response on its way through: what it tells of itself, and who is counted as serving it.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use convoy_proto::hot::{Direction, HeaderList, MetadataContext, answer};

use super::{
    asking::{Asking, set_again},
    desk::Desk,
    names,
    pick::Pick,
    rename::Rename,
    subset,
};
use crate::{
    endpoints::Endpoint,
    metrics::{Failure, Finished, Recorder},
    openai::Answer,
    prefix::Sighting,
};

/// Watches one response.
#[derive(Debug)]
pub(super) struct Watch {
    opened_at: Instant,
    recorder: Arc<Recorder>,
    /// Requests that this one stands for: more than one where only a share is watched.
    stands_for: u32,
    running: Option<Running>,
    sighting: Option<Sighting>,
    rename: Option<Rename>,
    wants_stream: bool,
    streaming: bool,
    headers: HeaderList,
    served: Option<String>,
    answer: Answer,
    response_bytes: u64,
    first_byte_at: Option<Instant>,
    last_chunk_at: Option<Instant>,
}

/// Counts a request as running on an endpoint until it is dropped.
#[derive(Debug)]
struct Running {
    endpoint: Arc<Endpoint>,
    recorder: Arc<Recorder>,
    stands_for: u32,
}

impl Running {
    fn new(endpoint: Arc<Endpoint>, recorder: Arc<Recorder>, stands_for: u32) -> Self {
        endpoint.in_flight.started(stands_for);
        recorder.started(stands_for);
        Self { endpoint, recorder, stands_for }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.endpoint.in_flight.finished(self.stands_for);
        self.recorder.stopped(self.stands_for);
    }
}

impl Watch {
    /// Watches the response to a request that was picked for here.
    pub(super) fn asked(
        asking: &Asking,
        picked: &Pick,
        recorder: Arc<Recorder>,
        (opened_at, stands_for): (Instant, u32),
    ) -> Self {
        let endpoint = Arc::clone(&picked.endpoint);
        let running = Running::new(endpoint, Arc::clone(&recorder), stands_for);
        Self {
            stands_for,
            running: Some(running),
            sighting: picked.sighting.clone(),
            rename: Rename::new(asking.target(), asking.model()),
            wants_stream: asking.wants_stream(),
            ..Self::new(recorder, opened_at)
        }
    }

    /// Watches a response whose request was not seen here.
    pub(super) fn unasked(desk: &mut Desk, opened_at: Instant) -> Self {
        Self::new(desk.recorder("", "", "default-flow"), opened_at)
    }

    fn new(recorder: Arc<Recorder>, opened_at: Instant) -> Self {
        Self {
            opened_at,
            recorder,
            stands_for: 1,
            running: None,
            sighting: None,
            rename: None,
            wants_stream: false,
            streaming: false,
            headers: HeaderList::default(),
            served: None,
            answer: Answer::new(),
            response_bytes: 0,
            first_byte_at: None,
            last_chunk_at: None,
        }
    }

    /// Takes the response's headers; true when its body is streamed.
    pub(super) fn on_headers(
        &mut self,
        headers: HeaderList,
        metadata: &MetadataContext,
        desk: &mut Desk,
    ) -> bool {
        // The picker that Convoy replaces looks for `status`, which its tests send and Envoy does
        // not: Envoy's is `:status`.
        let status = headers.get(":status").or_else(|| headers.get("status"));
        if status.is_some_and(|status| status != b"200") {
            self.recorder.failed(Failure::ModelServerError);
        }
        self.streaming = self.wants_stream
            || headers.text("content-type").is_some_and(|kind| kind.contains("text/event-stream"));
        self.heed_served(metadata, desk);
        self.headers = headers;
        self.streaming
    }

    /// Moves the request to the endpoint that served it, if that is not the one picked.
    fn heed_served(&mut self, metadata: &MetadataContext, desk: &mut Desk) {
        let routing = if metadata.is_empty() { None } else { metadata.read().ok() };
        let lb = routing.and_then(|routing| routing.lb);
        self.served = lb.as_ref().map(|lb| {
            let served = lb.fields.get(names::SERVED).and_then(subset::text);
            served.unwrap_or_default().to_owned()
        });
        let sighting = self.sighting.take();
        let (Some(running), Some(served)) = (&mut self.running, &self.served) else {
            return;
        };
        if served.is_empty() || *served == running.endpoint.address_text {
            return;
        }
        desk.service.picks.moved();
        let view = desk.service.view.load();
        let member = view.members.iter().find(|member| member.endpoint.address_text == *served);
        if let Some(member) = member {
            let endpoint = Arc::clone(&member.endpoint);
            if let (Some(prefixes), Some(sighting)) = (&desk.service.prefixes, sighting) {
                prefixes.moved(&sighting, &endpoint);
            }
            *running = Running::new(endpoint, Arc::clone(&self.recorder), self.stands_for);
        }
    }

    /// Takes a chunk of the body, and gives it back with the model's name as the client knows it.
    pub(super) fn on_chunk(&mut self, chunk: Bytes, now: Instant) -> Bytes {
        if chunk.is_empty() {
            return chunk;
        }
        self.response_bytes += chunk.len() as u64;
        if self.first_byte_at.is_none() {
            self.first_byte_at = Some(now);
        }
        if self.streaming
            && let Some(last) = self.last_chunk_at.replace(now)
        {
            let gap = now.saturating_duration_since(last);
            self.recorder.chunk_came_after(gap, self.stands_for);
        }
        self.answer.feed(&chunk);
        match &self.rename {
            None => chunk,
            Some(rename) => rename.apply(chunk),
        }
    }

    /// Takes the end of the response.
    pub(super) fn on_end(&mut self, now: Instant) {
        let usage = self.answer.usage().unwrap_or_default();
        let since = |at: Instant| at.saturating_duration_since(self.opened_at);
        self.recorder.finished(&Finished {
            stands_for: self.stands_for,
            streaming: self.streaming,
            response_bytes: self.response_bytes,
            first_byte_after: self.first_byte_at.map(since),
            last_byte_after: since(now),
            prompt_tokens: usage.prompt_tokens.unwrap_or_default(),
            completion_tokens: usage.completion_tokens.unwrap_or_default(),
            cached_tokens: usage.cached_tokens,
        });
        self.running = None;
    }

    /// Writes the answer to the response's headers, which are set again as they came.
    pub(super) fn answer_headers(&self, tell_served: bool, out: &mut Vec<u8>) {
        let mark = (names::WENT_INTO_RESPONSE.as_bytes(), &b"true"[..]);
        let served = tell_served.then(|| {
            let text = match &self.served {
                None => "fail: missing envoy lb metadata",
                Some(served) if served.is_empty() => {
                    "fail: missing destination endpoint served metadata"
                }
                Some(served) => served,
            };
            (names::CONFORMANCE_SERVED.as_bytes(), text.as_bytes())
        });
        let set = [mark].into_iter().chain(served).chain(set_again(&self.headers));
        answer::headers(Direction::Response, set, &answer::Changes::default(), out);
    }

    /// Lets go of the headers, and so of what was read with them: a response may pass for minutes.
    pub(super) fn forget_headers(&mut self) {
        self.headers = HeaderList::default();
    }
}
