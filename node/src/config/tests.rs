//! What configurations mean, and what is said of those that mean nothing.

mod data_layer;

use super::*;
use crate::{
    command_line::{self, Environment, Invocation},
    plugins::{FileDiscovery, MetricsExtractor, MetricsSource, Parser, PrefixSettings},
    scheduling::Profile,
};

/// From the manual that the seed quotes, letter for letter.
const ISTIO_MANUAL: &str = "\
apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: queue-scorer
- type: kv-cache-utilization-scorer
- type: prefix-cache-scorer
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: queue-scorer
    weight: 2
  - pluginRef: kv-cache-utilization-scorer
    weight: 2
  - pluginRef: prefix-cache-scorer
    weight: 3
";

/// As the chart of the picker that Convoy replaces renders it by default.
const CHART: &str = "\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: queue-scorer
- type: kv-cache-utilization-scorer
- type: prefix-cache-scorer
- type: metrics-data-source
  parameters:
    scheme: \"http\"
    path: \"/metrics\"
    insecureSkipVerify: true
- type: core-metrics-extractor
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: queue-scorer
    weight: 2
  - pluginRef: kv-cache-utilization-scorer
    weight: 2
  - pluginRef: prefix-cache-scorer
    weight: 3
";

/// A configuration of the newer group with `rest`, which is YAML.
fn newer(rest: &str) -> String {
    format!("apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n{rest}")
}

fn loaded(text: &str) -> Result<Checked, String> {
    let said = |error: ConfigError| format!("{error}; {}", error.remedy());
    load(&Source::Text(text.to_owned()), &Overrides::default()).map_err(said)
}

#[track_caller]
fn checked(rest: &str) -> Checked {
    loaded(&newer(rest)).unwrap()
}

#[track_caller]
fn refused(rest: &str, expected: &str) {
    let refusal = loaded(&newer(rest)).unwrap_err();
    assert_eq!(refusal, format!("--config-text: {expected}"));
}

/// `filters | scorer*weight ... | picker`.
fn outline(checked: &Checked) -> String {
    let Profile { filters, scorers, picker, .. } = checked.scheduler.profile();
    let mut words: Vec<String> = filters.iter().map(|filter| filter.name.to_string()).collect();
    words.push("|".to_owned());
    words.extend(
        scorers
            .iter()
            .map(|weighted| format!("{}*{}", weighted.scorer.name, weighted.weight.get())),
    );
    words.push("|".to_owned());
    words.push(picker.name.to_string());
    words.join(" ")
}

const USUAL: &str =
    "| queue-scorer*2 kv-cache-utilization-scorer*2 prefix-cache-scorer*3 | max-score-picker";

#[test]
fn the_istio_manual_s_configuration_loads_letter_for_letter() {
    let checked = loaded(ISTIO_MANUAL).unwrap();
    assert_eq!(outline(&checked), USUAL);
    assert_eq!(checked.prefix, Some(PrefixSettings::default()));
    assert_eq!(checked.metrics, Some(MetricsReading::default()));
    assert_eq!(checked.parsers, [Parser::OpenAi, Parser::Passthrough]);
    assert!(!checked.report_served_endpoint);
    assert_eq!(checked.notices, [""; 0]);
}

#[test]
fn the_chart_s_configuration_and_the_built_in_one_mean_the_same() {
    for source in [Source::Text(CHART.to_owned()), Source::Text(String::new()), Source::BuiltIn] {
        let checked = load(&source, &Overrides::default()).unwrap();
        assert_eq!(outline(&checked), USUAL);
        assert_eq!(checked.metrics, Some(MetricsReading::default()));
        assert_eq!(checked.notices, [""; 0]);
    }
}

#[test]
fn the_manual_s_configuration_with_endpoints_from_a_file_needs_no_kubernetes() {
    let plugin = "- type: file-discovery\n  parameters: {path: /e.yaml, watchFile: true}\n";
    let text = ISTIO_MANUAL.replace("schedulingProfiles:", &format!("{plugin}schedulingProfiles:"));
    let discovery = |text: &str| loaded(text).unwrap().discovery;
    let file = FileDiscovery { path: "/e.yaml".into(), watch: true };
    let named = format!("{text}dataLayer:\n  discovery:\n    pluginRef: file-discovery\n");
    assert_eq!(discovery(&named), Discovery::File(file));

    let Discovery::Kubernetes { refusal } = discovery(&text) else { panic!("not named, yet used") };
    assert_eq!(
        format!("{refusal}; {}", refusal.problem.remedy()),
        "dataLayer.discovery.pluginRef: says nothing, so endpoints would come from Kubernetes, which \
         is not available yet; set it to file-discovery, which is declared under plugins"
    );
}

/// The blocks of YAML in the operator's guide: a configuration, and a list of endpoints.
fn guide() -> [&'static str; 2] {
    let text = include_str!("../../README.md");
    let mut blocks = text.split("```yaml\n").skip(1).filter_map(|block| block.split("```").next());
    [blocks.next().unwrap(), blocks.next().unwrap()]
}

#[test]
fn what_the_guide_shows_can_be_used() {
    let [configuration, endpoints] = guide();
    let checked = loaded(configuration).unwrap();
    assert!(checked.notices.is_empty(), "{:?}", checked.notices);
    assert_eq!(crate::discovery::file::list::parse(endpoints).unwrap().len(), 2);
}

#[test]
fn without_profiles_all_that_is_declared_takes_part() {
    let checked = checked(
        "plugins:\n- {type: queue-scorer, name: q}\n- type: random-picker\n\
         - type: header-based-testing-filter\n- type: single-profile-handler\n\
         - type: destination-endpoint-served-verifier",
    );
    assert_eq!(outline(&checked), "header-based-testing-filter | q*1 | random-picker");
    assert_eq!(checked.scheduler.profile().name, "default");
    assert!(checked.report_served_endpoint);
    assert_eq!(checked.prefix, None);
}

#[test]
fn without_anything_the_pick_is_random_among_equals() {
    assert_eq!(outline(&checked("")), "| | max-score-picker");
}

#[test]
fn a_scorer_without_a_weight_weighs_one_wherever_it_stands() {
    let profile = "plugins: [{type: queue-scorer}, {type: random-picker}, \
                   {type: lora-affinity-scorer}]\n\
                   schedulingProfiles: [{name: p, plugins: [{pluginRef: queue-scorer, weight: 0.5}, \
                   {pluginRef: random-picker}, {pluginRef: lora-affinity-scorer}]}]";
    let checked = checked(profile);
    assert_eq!(outline(&checked), "| queue-scorer*0.5 lora-affinity-scorer*1 | random-picker");
    assert_eq!(checked.scheduler.profile().name, "p");
}

#[test]
fn a_profile_without_a_picker_takes_the_declared_one() {
    let text = "plugins: [{type: queue-scorer}, {type: weighted-random-picker, name: w}]\n\
                schedulingProfiles: [{name: p, plugins: [{pluginRef: queue-scorer}]}]";
    assert_eq!(outline(&checked(text)), "| queue-scorer*1 | w");
}

#[test]
fn what_takes_no_part_in_a_pick_is_told_where_a_profile_names_it() {
    let text = "plugins: [{type: core-metrics-extractor}]\n\
                schedulingProfiles: [{name: p, plugins: [{pluginRef: core-metrics-extractor}]}]";
    assert_eq!(
        checked(text).notices,
        [
            "schedulingProfiles[0].plugins[0].pluginRef: plugin core-metrics-extractor takes no part \
          in a pick"
        ]
    );
}

#[test]
fn a_reference_that_leads_nowhere_is_named_with_its_path() {
    refused(
        "plugins: [{type: queue-scorer}]\n\
         schedulingProfiles: [{name: p, plugins: [{pluginRef: queue-scorer}, {pluginRef: que}]}]",
        "schedulingProfiles[0].plugins[1].pluginRef: \"que\" names no plugin; declare it under \
         plugins",
    );
    refused(
        "plugins: [{type: queue-scorer}]\n\
         schedulingProfiles: [{name: p, plugins: [{pluginRef: queue-scorre}]}]",
        "schedulingProfiles[0].plugins[0].pluginRef: \"queue-scorre\" names no plugin; declare it \
         under plugins, or did you mean queue-scorer?",
    );
    refused(
        "plugins: [{type: queue-scorer}]\ndataLayer: {discovery: {pluginRef: queue-scorer}}",
        "dataLayer.discovery.pluginRef: plugin \"queue-scorer\" is of type queue-scorer, not a \
         source of endpoints; name a plugin that is a source of endpoints",
    );
}

#[test]
fn plugins_are_named_once_and_of_known_types() {
    refused(
        "plugins: [{type: queue-scorer}, {type: lora-affinity-scorer, name: queue-scorer}]",
        "plugins[1]: \"queue-scorer\" already stands at plugins[0]; give each a name of its own",
    );
    refused(
        "plugins: [{name: q}]",
        "plugins[0].type: is missing; set it to a plugin's type, such as queue-scorer",
    );
    refused(
        "plugins: [{type: queue-scoer}]",
        "plugins[0].type: there is no plugin type queue-scoer; did you mean queue-scorer?",
    );
    refused(
        "plugins: [{type: no-hit-lru-scorer}]",
        "plugins[0].type: plugin type no-hit-lru-scorer of the picker that Convoy replaces is not \
         available in this version; remove it and every reference to it",
    );
    refused(
        "plugins: [{type: max-score-picker, parameters: {maxNumOfEndpoints: two}}]",
        "plugins[0].parameters.maxNumOfEndpoints: cannot be \"two\"; write a whole \
         number",
    );
}

#[test]
fn one_profile_with_one_picker_and_one_handler_is_the_most() {
    refused(
        "plugins: [{type: queue-scorer}]\n\
         schedulingProfiles: [{name: a}, {name: b}]",
        "schedulingProfiles[1]: a second profile, and single-profile-handler serves one; remove one \
         of them",
    );
    refused(
        "schedulingProfiles: [{name: a}, {name: a}]",
        "schedulingProfiles[1]: \"a\" already stands at schedulingProfiles[0]; give each a name of \
         its own",
    );
    refused(
        "plugins: [{type: random-picker}, {type: max-score-picker}]",
        "plugins[1]: a second picker; the first is at plugins[0]; remove one of them",
    );
    refused(
        "plugins: [{type: single-profile-handler}, {type: single-profile-handler, name: b}]",
        "plugins[1]: a second profile handler; the first is at plugins[0]; remove one of them",
    );
    refused(
        "schedulingProfiles: [{plugins: []}]",
        "schedulingProfiles[0].name: is missing; set it to the profile's name, such as default",
    );
}

#[test]
fn a_weight_is_a_number_of_sensible_size() {
    let weight = |weight: &str| {
        format!(
            "plugins: [{{type: queue-scorer}}]\nschedulingProfiles: [{{name: p, plugins: \
             [{{pluginRef: queue-scorer, weight: {weight}}}]}}]"
        )
    };
    assert_eq!(outline(&checked(&weight("-2"))), "| queue-scorer*-2 | max-score-picker");
    let path = "schedulingProfiles[0].plugins[0].weight";
    refused(&weight("heavy"), &format!("{path}: cannot be \"heavy\"; write a number"));
    let bounds = "a number from -1e9 to 1e9";
    refused(&weight("2e9"), &format!("{path}: cannot be 2000000000; write {bounds}"));
    for unbounded in [".nan", ".inf", "-.inf", "1e400"] {
        assert!(loaded(&newer(&weight(unbounded))).is_err(), "{unbounded}");
    }
    assert_eq!(checked(&weight("0")).notices, [""; 0]);
    assert_eq!(
        checked(&weight("-2")).notices,
        [
            "schedulingProfiles[0].plugins[0].pluginRef: queue-scorer has the negative weight -2, so the \
          better an endpoint scores the less it is wanted"
        ]
    );
}

#[test]
fn unknown_and_repeated_keys_are_refused() {
    refused(
        "schedulingProfile: []",
        "schedulingProfile: no such key; remove it, or did you mean schedulingProfiles?",
    );
    refused(
        "plugins: [{type: queue-scorer, parameter: {}}]",
        "plugins[0].parameter: no such key; remove it, or did you mean parameters?",
    );
    let twice = loaded(&newer("plugins: []\nplugins: []")).unwrap_err();
    assert!(twice.contains("duplicate") && twice.contains("line 4"), "{twice}");
}

#[test]
fn only_a_picker_configuration_is_one() {
    let said = |text: &str| loaded(text).unwrap_err();
    let either = "llm-d.ai/v1alpha1 or inference.networking.x-k8s.io/v1alpha1";
    assert_eq!(
        said("kind: EndpointPickerConfig\napiVersion: config.x-k8s.io/v1alpha1"),
        format!(
            "--config-text: apiVersion: cannot be \"config.x-k8s.io/v1alpha1\"; write {either}"
        )
    );
    assert_eq!(
        said("apiVersion: llm-d.ai/v1alpha1\nkind: ConfigMap"),
        "--config-text: kind: cannot be \"ConfigMap\"; write EndpointPickerConfig"
    );
    assert!(said("# nothing").contains("apiVersion: is missing"));
    assert!(said("- a list").contains("the document"));
}
