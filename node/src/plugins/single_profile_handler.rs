//! `single-profile-handler`: every request goes through the one scheduling profile there is.

use super::Plugin;

pub(super) const TYPE: &str = "single-profile-handler";

pub(super) fn build() -> Plugin {
    Plugin::SingleProfileHandler
}
