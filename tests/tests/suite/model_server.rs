//! Conversations with simulated model servers.

mod adapters;
mod answers;
mod faults;
mod process;
mod protocol;

use std::time::Duration;

use convoy_tests::conversations::{Answer, read_answer};
use convoy_tests::model_server::settings::Timing;
use convoy_tests::model_server::{ModelServer, Server, Settings, Statistics};
use convoy_tests::processes::eventually;
use http::Method;
use serde_json::Value;
use tokio::task::JoinSet;

/// Long enough for a busy machine, short beside a test's patience.
const SOON: Duration = Duration::from_secs(20);

/// A server in this process, which ends with this value.
struct Running {
    server: ModelServer,
    _task: JoinSet<()>,
}

/// Settings with which nothing takes time.
fn instant() -> Settings {
    let mut settings = Settings::default();
    settings.engine.timing = Timing {
        prefill_overhead: Duration::ZERO,
        prefill_per_token: Duration::ZERO,
        inter_token_latency: Duration::ZERO,
        decode_per_sequence: Duration::ZERO,
        adapter_load: Duration::ZERO,
    };
    settings
}

/// Settings with which an answer goes on for as long as anyone listens.
fn endless() -> Settings {
    let mut settings = instant();
    settings.engine.timing.inter_token_latency = Duration::from_millis(5);
    settings
}

impl Running {
    async fn start(settings: Settings) -> Self {
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), settings).await.unwrap();
        let address = server.address();
        let mut task = JoinSet::new();
        task.spawn(server.run());
        Self { server: ModelServer { address }, _task: task }
    }

    /// Posts `body`; any status is an answer.
    async fn post(&self, path: &str, body: &Value) -> convoy_tests::client::Whole {
        self.server.ask(Method::POST, path, body.to_string()).await.unwrap()
    }

    /// Posts `body` and reads the answer, which must be one.
    async fn answer(&self, path: &str, body: &Value) -> Answer {
        let whole = self.post(path, body).await;
        assert_eq!(whole.status, 200, "{:?}", whole.body);
        read_answer(&whole.body).unwrap()
    }

    async fn complete(&self, body: &Value) -> Answer {
        self.answer("/v1/completions", body).await
    }

    /// Waits until the server's statistics are as `wanted` says.
    async fn until(&self, what: &str, wanted: impl Fn(&Statistics) -> bool) -> Statistics {
        eventually(what, SOON, async || {
            self.server.statistics().await.ok().filter(|statistics| wanted(statistics))
        })
        .await
        .unwrap()
    }
}
