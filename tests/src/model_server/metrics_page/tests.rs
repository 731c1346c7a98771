//! Claims about the page.

use super::super::counters::Finish;
use super::super::engine::Request;
use super::super::settings::EngineSettings;
use super::super::tokens::{Chain, Tokens};
use super::*;

const VITALS: Vitals = Vitals {
    started: Duration::from_millis(1_700_000_000_250),
    uptime: Duration::from_secs(100),
    answered: 3,
    scrapes: 9,
};

fn settings() -> Settings {
    Settings { model: "m\"x".to_owned(), ..Settings::default() }
}

fn page(engine: &Engine) -> String {
    MetricsPage::new(&settings()).render(engine, &VITALS)
}

fn busy_engine() -> Engine {
    let mut engine = Engine::new(EngineSettings { running_max: 1, ..settings().engine });
    for adapter in [Some("fin"), None] {
        let request = Request {
            chain: Chain::new(&Tokens::of_text(&"a".repeat(200)), 16, 0),
            prompt_tokens: 50,
            output_tokens: 3,
            finish: Finish::Stop,
            adapter: adapter.map(Into::into),
            choices_asked: 1,
            max_tokens_asked: None,
        };
        engine.submit(request, Duration::from_secs(1));
    }
    engine.begin_step(Duration::from_secs(2)).unwrap();
    engine.end_step(Duration::from_secs(3), &mut Vec::new());
    engine
}

#[test]
fn the_page_is_of_real_size() {
    let bytes = page(&busy_engine()).len();
    assert!((36 << 10..48 << 10).contains(&bytes), "{bytes}");
}

#[test]
fn what_routing_reads_is_there() {
    let page = page(&busy_engine());
    for line in [
        "process_start_time_seconds 1.70000000025e+09",
        "vllm:num_requests_running{engine=\"0\",model_name=\"m\\\"x\"} 1.0",
        "vllm:num_requests_waiting{engine=\"0\",model_name=\"m\\\"x\"} 1.0",
        "vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"m\\\"x\"} 0.00048828125",
        "vllm:lora_requests_info{max_lora=\"4\",running_lora_adapters=\"fin\",\
         waiting_lora_adapters=\"\"} 1.70000000325e+09",
        "vllm:lora_requests_info{max_lora=\"4\",running_lora_adapters=\"\",\
         waiting_lora_adapters=\"fin\"} 1.70000000125e+09",
        "vllm:prefix_cache_queries_total{engine=\"0\",model_name=\"m\\\"x\"} 50.0",
        "vllm:time_to_first_token_seconds_bucket{engine=\"0\",le=\"1.0\",model_name=\"m\\\"x\"} 0.0",
        "vllm:time_to_first_token_seconds_bucket{engine=\"0\",le=\"2.5\",model_name=\"m\\\"x\"} 1.0",
        "vllm:time_to_first_token_seconds_bucket{engine=\"0\",le=\"+Inf\",model_name=\"m\\\"x\"} 1.0",
        "vllm:time_to_first_token_seconds_count{engine=\"0\",model_name=\"m\\\"x\"} 1.0",
    ] {
        assert!(page.lines().any(|seen| seen == line), "{line}");
    }
    let info = page.lines().find(|line| line.starts_with("vllm:cache_config_info{")).unwrap();
    assert!(info.contains("block_size=\"16\"") && info.contains("num_gpu_blocks=\"8193\""));
}

#[test]
fn every_line_is_a_comment_or_a_series_with_a_number_of_a_family_that_was_announced() {
    let page = page(&busy_engine());
    assert!(page.ends_with('\n'));
    let mut family = "";
    for line in page.lines() {
        if let Some(announced) = line.strip_prefix("# TYPE ") {
            family = announced.split(' ').next().unwrap();
        } else if !line.starts_with("# HELP ") {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(series.starts_with(family), "{line} after {family}");
            value.parse::<f64>().unwrap();
            assert_eq!(series.contains('{'), series.ends_with('}'), "{line}");
        }
    }
}

#[test]
fn without_adapters_there_is_no_family_for_them() {
    let mut settings = settings();
    settings.engine.max_loras = 0;
    let engine = Engine::new(settings.engine.clone());
    let page = MetricsPage::new(&settings).render(&engine, &VITALS);
    assert!(!page.contains("vllm:lora_requests_info"));
}

#[test]
fn numbers_are_written_as_pythons_client_writes_them() {
    let written = |value: f64| {
        let mut page = String::new();
        push_number(&mut page, value);
        page
    };
    assert_eq!(written(0.0), "0.0");
    assert_eq!(written(0.25), "0.25");
    assert_eq!(written(999_999.0), "999999.0");
    assert_eq!(written(1_000_000.0), "1e+06");
    assert_eq!(written(1_234_567.5), "1.2345675e+06");
    assert_eq!(written(1_700_000_000.25), "1.70000000025e+09");
}
