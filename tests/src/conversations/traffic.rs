//! The clockwork of traffic: which request is due when, and what follows its answer.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::text::Text;

/// What one client does: first requests, each with what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Names the client, for people: `chat 3 of group 1`.
    pub name: String,
    /// When it begins, counted from the start of the traffic.
    pub begins: Duration,
    /// What every request begins with.
    pub system: Option<Text>,
    /// Descriptions of so many tools, drawn from a seed.
    pub tools: Option<(u64, usize)>,
    pub first: Vec<Then>,
}

impl Plan {
    /// How many requests it holds.
    pub fn requests(&self) -> usize {
        count(&self.first)
    }
}

/// One request that follows something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Then {
    /// Time after what it follows: the beginning, or an answer.
    pub after: Duration,
    /// What the user, or a tool, says.
    pub says: Text,
    pub max_tokens: u32,
    /// What follows the answer.
    pub then: Vec<Then>,
}

/// In which API's form requests are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// `/v1/chat/completions`: messages.
    #[default]
    Chat,
    /// `/v1/completions`: one text, all that was said in a row.
    Completion,
}

/// Names a request of one [`Traffic`], in the order in which they became due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A request to send.
#[derive(Clone, Debug)]
pub struct Request {
    pub id: RequestId,
    /// When it was due, counted from the start of the traffic.
    pub due: Duration,
    /// The client: which plan, and its name.
    pub client: usize,
    pub name: Arc<str>,
    /// How many answers of this client it continues.
    pub turn: usize,
    pub path: &'static str,
    /// A JSON document.
    pub body: Bytes,
}

/// What was said up to some point, the last first; shared by all that continue it.
#[derive(Debug)]
struct Said {
    role: &'static str,
    text: Arc<str>,
    before: Option<Arc<Said>>,
}

#[derive(Debug)]
struct Waiting {
    client: usize,
    turn: usize,
    before: Option<Arc<Said>>,
    then: Then,
}

#[derive(Debug)]
struct Open {
    client: usize,
    turn: usize,
    said: Arc<Said>,
    then: Vec<Then>,
}

#[derive(Debug)]
struct Client {
    name: Arc<str>,
    tools: Option<(u64, usize)>,
}

/// Requests to come and requests that await their answers.
///
/// Take requests with [`Traffic::take_due`], tell each one's end with [`Traffic::answered`] or
/// [`Traffic::failed`]; it is over when [`Traffic::is_over`] says so.
#[derive(Debug)]
pub struct Traffic {
    model: String,
    style: Style,
    stream: bool,
    clients: Vec<Client>,
    /// By time; the number keeps the order of those due at one time.
    due: BinaryHeap<Reverse<(Duration, u64)>>,
    waiting: BTreeMap<u64, Waiting>,
    open: BTreeMap<RequestId, Open>,
    queued: u64,
    taken: u64,
}

impl Traffic {
    /// Traffic to `model` that follows `plans`, streamed or not.
    pub fn new(model: &str, plans: Vec<Plan>, style: Style, stream: bool) -> Self {
        let mut traffic = Self {
            model: model.to_owned(),
            style,
            stream,
            clients: Vec::with_capacity(plans.len()),
            due: BinaryHeap::new(),
            waiting: BTreeMap::new(),
            open: BTreeMap::new(),
            queued: 0,
            taken: 0,
        };
        for (client, plan) in plans.into_iter().enumerate() {
            traffic.clients.push(Client { name: plan.name.into(), tools: plan.tools });
            let system = plan.system.map(|system| {
                Arc::new(Said { role: "system", text: system.write().into(), before: None })
            });
            for then in plan.first {
                let waiting = Waiting { client, turn: 0, before: system.clone(), then };
                traffic.queue(plan.begins, waiting);
            }
        }
        traffic
    }

    /// When the next request is due; `None` if none is, or not before an answer comes.
    pub fn next_due(&self) -> Option<Duration> {
        self.due.peek().map(|Reverse((due, _))| *due)
    }

    /// The next request, if it is due at `now`.
    pub fn take_due(&mut self, now: Duration) -> Option<Request> {
        let Reverse((due, queued)) = *self.due.peek()?;
        if now < due {
            return None;
        }
        self.due.pop();
        let Waiting { client, turn, before, then } = self.waiting.remove(&queued)?;
        let id = RequestId(self.taken);
        self.taken += 1;
        let said = Arc::new(Said { role: "user", text: then.says.write().into(), before });
        let body = self.body(client, &said, then.max_tokens);
        self.open.insert(id, Open { client, turn, said, then: then.then });
        let name = self.clients.get(client).map(|client| Arc::clone(&client.name));
        let path = match self.style {
            Style::Chat => "/v1/chat/completions",
            Style::Completion => "/v1/completions",
        };
        Some(Request { id, due, client, name: name.unwrap_or_default(), turn, path, body })
    }

    /// Takes the answer to `id`, which came at `now`: what follows it becomes due.
    pub fn answered(&mut self, id: RequestId, answer: &str, now: Duration) {
        let Some(Open { client, turn, said, then }) = self.open.remove(&id) else {
            return;
        };
        let text = answer.into();
        let answer = Arc::new(Said { role: "assistant", text, before: Some(said) });
        for then in then {
            let before = Some(Arc::clone(&answer));
            self.queue(now, Waiting { client, turn: turn + 1, before, then });
        }
    }

    /// Takes note that `id` has no answer: what would have followed it does not happen. Returns how
    /// many requests those are.
    pub fn failed(&mut self, id: RequestId) -> usize {
        self.open.remove(&id).map_or(0, |open| count(&open.then))
    }

    /// Whether nothing is due any more and no answer is awaited.
    pub fn is_over(&self) -> bool {
        self.due.is_empty() && self.open.is_empty()
    }

    fn queue(&mut self, now: Duration, waiting: Waiting) {
        self.due.push(Reverse((now + waiting.then.after, self.queued)));
        self.waiting.insert(self.queued, waiting);
        self.queued += 1;
    }

    fn body(&self, client: usize, said: &Said, max_tokens: u32) -> Bytes {
        let mut spoken = vec![said];
        while let Some(before) = spoken.last().and_then(|said| said.before.as_deref()) {
            spoken.push(before);
        }
        spoken.reverse();
        let mut body =
            json!({"model": self.model, "max_tokens": max_tokens, "stream": self.stream});
        let mut set = |key: &str, value: Value| {
            if let Some(fields) = body.as_object_mut() {
                fields.insert(key.to_owned(), value);
            }
        };
        if self.stream {
            set("stream_options", json!({"include_usage": true}));
        }
        match self.style {
            Style::Chat => {
                let message = |said: &&Said| json!({"role": said.role, "content": *said.text});
                set("messages", spoken.iter().map(message).collect());
                let tools = self.clients.get(client).and_then(|client| client.tools);
                if let Some((seed, count)) = tools {
                    set("tools", write_tools(seed, count));
                }
            }
            Style::Completion => {
                set("prompt", spoken.iter().map(|said| &*said.text).collect::<String>().into());
            }
        }
        body.to_string().into()
    }
}

/// How many requests a plan's branches hold.
pub(super) fn count(branches: &[Then]) -> usize {
    branches.iter().map(|branch| 1 + count(&branch.then)).sum()
}

/// Bytes of one tool's description.
const TOOL_BYTES: usize = 400;

fn write_tools(seed: u64, count: usize) -> Value {
    let tool = |index: usize| {
        let text = Text { seed: seed.wrapping_add(index as u64), bytes: TOOL_BYTES };
        json!({"type": "function", "function": {
            "name": format!("tool_{index}"), "description": text.write(),
            "parameters": {"type": "object", "properties": {"query": {"type": "string"}}}
        }})
    };
    (0..count).map(tool).collect()
}
