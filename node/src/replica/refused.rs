//! Why a replica cannot have its endpoints, and what helps.

use crate::config::{Invalid, Source};

/// The configuration asks for endpoints from where this version cannot get them.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryRefused {
    #[error(
        "no --config-file was given, and the built-in configuration takes endpoints from \
         Kubernetes, which is not available yet"
    )]
    BuiltIn,
    #[error("{origin}: {refusal}")]
    Written { origin: String, refusal: Invalid },
}

impl DiscoveryRefused {
    pub(super) fn new(source: &Source, refusal: &Invalid) -> Self {
        match source {
            Source::BuiltIn => Self::BuiltIn,
            Source::File(_) | Source::Text(_) => {
                Self::Written { origin: source.to_string(), refusal: refusal.clone() }
            }
        }
    }

    /// What to write instead.
    pub(super) fn remedy(&self) -> String {
        match self {
            Self::BuiltIn => {
                "give --config-file a configuration that declares a plugin of type file-discovery \
                 and names it as dataLayer.discovery.pluginRef"
                    .to_owned()
            }
            Self::Written { refusal, .. } => refusal.problem.remedy(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Discovery, Overrides, load};

    fn refused(source: &Source) -> (String, String) {
        let checked = load(source, &Overrides::default()).unwrap();
        let Discovery::Kubernetes { refusal } = checked.discovery else { panic!("a file") };
        let refused = DiscoveryRefused::new(source, &refusal);
        (refused.to_string(), refused.remedy())
    }

    #[test]
    fn without_a_file_it_is_said_that_none_was_given() {
        let (said, remedy) = refused(&Source::BuiltIn);
        assert!(said.starts_with("no --config-file was given"), "{said}");
        assert!(remedy.starts_with("give --config-file"), "{remedy}");
    }

    #[test]
    fn a_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("picker.yaml");
        let text = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins: []\n";
        std::fs::write(&path, text).unwrap();
        let (said, remedy) = refused(&Source::File(path.clone()));
        let place = format!("{}: dataLayer.discovery.pluginRef: ", path.display());
        assert!(said.starts_with(&place), "{said}");
        assert!(remedy.starts_with("declare a plugin of type file-discovery"), "{remedy}");
    }
}
