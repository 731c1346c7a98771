//! How plugins are found and built.

use std::time::Duration;

use super::build;
use crate::plugins::{
    ApiGroup, CacheInfo, EngineMetrics, FileDiscovery, MetricSpec, MetricsExtractor, MetricsSource,
    Plugin, PrefixSettings, Scheme,
};

#[track_caller]
fn refused(plugin_type: &str, parameters: &str, expected: &str) {
    let message = build(plugin_type, parameters, ApiGroup::LlmD).unwrap_err();
    assert_eq!(message, expected);
}

#[test]
fn an_unknown_type_suggests_the_nearest() {
    let expected = "there is no plugin type que-scorer; did you mean queue-scorer?";
    refused("que-scorer", "", expected);
}

#[test]
fn a_type_that_only_the_replaced_picker_has_is_told_from_an_unknown_one() {
    let expected = "plugin type predicted-latency-producer of the picker that Convoy replaces is not \
                    available in this version; remove it and every reference to it";
    refused("predicted-latency-producer", "", expected);
}

#[test]
fn an_unknown_parameter_is_refused() {
    let expected = "maxNumEndpoints: no such key; remove it, or did you mean maxNumOfEndpoints?";
    refused("max-score-picker", "maxNumEndpoints: 2", expected);
    let expected = "threshold: no such key; remove it; no keys are taken here";
    refused("queue-scorer", "threshold: 2", expected);
}

#[test]
fn a_parameter_out_of_range_is_refused() {
    let expected = "matchLengthWeight: cannot be 1.5; write a number from 0 to 1";
    refused("prefix-cache-scorer", "matchLengthWeight: 1.5", expected);
    let expected = "matchLengthScaleTokens: cannot be 0; write a whole number from 1 on, since \
                    matchLengthWeight is not 0";
    let parameters = "{matchLengthWeight: 0.5, matchLengthScaleTokens: 0}";
    refused("prefix-cache-scorer", parameters, expected);
}

#[test]
fn a_plugin_that_blocks_is_not_built_unless_told_for_how_long() {
    let expected = "blocksAtMost: is missing; set it to a duration such as 10s, if this is a test of \
                    the watchdog; else remove the plugin";
    refused("blocking-testing-filter", "", expected);
    let built = build("blocking-testing-filter", "blocksAtMost: 10s", ApiGroup::LlmD);
    assert!(matches!(built, Ok(Plugin::Filter(_))), "{built:?}");
}

#[test]
fn file_discovery_needs_a_path() {
    let expected = "path: is missing; set it to the path of the file that lists the endpoints";
    refused("file-discovery", "", expected);
    let built = build("file-discovery", "{path: /e.yaml, watchFile: true}", ApiGroup::LlmD);
    let Ok(Plugin::FileDiscovery(found)) = built else { panic!("{built:?}") };
    assert_eq!(found, FileDiscovery { path: "/e.yaml".into(), watch: true });
}

#[track_caller]
fn source(parameters: &str) -> MetricsSource {
    match build("metrics-data-source", parameters, ApiGroup::LlmD) {
        Ok(Plugin::MetricsSource(source)) => source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_metrics_source_says_where_the_page_is() {
    assert_eq!(source(""), MetricsSource::default());
    let found =
        source("{scheme: https, path: /m, port: 9000, insecureSkipVerify: false, interval: 1s}");
    let expected = MetricsSource {
        scheme: Scheme::Https,
        path: "/m".to_owned(),
        port: Some(9000),
        insecure_skip_verify: false,
        interval: Some(Duration::from_secs(1)),
        ..MetricsSource::default()
    };
    assert_eq!(found, expected);
    assert_eq!(source("{interval: '', caCertPath: ''}"), MetricsSource::default());
}

#[test]
fn a_metrics_source_that_cannot_be_asked_is_refused() {
    let kind = "metrics-data-source";
    refused(kind, "scheme: ftp", "scheme: cannot be \"ftp\"; write http or https");
    refused(kind, "port: 0", "port: cannot be 0; write a port from 1 to 65535");
    refused(
        kind,
        "clientCertPath: /c",
        "clientKeyPath: is missing; set it to the key's path, since clientCertPath is set",
    );
}

#[track_caller]
fn extractor(parameters: &str) -> MetricsExtractor {
    match build("core-metrics-extractor", parameters, ApiGroup::LlmD) {
        Ok(Plugin::MetricsExtractor(extractor)) => extractor,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_endpoints_label_tells_its_engine() {
    let extractor = extractor("defaultEngine: sglang");
    let waiting = |label: &str, engine: &str| {
        let labels = [(label.to_owned(), engine.to_owned())].into();
        extractor.engine_of(&labels)?.waiting_requests.as_ref().map(|spec| spec.name.clone())
    };
    let trtllm = Some("trtllm_num_requests_waiting".to_owned());
    assert_eq!(waiting("llm-d.ai/engine-type", "trtllm-serve"), trtllm);
    assert_eq!(waiting("inference.networking.k8s.io/engine-type", "trtllm-serve"), trtllm);
    let sglang = Some("sglang:num_queue_reqs".to_owned());
    assert_eq!(waiting("llm-d.ai/engine-type", "unheard-of"), sglang);
    assert_eq!(waiting("app", "trtllm-serve"), sglang);
}

#[test]
fn a_configured_engine_replaces_the_known_one_whole() {
    let extractor = extractor(
        "{engineLabelKey: my/engine, engineConfigs: [{name: vllm, queuedRequestsSpec: 'q{a=b}', \
         cacheInfoSpec: c, cacheNumBlocksLabelName: n}]}",
    );
    let spec = |text| MetricSpec::from_text(text).unwrap();
    let expected = EngineMetrics {
        waiting_requests: Some(spec("q{a=b}")),
        cache: CacheInfo::Labels {
            series: spec("c"),
            block_tokens_label: "block_size".to_owned(),
            blocks_label: "n".to_owned(),
        },
        ..EngineMetrics::default()
    };
    assert_eq!(extractor.engine_labels, ["my/engine"]);
    assert_eq!(extractor.engine_of(&[].into()), Some(&expected));
}

#[test]
fn engines_that_make_no_sense_are_refused() {
    refused(
        "core-metrics-extractor",
        "defaultEngine: vlm",
        "defaultEngine: cannot be \"vlm\"; write an engine that is known (did you mean vllm?)",
    );
    refused(
        "core-metrics-extractor",
        "engineConfigs: [{name: mine, kvUsageSpec: '1x'}]",
        "engineConfigs[0].kvUsageSpec: cannot be \"1x\"; write a metric, as name or name{label=value}",
    );
    refused(
        "core-metrics-extractor",
        "engineConfigs: [{queuedRequestsSpec: q}]",
        "engineConfigs[0].name: is missing; set it to the engine's name, such as vllm",
    );
}

/// Rows are `(parameters, block tokens, chain blocks, endpoint blocks, capacity from engine)`.
#[track_caller]
fn check_prefix(parameters: &str, expected: (u32, Option<u32>, u32, bool), notices: usize) {
    let built = build("approx-prefix-cache-producer", parameters, ApiGroup::LlmD);
    let Ok(Plugin::PrefixProducer(built)) = built else { panic!("{built:?}") };
    assert_eq!(fields(built.settings), expected, "{parameters}");
    assert_eq!(built.notices.len(), notices, "{:?}", built.notices);
}

fn fields(settings: PrefixSettings) -> (u32, Option<u32>, u32, bool) {
    let PrefixSettings {
        block_tokens,
        chain_blocks_max,
        endpoint_blocks_max,
        capacity_from_engine,
    } = settings;
    (block_tokens, chain_blocks_max, endpoint_blocks_max, capacity_from_engine)
}

#[test]
fn a_block_is_64_tokens_unless_a_longer_one_is_configured() {
    check_prefix("", (64, Some(2048), 31_250, true), 0);
    assert_eq!(PrefixSettings::default().block_bytes(), 256);
    check_prefix("blockSizeTokens: 16", (64, Some(2048), 31_250, true), 1);
    check_prefix("blockSizeTokens: 128", (128, Some(1024), 31_250, true), 0);
    check_prefix("{blockSizeTokens: 16, blockSize: 256}", (256, Some(512), 31_250, true), 1 + 1);
}

#[test]
fn a_bound_in_tokens_goes_before_one_in_blocks() {
    check_prefix("maxPrefixTokensToMatch: 6400", (64, Some(100), 31_250, true), 0);
    check_prefix("maxPrefixBlocksToMatch: 9", (64, Some(2048), 31_250, true), 1);
    let blocks = "{maxPrefixTokensToMatch: 0, maxPrefixBlocksToMatch: 9}";
    check_prefix(blocks, (64, Some(9), 31_250, true), 0);
    let none = "{maxPrefixTokensToMatch: 0, maxPrefixBlocksToMatch: 0}";
    check_prefix(none, (64, None, 31_250, true), 0);
    check_prefix("maxPrefixTokensToMatch: 1", (64, Some(1), 31_250, true), 0);
}

#[test]
fn capacity_comes_from_the_engine_unless_tuning_is_off() {
    let off = "{autoTune: false, blockSizeTokens: 64, lruCapacityPerServer: 500}";
    check_prefix(off, (64, Some(2048), 500, false), 0);
    refused(
        "approx-prefix-cache-producer",
        "{autoTune: false, blockSizeTokens: 0}",
        "blockSizeTokens: cannot be 0; write 1 or more, since autoTune is off",
    );
}

#[track_caller]
fn older(parameters: &str) -> Option<(u32, Option<u32>, u32, bool)> {
    match build("prefix-cache-scorer", parameters, ApiGroup::GatewayApiExtension) {
        Ok(Plugin::PrefixScorer(built)) => built.index.map(|index| fields(index.settings)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_older_group_takes_the_index_parameters_under_the_scorer() {
    assert_eq!(older(""), None);
    let parameters = "{hashBlockSize: 5, maxPrefixBlocksToMatch: 256, lruCapacityPerServer: 31250}";
    assert_eq!(older(parameters), Some((64, Some(256), 31_250, true)));
    assert_eq!(older("blockSize: 1024"), Some((256, Some(512), 31_250, true)));
    assert_eq!(older("autoTune: false"), Some((64, Some(2048), 31_250, false)));
    let message = build("prefix-cache-scorer", parameters, ApiGroup::LlmD).unwrap_err();
    assert!(message.starts_with("hashBlockSize: no such key"), "{message}");
}
