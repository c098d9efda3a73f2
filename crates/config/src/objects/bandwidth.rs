//! `bandwidth`, and the references of virtual servers and pools to its classes.

use std::{num::NonZeroU32, sync::Arc};

use tidegate_model::{BandwidthClass, BandwidthName, Configuration, bandwidth::Sharing};

use super::{Reader, readers};
use crate::{diagnostic::Report, merge::Merged};

/// Builds the bandwidth classes.
pub(crate) fn build(merged: &Merged, configuration: &mut Configuration) {
    for reader in readers(merged, "bandwidth") {
        let class = BandwidthClass {
            name: reader.name().into(),
            // The schema lets no 0 through.
            maximum: NonZeroU32::new(reader.number("basic", "maximum"))
                .unwrap_or(BandwidthClass::DEFAULT_MAXIMUM),
            sharing: match &*reader.text("basic", "sharing") {
                "connection" => Sharing::Connection,
                "machine" => Sharing::Machine,
                _ => Sharing::Cluster,
            },
        };
        configuration.bandwidth.insert(reader.name().into(), Arc::new(class));
    }
}

impl Reader<'_> {
    /// `basic.bandwidth_class`. One that is not there is reported, with what follows (`then`).
    pub(crate) fn bandwidth(
        &self,
        configuration: &Configuration,
        then: &str,
        report: &mut Report<'_>,
    ) -> Option<BandwidthName> {
        let name = self.some_text("basic", "bandwidth_class")?;
        if configuration.bandwidth.contains_key(&*name) {
            return Some((&*name).into());
        }
        let known = configuration.bandwidth.keys().map(BandwidthName::as_str);
        self.missing(report, ("basic", "bandwidth_class"), "bandwidth", &name, (known, then));
        None
    }
}
