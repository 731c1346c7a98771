//! Traffic in real time.

use std::future::Future;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::traffic::{Request, RequestId, Traffic};

/// What came of one request.
#[derive(Clone, Debug)]
pub struct Reply<T> {
    /// What the server said, to be continued; `None` if it failed.
    pub answer: Option<String>,
    /// Whatever else the asker wants to know of it.
    pub outcome: T,
}

/// What came of all traffic.
#[derive(Clone, Debug)]
pub struct Played<T> {
    /// By request, in the order in which answers came.
    pub outcomes: Vec<(RequestId, T)>,
    /// Requests that were never made, because what they would have continued failed.
    pub never_made: usize,
}

/// Sends each request of `traffic` with `ask` when it is due, until all is over.
///
/// Requests do not wait for each other unless one continues the other. Dropping this drops what is
/// under way.
pub async fn play<T, F>(mut traffic: Traffic, ask: impl Fn(Request) -> F) -> Played<T>
where
    T: Send + 'static,
    F: Future<Output = Reply<T>> + Send + 'static,
{
    let begun = Instant::now();
    let mut under_way = JoinSet::new();
    let mut played = Played { outcomes: Vec::new(), never_made: 0 };
    while !traffic.is_over() {
        while let Some(request) = traffic.take_due(begun.elapsed()) {
            let id = request.id;
            let reply = ask(request);
            under_way.spawn(async move { (id, reply.await) });
        }
        let wake = traffic.next_due().map(|due| begun + due);
        let ended = tokio::select! {
            Some(ended) = under_way.join_next() => ended,
            () = sleep_until(wake), if wake.is_some() => continue,
            else => break,
        };
        match ended {
            Ok((id, reply)) => {
                match &reply.answer {
                    Some(answer) => traffic.answered(id, answer, begun.elapsed()),
                    None => played.never_made += traffic.failed(id),
                }
                played.outcomes.push((id, reply.outcome));
            }
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // Tasks are aborted only when this future is dropped, and then nobody is here.
            Err(_) => {}
        }
    }
    played
}

async fn sleep_until(wake: Option<Instant>) {
    if let Some(wake) = wake {
        tokio::time::sleep_until(wake).await;
    }
}
