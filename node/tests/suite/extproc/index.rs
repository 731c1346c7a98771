//! The prefix index in the product: what picks teach it, how much it holds, and what makes it
//! forget.

use std::time::Duration;

use convoy_tests::{
    model_server::{Command, ModelServer, Server, Settings},
    processes::eventually,
};
use http::Method;
use tokio::task::JoinSet;

use super::{
    messages::{END, MORE, request_body, request_headers},
    picker::{Picker, SOON, Setup},
};

/// (block, endpoint) pairs held.
const SIZE: &str = "llm_d_epp_prefix_indexer_size";

/// The sum of the shares of prompts that picked endpoints were believed to hold.
const HITS: &str = "llm_d_epp_prefix_indexer_hit_ratio_sum";

/// A simulated model server in this process.
struct Engine {
    server: ModelServer,
    _task: JoinSet<()>,
}

impl Engine {
    async fn start(settings: Settings) -> Self {
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), settings).await.unwrap();
        let address = server.address();
        let mut task = JoinSet::new();
        task.spawn(server.run());
        Self { server: ModelServer { address }, _task: task }
    }

    /// Generates a token, so that its counters are not zero.
    async fn generate(&self) {
        let body = r#"{"prompt":"some words to be counted","max_tokens":1}"#;
        self.server.ask(Method::POST, "/v1/completions", body).await.unwrap();
    }

    /// Waits until the picker has read a page that was made after this was called.
    async fn is_read(&self) {
        let before = self.server.statistics().await.unwrap().scrapes;
        let read = eventually("the page to be read", SOON, async || {
            // One page may have been under way.
            (before + 1 < self.server.statistics().await.ok()?.scrapes).then_some(())
        });
        read.await.unwrap();
    }

    /// A picker of which this is the only endpoint.
    async fn picker(&self, flags: &[&str]) -> Picker {
        let address = self.server.address.to_string();
        let endpoints = &[&*address];
        Picker::start(Setup { endpoints, metrics_host: &address, flags, ..Setup::default() }).await
    }
}

/// Asks for a pick for a prompt of `blocks` blocks.
async fn ask(picker: &Picker, blocks: usize) {
    let gateway = picker.gateway().await;
    let prompt = "abcdefgh".repeat(blocks * 32);
    let body = format!(r#"{{"model":"m","prompt":"{prompt}"}}"#);
    let asked = [request_headers(&[("x-request-id", "1")], MORE), request_body(body, END)];
    gateway.ask(asked).answer().await;
}

/// Teaches the picker a prompt, has the engine restart, and expects that nothing is believed of it.
async fn check_forgets(engine: &Engine, picker: &Picker) {
    ask(picker, 10).await;
    picker.metric_becomes(SIZE, &[], 10.0).await;
    ask(picker, 10).await;
    picker.metric_becomes(HITS, &[], 1.0).await;
    engine.is_read().await;
    engine.server.command(&Command::RestartEmpty {}).await.unwrap();
    picker.metric_becomes(SIZE, &[], 0.0).await;
    ask(picker, 10).await;
    picker.metric_becomes("llm_d_epp_prefix_indexer_hit_ratio_count", &[], 3.0).await;
    picker.metric_becomes(HITS, &[], 1.0).await;
    picker.metric_becomes(SIZE, &[], 10.0).await;
}

#[tokio::test]
async fn an_engine_whose_counters_fell_is_believed_to_hold_nothing() {
    let engine = Engine::start(Settings::default()).await;
    engine.generate().await;
    let picker = engine.picker(&[]).await;
    check_forgets(&engine, &picker).await;
}

#[tokio::test]
async fn an_engine_that_tells_a_later_start_is_believed_to_hold_nothing() {
    let engine = Engine::start(Settings::default()).await;
    // Nothing was generated, so no counter falls. Starts that lie closer are taken for one.
    let old = eventually("the engine to be two seconds old", SOON, async || {
        let page = engine.server.metrics_page().await.ok()?;
        let cpu = convoy_tests::epp::metric(&page, "process_cpu_seconds_total");
        (0.37 * Duration::from_secs(2).as_secs_f64() < cpu).then_some(())
    });
    old.await.unwrap();
    let picker = engine.picker(&[]).await;
    check_forgets(&engine, &picker).await;
}

#[tokio::test]
async fn an_endpoint_that_the_list_gives_another_incarnation_is_believed_to_hold_nothing() {
    let engine = Engine::start(Settings::default()).await;
    let picker = engine.picker(&[]).await;
    ask(&picker, 10).await;
    picker.metric_becomes(SIZE, &[], 10.0).await;
    picker.list(&engine.server.address.to_string(), "2");
    picker.metric_becomes(SIZE, &[], 0.0).await;
    ask(&picker, 10).await;
    picker.metric_becomes(HITS, &[], 0.0).await;
}

#[tokio::test]
async fn the_index_holds_as_much_as_the_engine_says_that_its_cache_does() {
    let mut settings = Settings::default();
    // 20 blocks of 16 tokens are 5 of ours, of 64.
    settings.engine.blocks = 20;
    settings.engine.sequence_tokens_max = 256;
    let engine = Engine::start(settings).await;
    let picker = engine.picker(&[]).await;
    ask(&picker, 100).await;
    picker.metric_becomes(SIZE, &[], 5.0).await;
    ask(&picker, 100).await;
    picker.metric_becomes(HITS, &[], 0.05).await;
}
