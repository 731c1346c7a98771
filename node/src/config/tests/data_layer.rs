//! Parsers, metrics, the prefix index, files, and flags of older releases.

use super::*;

#[test]
fn parts_that_are_not_here_yet_are_told_from_unknown_ones() {
    let not_yet = "a part of the picker that Convoy replaces that is not available in this version";
    refused(
        "flowControl: {maxRequests: 5}",
        &format!("flowControl: {not_yet}; remove it; requests are not queued"),
    );
    refused(
        "featureGates: [dataLayer, flowControl]",
        &format!("featureGates[1]: {not_yet}; remove it; requests are not queued"),
    );
    assert_eq!(checked("featureGates: ['flowControl=false', dataLayer]").notices, [""; 0]);
    refused(
        "featureGates: [flowcontrol]",
        "featureGates[0]: there is no feature gate \"flowcontrol\"; remove it, or did you mean \
         flowControl?",
    );
    refused(
        "featureGates: ['dataLayer=on']",
        "featureGates[0]: cannot be dataLayer=on; write dataLayer=true or dataLayer=false",
    );
}

#[test]
fn parsers_are_asked_in_their_order_and_need_no_declaration() {
    let parsers = |rest: &str| checked(rest).parsers;
    let text = "plugins: [{type: openai-parser, name: o}]\n\
                requestHandler: {parsers: [{pluginRef: passthrough-parser}, {pluginRef: o}]}";
    assert_eq!(parsers(text), [Parser::Passthrough, Parser::OpenAi]);
    assert_eq!(parsers("parser: {pluginRef: openai-parser}"), [Parser::OpenAi]);
    refused(
        "requestHandler: {parsers: [{pluginRef: vllmgrpc-parser}]}",
        "requestHandler.parsers[0].pluginRef: plugin type vllmgrpc-parser of the picker that Convoy \
         replaces is not available in this version; remove it and every reference to it",
    );
    refused(
        "requestHandler: {parsers: [{pluginRef: queue-scorer}]}",
        "requestHandler.parsers[0].pluginRef: \"queue-scorer\" names no plugin; declare it under \
         plugins",
    );
}

const NAMED_METRICS: &str = "plugins: [{type: metrics-data-source, name: s, parameters: {port: 9}}, \
                             {type: core-metrics-extractor, name: e, parameters: \
                             {defaultEngine: sglang}}]\n";

#[test]
fn declared_metrics_plugins_are_used_whatever_their_names() {
    let expected = MetricsReading {
        source: MetricsSource { port: Some(9), ..MetricsSource::default() },
        extractor: MetricsExtractor {
            default_engine: "sglang".to_owned(),
            ..MetricsExtractor::default()
        },
    };
    let sources = "dataLayer: {sources: [{pluginRef: s, extractors: [{pluginRef: e}]}]}";
    for layer in ["", sources, "dataLayer: {injectDefaults: true}"] {
        let metrics = checked(&format!("{NAMED_METRICS}{layer}")).metrics;
        assert_eq!(metrics.as_ref(), Some(&expected), "{layer}");
    }
}

#[test]
fn metrics_can_be_left_unread() {
    let checked = checked("dataLayer: {injectDefaults: false}");
    assert_eq!(checked.metrics, None);
    assert_eq!(checked.notices, ["no metrics are read, so every load is unknown"]);
}

#[test]
fn a_second_source_of_metrics_is_refused() {
    refused(
        "plugins: [{type: metrics-data-source}, {type: metrics-data-source, name: b}]",
        "plugins[1]: a second metrics-data-source; the first is at plugins[0]; remove one of them",
    );
    refused(
        &format!("{NAMED_METRICS}dataLayer: {{sources: [{{pluginRef: e}}]}}"),
        "dataLayer.sources[0].pluginRef: plugin \"e\" is of type core-metrics-extractor, not a \
         source of metrics; name a plugin that is a source of metrics",
    );
}

#[test]
fn the_index_is_kept_as_its_producer_says() {
    let text = "plugins: [{type: prefix-cache-scorer, parameters: {prefixMatchInfoProducerName: p}}, \
                {type: approx-prefix-cache-producer, name: p, parameters: {blockSizeTokens: 32, \
                maxPrefixTokensToMatch: 6400}}]";
    let checked = checked(text);
    let expected = PrefixSettings { chain_blocks_max: Some(100), ..PrefixSettings::default() };
    assert_eq!(checked.prefix, Some(expected));
    assert_eq!(
        checked.notices,
        ["plugins[1].parameters: blocks of 32 tokens are raised to the least, 64"]
    );
    refused(
        "plugins: [{type: prefix-cache-scorer, parameters: {prefixMatchInfoProducerName: precise}}]",
        "plugins[0].parameters.prefixMatchInfoProducerName: \"precise\" names no plugin; declare it \
         under plugins",
    );
}

#[test]
fn the_older_group_may_say_it_under_the_scorer_but_not_twice() {
    let older = |rest: &str| ISTIO_MANUAL.replace("plugins:\n- type: queue-scorer", rest);
    let scorer = "plugins:\n- {type: prefix-cache-scorer, name: x, parameters: \
                  {hashBlockSize: 512, maxPrefixBlocksToMatch: 100, lruCapacityPerServer: 7}}\n";
    let expected = PrefixSettings {
        block_tokens: 128,
        chain_blocks_max: Some(100),
        endpoint_blocks_max: 7,
        capacity_from_engine: true,
    };
    let once = older(&format!("{scorer}- type: queue-scorer"));
    assert_eq!(loaded(&once).unwrap().prefix, Some(expected));
    let twice =
        older(&format!("{scorer}- type: approx-prefix-cache-producer\n- type: queue-scorer"));
    assert_eq!(
        loaded(&twice).unwrap_err(),
        "--config-text: plugins[1].parameters: parameters of the prefix index, which plugins[0] \
         sets, too; set them in one place"
    );
}

fn overrides(arguments: &[&str]) -> Overrides {
    let arguments = arguments.iter().map(Into::into);
    match command_line::parse(arguments, &Environment::default()) {
        Ok(Invocation::Run(settings)) => settings.scraping.overrides,
        other => panic!("{other:?}"),
    }
}

#[test]
fn flags_of_older_releases_change_what_is_read() {
    let overrides = overrides(&[
        "--model-server-metrics-port=9400",
        "--model-server-metrics-path=/m",
        "--kv-cache-usage-percentage-metric=vllm:gpu_cache_usage_perc",
        "--lora-info-metric=",
    ]);
    let checked = load(&Source::Text(ISTIO_MANUAL.to_owned()), &overrides).unwrap();
    let MetricsReading { source, extractor } = checked.metrics.unwrap();
    assert_eq!((source.port, source.path.as_str()), (Some(9400), "/m"));
    let vllm = extractor.engine_of(&[].into()).unwrap();
    assert_eq!(vllm.kv_used_ratio.len(), 1);
    assert_eq!(vllm.kv_used_ratio[0].name, "vllm:gpu_cache_usage_perc");
    assert_eq!(vllm.lora, None);
    assert!(vllm.waiting_requests.is_some());
}

#[test]
fn a_flag_and_a_plugin_that_say_the_same_contradict_each_other() {
    let said = |arguments: &[&str]| {
        let loaded = load(&Source::Text(CHART.to_owned()), &overrides(arguments));
        let error = loaded.unwrap_err();
        format!("{error}; {}", error.remedy())
    };
    assert_eq!(
        said(&["--model-server-metrics-port=9400"]),
        "--config-text: plugins[3]: contradicts flag --model-server-metrics-port; say it in one \
         place: remove --model-server-metrics-port, or this plugin"
    );
    assert!(said(&["--cache-info-metric="]).contains("plugins[4]: contradicts"));
}

#[test]
fn a_file_is_named_in_what_is_said_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("plugins.yaml");
    let said = |path: &PathBuf| {
        load(&Source::File(path.clone()), &Overrides::default()).unwrap_err().to_string()
    };
    assert_eq!(said(&path), format!("cannot read {}", path.display()));
    fs::write(&path, newer("plugins: 5")).unwrap();
    assert_eq!(said(&path), format!("{}: plugins: cannot be 5", path.display()));
    fs::write(&path, "#".repeat(2 << 20)).unwrap();
    assert!(said(&path).contains("2097152 bytes long"), "{}", said(&path));
    fs::write(&path, ISTIO_MANUAL).unwrap();
    assert!(load(&Source::File(path), &Overrides::default()).is_ok());
}
