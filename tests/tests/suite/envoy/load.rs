//! A steady load on a gateway: so many requests a second, whatever becomes of them.

use std::net::SocketAddr;
use std::time::Duration;

use convoy_tests::body::Body;
use convoy_tests::client::{ClientError, Connection, Protocol};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

use super::route::{completion, prompt};
use super::upstream::{Deed, EVENT};

/// Between two requests: 200 a second.
const INTERVAL: Duration = Duration::from_millis(5);

/// How long one answer may take. It takes 50 to 150 ms.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// A load under way.
pub(super) struct Load {
    stop: oneshot::Sender<()>,
    running: JoinSet<Vec<Outcome>>,
}

/// What became of one request: nothing but what is wrong with it.
pub(super) type Outcome = Result<(), String>;

impl Load {
    /// Begins to send. Half of the requests are events of 50 to 150 ms, half are bodies in chunks
    /// to be given back.
    pub(super) fn start(gateway: SocketAddr) -> Self {
        let (stop, stopped) = oneshot::channel();
        let mut running = JoinSet::new();
        running.spawn(send_until(gateway, stopped));
        Self { stop, running }
    }

    /// Stops sending, waits for what is under way, and tells what became of all requests.
    pub(super) async fn stop(mut self) -> Vec<Outcome> {
        self.stop.send(()).unwrap();
        self.running.join_next().await.unwrap().unwrap()
    }
}

async fn send_until(gateway: SocketAddr, mut stopped: oneshot::Receiver<()>) -> Vec<Outcome> {
    let began = Instant::now();
    let mut ticks = interval(INTERVAL);
    let mut under_way = JoinSet::new();
    let mut sent = Vec::new();
    for number in 0.. {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = &mut stopped => break,
        }
        under_way.spawn(async move {
            let asked = Instant::now();
            let what = match timeout(ANSWER_WITHIN, ask(gateway, number)).await {
                Ok(Ok(None)) => return Ok(()),
                Ok(Ok(Some(failure))) => failure,
                Ok(Err(error)) => format!("{error:?}"),
                Err(_) => "no answer".to_owned(),
            };
            let (at, after) = (asked.duration_since(began), asked.elapsed());
            Err(format!("sent at {at:.1?}, after {after:.1?}: {what}"))
        });
        while let Some(one) = under_way.try_join_next() {
            sent.push(one.unwrap());
        }
    }
    while let Some(one) = under_way.join_next().await {
        sent.push(one.unwrap());
    }
    sent
}

/// Sends one request on a connection of its own. Returns what is wrong with the answer.
async fn ask(gateway: SocketAddr, number: usize) -> Result<Option<String>, ClientError> {
    let body = prompt(2_000 + number % 7);
    let events = 10 + number % 20;
    let (request, expected) = if number.is_multiple_of(2) {
        let sent = completion(Deed::Events(events), Body::whole(body));
        (sent, EVENT.repeat(events).into())
    } else {
        (completion(Deed::Echo, Body::chunked(&body, 700)), body)
    };
    let mut connection = Connection::open(gateway, Protocol::Http1).await?;
    let answer = connection.send(request).await?.whole().await?;
    let status = answer.status.as_u16();
    if status != 200 {
        return Ok(Some(format!("status {status}")));
    }
    let (length, wanted) = (answer.body.len(), expected.len());
    Ok((answer.body != expected).then(|| format!("{length} bytes where {wanted} were due")))
}
