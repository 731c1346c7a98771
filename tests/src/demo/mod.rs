//! The demo: chats through Envoy and the picker, and the same ones round robin.

mod comparison;
mod reason;
mod screen;
mod stage;
mod traffic;

use std::collections::BTreeSet;
use std::error::Error;
use std::io::{self, Write};

use tokio::sync::mpsc;

pub use comparison::{Comparison, Tally, milliseconds};
pub use reason::{Ledger, Reason};
pub use screen::{Screen, Style};
pub use stage::{Stage, StageError};
pub use traffic::{Failure, Served};

use crate::conversations::Plan;
use crate::envoy::Envoy;
use stage::{MODEL, Step};

/// Why the demo did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("the demo cannot begin")]
    Stage(#[from] StageError),
    #[error("nobody reads what the demo writes")]
    Screen(#[from] io::Error),
}

/// A demo that has shown what it shows; its parts are still up.
#[derive(Debug)]
pub struct Shown {
    pub stage: Stage,
    /// What went wrong.
    pub complaints: Vec<String>,
}

/// Runs the whole demo on `screen`, with the chats of `seed`.
pub async fn show<W: Write>(screen: &mut Screen<W>, seed: u64) -> Result<Shown, DemoError> {
    let mut written = Ok(());
    let stage = Stage::set(|step: Step| {
        if written.is_ok() {
            written = screen.line(&screen.faint(&format!("{step} ...")));
        }
    });
    let stage = stage.await?;
    written?;
    for line in stage.addresses() {
        screen.line(&screen.faint(&line))?;
    }
    let plans = traffic::draw(seed);

    screen.line("")?;
    screen.line(
        &screen.strong("Through Envoy, which asks Convoy's picker where to send each request"),
    )?;
    screen.line(&screen.faint(SCORES))?;
    let picker = run(screen, &stage, &stage.gateway, &plans).await?;
    stage.restart_servers().await?;
    screen.line("")?;
    screen.line(&screen.strong("The same chats, servers empty again, round robin"))?;
    let round_robin = run(screen, &stage, &stage.round_robin, &plans).await?;

    let comparison = Comparison { picker: &picker, round_robin: &round_robin };
    screen.line("")?;
    screen.line(&comparison.to_string())?;
    let mut complaints = comparison.complaints();
    complaints.extend(gateway_complaints(&stage)?);
    for complaint in &complaints {
        screen.line(&screen.wrong(complaint))?;
    }
    Ok(Shown { stage, complaints })
}

/// What the scores are of, by the weights of the configuration that [`Epp`] is given.
///
/// [`Epp`]: crate::epp::Epp
const SCORES: &str = "  score: 3 x the share of the prompt that the picker believes cached, 2 x the \
                      shorter queue, 2 x the emptier KV cache";

/// What Envoy says of requests that the picker should have routed, and did not.
fn gateway_complaints(stage: &Stage) -> Result<BTreeSet<String>, StageError> {
    let entries = stage.gateway.access_log()?;
    let details = entries.into_iter().filter_map(|entry| match (&entry.picked, &entry.served) {
        (Some(picked), Some(served)) if picked == served => None,
        (Some(picked), Some(served)) => Some(format!("Envoy chose {served}, not {picked}")),
        (Some(_), None) | (None, _) => Some(format!("Envoy: {}", entry.details?)),
    });
    Ok(details.collect())
}

/// Sends all chats to `gateway` and shows each request as it ends.
async fn run<W: Write>(
    screen: &mut Screen<W>,
    stage: &Stage,
    gateway: &Envoy,
    plans: &[Plan],
) -> Result<Tally, DemoError> {
    let requests = plans.iter().map(Plan::requests).sum();
    let (reports, mut ended) = mpsc::unbounded_channel();
    let sending = traffic::send(gateway.address(), plans.to_vec(), reports);
    let sending = async { Ok::<_, DemoError>(sending.await) };
    let showing = async {
        let (mut tally, mut ledger) = (Tally::default(), Ledger::default());
        while let Some(report) = ended.recv().await {
            tally.note(&report);
            let line = match &report {
                Ok(served) => {
                    let why = why(gateway, served, ledger.note(served)).await?;
                    request_line(screen, stage, served, &why)
                }
                Err(failure) => screen.wrong(&format!("  {failure}")),
            };
            screen.line(&line)?;
            screen.live(&progress_line(&tally, requests))?;
        }
        screen.live("")?;
        Ok(tally)
    };
    // When nobody reads any more, nothing more is sent.
    let (mut tally, never_sent) = tokio::try_join!(showing, sending)?;
    tally.note_never_sent(never_sent);
    Ok(tally)
}

/// Why a request went where it went: what can be told from outside, and what the picker says.
async fn why(gateway: &Envoy, served: &Served, reason: Reason) -> Result<String, StageError> {
    let entry = gateway.logged_request(&served.request_id).await?;
    let scored = entry.scores.and_then(|scores| reason::scored(&scores, &served.by));
    Ok(scored.map_or_else(|| reason.to_string(), |scored| format!("{reason}; {scored}")))
}

/// Where one request went, what was cached there, and why it may have gone there.
fn request_line<W: Write>(screen: &Screen<W>, stage: &Stage, served: &Served, why: &str) -> String {
    let asked = format!("chat {:>2}, turn {}", served.chat + 1, served.turn + 1);
    let by = match stage.position(&served.by) {
        Some(position) => screen.server(position, &format!("server-{}", position + 1)),
        None => screen.wrong(&format!("an unknown server ({})", served.by)),
    };
    let cached =
        format!("{:>5} of {:>5} tokens cached", served.cached_tokens, served.prompt_tokens);
    let first = format!("first token {:>7}", milliseconds(served.first_token));
    format!("  {asked}  ->  {by}  {cached}  {first}  {}", screen.faint(why))
}

/// How far a run is.
fn progress_line(tally: &Tally, requests: usize) -> String {
    let hit = tally.hit_percent().unwrap_or(0);
    let median = tally.first_token(50).map(milliseconds).unwrap_or_default();
    let ended = tally.requests();
    format!(
        "  {ended} of {requests} requests, {hit} % of tokens cached, first token {median} (median)"
    )
}

/// A line that sends one more request, for a person to copy.
pub fn curl_line(stage: &Stage) -> String {
    let address = stage.gateway.address();
    format!(
        "curl -i http://{address}/v1/chat/completions -H 'content-type: application/json' -d \
         '{{\"model\": \"{MODEL}\", \"max_tokens\": 16, \"messages\": [{{\"role\": \"user\", \
         \"content\": \"Which server are you?\"}}]}}'"
    )
}

/// An error and what caused it, in one line.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
