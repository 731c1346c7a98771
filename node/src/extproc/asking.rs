//! A request on its way here: its headers, and what was read of its body.

use bytes::Bytes;
use convoy_proto::hot::{Direction, HeaderList, MetadataContext, MetadataError, answer};

use super::{names, pick::Pick, refusal::Refusal, subset};
use crate::{
    openai::{self, Api, Request, Scanner},
    plugins::Parser,
    scheduling::Subset,
};

/// A request that is not answered yet.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) headers: HeaderList,
    pub(super) body: AskedBody,
    pub(super) body_bytes: u64,
    /// What of the headers counts among the bytes that are held.
    pub(super) headers_bytes: usize,
    pub(super) subset: Option<Subset>,
    /// What was picked, once it was.
    pub(super) picked: Option<Pick>,
    /// Sent with the request when it came without an id.
    made_id: Option<String>,
}

/// What is known of a request's body.
#[derive(Debug)]
pub(super) enum AskedBody {
    /// There is none.
    None,
    /// Envoy keeps it, or passes it on chunk by chunk after the pick: it is picked for on loads
    /// alone.
    Unread,
    Reading(Box<Scanner>),
    Read(Box<Request>),
    /// No parser of the configuration claims the request's path.
    Unclaimed {
        path: String,
    },
}

impl Asking {
    pub(super) fn new(headers: HeaderList, body: AskedBody, random: &mut fastrand::Rng) -> Self {
        let has_id = headers.get(names::REQUEST_ID).is_some_and(|id| !id.is_empty());
        let made_id = (!has_id).then(|| request_id(random));
        Self { headers, body, body_bytes: 0, headers_bytes: 0, subset: None, picked: None, made_id }
    }

    /// Takes up which endpoints `metadata` confines the request to, if any. Metadata that cannot be
    /// read might have confined it, so nobody is picked then.
    pub(super) fn note_subset(&mut self, metadata: &MetadataContext) -> Result<(), MetadataError> {
        if metadata.is_empty() {
            return Ok(());
        }
        if let Some(subset) = subset::subset(&metadata.read()?) {
            self.subset = Some(subset);
        }
        Ok(())
    }

    /// How the body that these headers announce is read.
    pub(super) fn reading(headers: &HeaderList, parsers: &[Parser]) -> AskedBody {
        let path = [":path", "x-original-path", "x-forwarded-path"]
            .iter()
            .find_map(|name| headers.text(name).filter(|path| !path.is_empty()))
            .unwrap_or_default();
        let api = Api::of_path(path);
        let claims = |parser: &&Parser| match parser {
            Parser::OpenAi => api != Api::Passthrough,
            Parser::Passthrough => true,
        };
        let scanner = match parsers.iter().find(claims) {
            Some(Parser::OpenAi) => Scanner::new(api),
            Some(Parser::Passthrough) => Scanner::new(Api::Passthrough),
            None => return AskedBody::Unclaimed { path: path.to_owned() },
        };
        AskedBody::Reading(Box::new(scanner))
    }

    /// Ends the reading of the body, which is `chunks`.
    pub(super) fn finish_reading(&mut self, chunks: &[Bytes]) -> Result<(), Refusal> {
        if let AskedBody::Unclaimed { path } = &self.body {
            return Err(Refusal::NoParser { path: path.clone() });
        }
        if !matches!(self.body, AskedBody::Reading(_)) {
            return Ok(());
        }
        if let AskedBody::Reading(scanner) = std::mem::replace(&mut self.body, AskedBody::None) {
            let request = scanner.finish(chunks).map_err(Refusal::BadBody)?;
            if request.api.needs_model()
                && request.model.name.is_empty()
                && self.rewrite().is_none()
            {
                return Err(Refusal::BadBody(openai::Refusal::NoModel));
            }
            self.body = AskedBody::Read(Box::new(request));
        }
        Ok(())
    }

    /// The model that the client asks for; empty if it names none.
    pub(super) fn model(&self) -> &str {
        match &self.body {
            AskedBody::Read(request) => &request.model.name,
            AskedBody::None
            | AskedBody::Unread
            | AskedBody::Reading(_)
            | AskedBody::Unclaimed { .. } => "",
        }
    }

    /// The model to serve it with.
    pub(super) fn target(&self) -> &str {
        self.rewrite().unwrap_or(self.model())
    }

    /// The same body for the target, if that is another model.
    pub(super) fn rewritten(&self, chunks: &[Bytes]) -> Option<Vec<Bytes>> {
        let AskedBody::Read(request) = &self.body else { return None };
        let target = self.rewrite().filter(|target| *target != request.model.name)?;
        Some(request.model.rewrite(chunks, target))
    }

    /// The model that a header asks for instead of the body's.
    fn rewrite(&self) -> Option<&str> {
        let AskedBody::Read(request) = &self.body else { return self.rewrite_header() };
        request.api.needs_model().then(|| self.rewrite_header())?
    }

    fn rewrite_header(&self) -> Option<&str> {
        first_text(&self.headers, &names::MODEL_REWRITE)
    }

    pub(super) fn fairness_id(&self) -> &str {
        first_text(&self.headers, &names::FAIRNESS_ID).unwrap_or("default-flow")
    }

    /// Whether the request is only to be sent to who holds a part of its prompt.
    pub(super) fn wants_cached(&self) -> bool {
        let preferences = self.headers.text(names::PREFER).unwrap_or_default().split(',');
        let mut tokens = preferences.filter_map(|preference| preference.split(';').next());
        tokens.any(|token| token.trim().eq_ignore_ascii_case(names::IF_AVAILABLE))
    }

    pub(super) fn request_id(&self) -> &str {
        let sent = self.headers.text(names::REQUEST_ID).unwrap_or_default();
        self.made_id.as_deref().unwrap_or(sent)
    }

    /// The header of an id that was made here.
    pub(super) fn made_id(&self) -> Option<(&[u8], &[u8])> {
        let id = self.made_id.as_ref()?;
        Some((names::REQUEST_ID.as_bytes(), id.as_bytes()))
    }

    /// Whether the body says that the answer shall be streamed.
    pub(super) fn wants_stream(&self) -> bool {
        matches!(&self.body, AskedBody::Read(request) if request.stream)
    }

    /// Writes the answer to the headers, with the pick in it.
    ///
    /// Headers are set again as they came, but for those that steer pickers, because charts and
    /// tests of the picker that Convoy replaces count on it. A header that came more than once is
    /// left alone: setting it would keep its last value and lose the others.
    pub(super) fn answer_headers(&self, picked: &Pick, out: &mut Vec<u8>) {
        let length = self.body_bytes.to_string();
        let length = (0 < self.body_bytes).then_some((&b"Content-Length"[..], length.as_bytes()));
        let again = !matches!(self.body, AskedBody::None);
        let again = again.then(|| set_again(&self.headers)).into_iter().flatten();
        // An empty id that came with the request would take the made one's place.
        let id = names::REQUEST_ID.as_bytes();
        let is_made = |name: &[u8]| self.made_id.is_some() && name.eq_ignore_ascii_case(id);
        let again = again.filter(|(name, _)| !is_made(name));
        let set = [picked.header()].into_iter().chain(length).chain(self.made_id()).chain(again);
        picked.with_changes(|changes| answer::headers(Direction::Request, set, changes, out));
    }
}

/// Headers that are set again at most. Gateways take a hundred unless told otherwise, and each is
/// looked for among all.
const SET_AGAIN_MAX: usize = 256;

/// The headers that are set again as they came; none if there are very many.
pub(super) fn set_again(headers: &HeaderList) -> impl Iterator<Item = (&[u8], &[u8])> {
    let few = Some(headers).filter(|headers| headers.len() <= SET_AGAIN_MAX);
    few.into_iter().flat_map(HeaderList::iter).filter(|(name, _)| {
        !names::is_system_owned(name)
            && headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name)).count() == 1
    })
}

fn first_text<'h>(headers: &'h HeaderList, names: &[&str]) -> Option<&'h str> {
    names.iter().find_map(|name| headers.text(name)).filter(|value| !value.is_empty())
}

/// A random UUID (RFC 9562, version 4).
fn request_id(random: &mut fastrand::Rng) -> String {
    let bits = (random.u128(..) & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    let part = |range| hex.get(range).unwrap_or_default();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_request_id_is_a_uuid_of_version_4() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..100 {
            let id = request_id(&mut random);
            assert_eq!(id.len(), 36, "{id}");
            assert_eq!(&id[14..15], "4", "{id}");
            assert!("89ab".contains(&id[19..20]), "{id}");
        }
    }
}
