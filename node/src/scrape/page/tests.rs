//! Metrics pages of real engines, and of none.

use std::fmt::Write as _;

use super::*;
use crate::plugins::{EngineMetrics, MetricSpec, MetricsExtractor};

mod naive;

fn wanted(engine: &str) -> Wanted {
    Wanted::new(&MetricsExtractor::default().engines[engine])
}

fn vllm(page: &str) -> Page {
    read(page.as_bytes(), &wanted("vllm"))
}

#[test]
fn reads_a_page_as_vllm_writes_it() {
    let page = vllm(
        r#"# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1.72345678901e+09
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="meta-llama/Llama-3.1-8B"} 7.0
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="meta-llama/Llama-3.1-8B"} 1234.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="meta-llama/Llama-3.1-8B"} 3.0
# TYPE vllm:num_requests_waiting_by_reason gauge
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 99.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="meta-llama/Llama-3.1-8B"} 0.25
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="16",cache_dtype="auto",num_gpu_blocks="27546",x="a\"b"} 1.0
# TYPE vllm:lora_requests_info gauge
vllm:lora_requests_info{max_lora="2",running_lora_adapters="a,b",waiting_lora_adapters="c"} 1.7e9
"#,
    );
    assert_eq!(
        page,
        Page {
            load: Load {
                waiting_requests: Some(3),
                running_requests: Some(7),
                kv_used_ratio: Some(0.25),
                lora: Some(Arc::new(LoraAdapters {
                    running: vec!["a".into(), "b".into()],
                    waiting: vec!["c".into()],
                    adapters_max: 2,
                })),
                cache_block_tokens: Some(16),
                cache_blocks: Some(27546),
                process_start_s: Some(1_723_456_789.01),
                lifetime_tokens: Some(1234.0),
            },
            found: 5,
            missing: 0,
            garbage_lines: 0,
        }
    );
}

#[test]
fn reads_every_built_in_engine() {
    let rows = [
        (
            "sglang",
            "sglang:num_queue_reqs 4\nsglang:num_running_reqs 5\nsglang:token_usage 0.5\n\
             sglang:cache_config_info{page_size=\"8\",num_pages=\"100\"} 1\n",
        ),
        (
            "trtllm-serve",
            "trtllm_num_requests_waiting 4\ntrtllm_num_requests_running 5\n\
             trtllm_kv_cache_utilization 0.5\ntrtllm_kv_cache_tokens_per_block 8\n\
             trtllm_kv_cache_max_blocks 100\n",
        ),
        (
            "triton-tensorrt-llm",
            "nv_trt_llm_request_metrics{model=\"m\",request_type=\"context\"} 1\n\
             nv_trt_llm_request_metrics{model=\"m\",request_type=\"waiting\"} 4\n\
             nv_trt_llm_request_metrics{model=\"m\",request_type=\"scheduled\"} 5\n\
             nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"fraction\"} 0.5\n\
             nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"tokens_per\"} 8\n\
             nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"max\"} 100\n",
        ),
    ];
    for (engine, page) in rows {
        let page = read(page.as_bytes(), &wanted(engine));
        let expected = Load {
            waiting_requests: Some(4),
            running_requests: Some(5),
            kv_used_ratio: Some(0.5),
            cache_block_tokens: Some(8),
            cache_blocks: Some(100),
            ..Load::default()
        };
        assert_eq!((page.load, page.missing), (expected, 0), "{engine}");
    }
    let triton = "# TYPE nv_inference_exec_count counter\nnv_inference_exec_count{model=\"m\"} 5\n\
                  nv_inference_pending_request_count{model=\"m\"} 4\n";
    let page = read(triton.as_bytes(), &wanted("triton"));
    assert_eq!(page.load.waiting_requests, Some(4));
    assert_eq!(page.load.running_requests, Some(5));
    assert_eq!(page.missing, 0);
}

#[test]
fn the_newest_sample_counts_and_the_first_of_equals() {
    let waiting = |lines: &str| vllm(lines).load.waiting_requests;
    let name = "vllm:num_requests_waiting";
    assert_eq!(waiting(&format!("{name}{{e=\"0\"}} 1\n{name}{{e=\"1\"}} 2\n")), Some(1));
    assert_eq!(waiting(&format!("{name} 1 100\n{name} 2 200\n{name} 3 200\n")), Some(2));
    assert_eq!(waiting(&format!("{name} 1\n{name} 2 5\n{name} 3 -5\n")), Some(2));
}

#[test]
fn what_no_load_can_be_is_unknown() {
    for value in ["NaN", "-1", "+Inf", "-Inf", "1e300", "4294967296"] {
        let page = vllm(&format!("vllm:num_requests_waiting {value}\n"));
        assert_eq!(page.load.waiting_requests, None, "{value}");
        assert_eq!(page.garbage_lines, 0, "{value}");
    }
    for (value, expected) in [
        ("NaN", None),
        ("-0.1", None),
        ("+Inf", None),
        ("0", Some(0.0)),
        ("1.0000001", Some(1.0)),
        ("2.5e-1", Some(0.25)),
    ] {
        let page = vllm(&format!("vllm:kv_cache_usage_perc {value}\n"));
        assert_eq!(page.load.kv_used_ratio, expected, "{value}");
    }
    assert_eq!(vllm("vllm:num_requests_waiting 3.9\n").load.waiting_requests, Some(3));
}

#[test]
fn the_old_name_of_the_kv_share_is_read_where_the_current_one_is_absent() {
    let old = "vllm:gpu_cache_usage_perc 0.75\n";
    assert_eq!(vllm(old).load.kv_used_ratio, Some(0.75));
    assert_eq!(vllm(&format!("{old}vllm:kv_cache_usage_perc 0.5\n")).load.kv_used_ratio, Some(0.5));
    let without = vllm("vllm:num_requests_waiting 0\n").missing;
    assert_eq!(vllm(&format!("vllm:num_requests_waiting 0\n{old}")).missing, without - 1);
}

#[test]
fn the_youngest_adapters_count_and_an_idle_sample_ranks_last() {
    let line = |running: &str, waiting: &str, at: &str| {
        format!(
            "vllm:lora_requests_info{{max_lora=\"4\",running_lora_adapters=\"{running}\",\
             waiting_lora_adapters=\"{waiting}\"}} {at}\n"
        )
    };
    let read = |lines: &[String]| {
        let lora = vllm(&lines.concat()).load.lora.unwrap();
        (lora.running.join("+"), lora.waiting.join("+"), lora.adapters_max)
    };
    let idle = line("", "", "900");
    assert_eq!(read(std::slice::from_ref(&idle)), (String::new(), String::new(), 4));
    let old = line("a", "", "100");
    let young = line("b, c,,", "d", "200");
    for lines in [[&old, &young, &idle], [&idle, &young, &old], [&young, &idle, &old]] {
        let expected = ("b+c".to_owned(), "d".to_owned(), 4);
        assert_eq!(read(&lines.map(String::clone)), expected, "{lines:?}");
    }
}

#[test]
fn more_adapters_than_an_engine_can_hold_are_cut_and_cost_no_more_than_their_page() {
    let names = "a,".repeat(1_000_000);
    let mut page = format!("vllm:lora_requests_info{{running_lora_adapters=\"{names}\"}} 2\n");
    for _ in 0..50_000 {
        page += "vllm:lora_requests_info{running_lora_adapters=\"b\"} 1\n";
    }
    let begun = crate::clock::now();
    assert_eq!(vllm(&page).load.lora.unwrap().running.len(), 4096);
    // Walking the first line again for each of the others took minutes.
    assert!(begun.elapsed() < std::time::Duration::from_secs(10));
}

#[test]
fn a_cache_that_is_not_laid_out_is_unknown() {
    let page = vllm("vllm:cache_config_info{block_size=\"0\",num_gpu_blocks=\"None\"} 1\n");
    assert_eq!(page.load.cache_block_tokens, None);
    assert_eq!(page.load.cache_blocks, None);
}

#[test]
fn a_family_without_single_numbers_is_not_read() {
    let summary = "# TYPE vllm:num_requests_waiting summary\n\
                   vllm:num_requests_waiting{quantile=\"0.5\"} 4\n";
    assert_eq!(vllm(summary).load.waiting_requests, None);
    assert_eq!(vllm(summary).found, 0);
}

#[test]
fn reads_open_metrics_and_odd_spacing() {
    let page = vllm(
        "  vllm:num_requests_waiting  { engine = \"0\" , } \t 3 1.5e3 # {trace=\"x\"} 1 2\r\n\
         # UNIT vllm:num_requests_running requests\n\
         vllm:num_requests_running\t4 # {} 1\n\
         {\"quoted.name\",a=\"b\"} 4\n\
         \r\n\
         # EOF",
    );
    assert_eq!(page.load.waiting_requests, Some(3));
    assert_eq!(page.load.running_requests, Some(4));
    assert_eq!(page.garbage_lines, 0);
}

#[test]
fn garbage_is_counted_and_harms_no_other_line() {
    let page = vllm(
        "<html>\n\
         \u{0}\n\
         vllm:num_requests_waiting\n\
         vllm:num_requests_waiting \n\
         vllm:num_requests_waiting x\n\
         vllm:num_requests_waiting 1 x\n\
         vllm:num_requests_waiting 1 2 3\n\
         vllm:num_requests_waiting{ 1\n\
         vllm:num_requests_waiting{a=b} 1\n\
         vllm:num_requests_waiting{a=\"b} 1\n\
         vllm:num_requests_waiting{a=\"b\"c=\"d\"} 1\n\
         vllm:num_requests_waiting 2\n",
    );
    assert_eq!(page.load.waiting_requests, Some(2));
    // The third line has no byte behind its name, so it is not taken for the family's.
    assert_eq!(page.garbage_lines, 10);
}

#[test]
fn escapes_in_labels_are_undone_before_they_are_compared() {
    let engine = EngineMetrics {
        waiting_requests: MetricSpec::from_text("m{a=x\\y}"),
        ..EngineMetrics::default()
    };
    let wanted = Wanted::new(&engine);
    let page = read(b"m{b=\"}{,\\\"\",a=\"x\\\\y\"} 1\nm{a=\"x\"} 2 9\n", &wanted);
    assert_eq!(page.load.waiting_requests, Some(1));
}

#[test]
fn a_page_of_nothing_wanted_tells_nothing() {
    let mut page = String::new();
    for bucket in 0..1000 {
        writeln!(page, "vllm:e2e_request_latency_seconds_bucket{{le=\"{bucket}\"}} 1").unwrap();
    }
    assert_eq!(vllm(&page).found, 0);
    assert_eq!(vllm(&page).load, Load::default());
}
