//! What a replica says of itself when it serves: enough to tell from one line which it is, and how
//! it was told to pick.

use std::fmt::Write as _;

use super::ports::Addresses;
use crate::{
    command_line::{Pool, ResponseObservation, Settings, Tls},
    config::Checked,
    scheduling::Profile,
    server::tls::CertificateSource,
    version,
};

/// The words of the line.
#[derive(Debug)]
pub(super) struct Summary {
    pool: Pool,
    configuration: String,
    profile: String,
    /// Names with weights, such as `queue-scorer*2, prefix-cache-scorer*3`.
    scorers: String,
    picker: String,
    tls: String,
    response_observation: String,
}

impl Summary {
    pub(super) fn new(settings: &Settings, checked: &Checked) -> Self {
        let profile = checked.scheduler.profile();
        Self {
            pool: settings.pool.clone(),
            configuration: settings.configuration.to_string(),
            profile: profile.name.clone(),
            scorers: scorers(profile),
            picker: profile.picker.name.to_string(),
            tls: tls(settings.serving.tls.as_ref()),
            response_observation: observation(settings.response_observation),
        }
    }

    pub(super) fn say(&self, Addresses { extproc, health, metrics }: Addresses) {
        let Self { pool, configuration, profile, scorers, picker, tls, .. } = self;
        tracing::info!(
            %extproc, %health, %metrics,
            version = version::VERSION,
            commit = version::COMMIT,
            pool = pool.name.as_deref().unwrap_or_default(),
            namespace = pool.namespace,
            configuration, profile, scorers, picker, tls,
            response_observation = self.response_observation,
            "serving"
        );
    }
}

fn scorers(profile: &Profile) -> String {
    let mut text = String::new();
    for weighted in &profile.scorers {
        let comma = if text.is_empty() { "" } else { ", " };
        let (name, weight) = (&weighted.scorer.name, weighted.weight.get());
        write!(text, "{comma}{name}*{weight}").expect("writing to a string cannot fail");
    }
    text
}

fn tls(tls: Option<&Tls>) -> String {
    match tls.map(|tls| &tls.certificate) {
        None => "off".to_owned(),
        Some(CertificateSource::SelfSigned) => "self-signed".to_owned(),
        Some(CertificateSource::Directory(path)) => path.display().to_string(),
    }
}

fn observation(observation: ResponseObservation) -> String {
    match observation {
        ResponseObservation::Full => "full".to_owned(),
        ResponseObservation::Off => "off".to_owned(),
        ResponseObservation::Some(share) => share.get().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        command_line::{Environment, Invocation, parse},
        config,
    };

    fn summary(arguments: &[&str]) -> Summary {
        let invocation = parse(arguments.iter().map(Into::into), &Environment::default());
        let Ok(Invocation::Run(settings)) = invocation else { panic!("{invocation:?}") };
        let checked = config::load(&settings.configuration, &settings.scraping.overrides).unwrap();
        Summary::new(&settings, &checked)
    }

    #[test]
    fn the_usual_is_said_in_full() {
        let summary = summary(&["--pool-name=x", "--pool-namespace=y"]);
        assert_eq!((summary.pool.name.as_deref(), &*summary.pool.namespace), (Some("x"), "y"));
        assert_eq!(summary.configuration, "the built-in configuration");
        assert_eq!(summary.profile, "default");
        let scorers = "queue-scorer*2, kv-cache-utilization-scorer*2, prefix-cache-scorer*3";
        assert_eq!(summary.scorers, scorers);
        assert_eq!(summary.picker, "max-score-picker");
        assert_eq!((&*summary.tls, &*summary.response_observation), ("self-signed", "full"));
    }

    #[test]
    fn what_was_asked_for_is_said() {
        let asked = ["--cert-path=/certificates", "--response-observation=0.25"];
        let said = summary(&asked);
        assert_eq!((&*said.tls, &*said.response_observation), ("/certificates", "0.25"));
        assert_eq!(summary(&["--secure-serving=false"]).tls, "off");
    }
}
