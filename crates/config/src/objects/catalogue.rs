//! Objects with raw content: plugins, monitor scripts, extra files and certificate authorities.

use std::sync::Arc;

use tidegate_model::Configuration;

use super::{Reader, readers};
use crate::{diagnostic::Report, merge::Merged};

/// Takes the raw objects over, byte for byte.
pub(crate) fn build(merged: &Merged, configuration: &mut Configuration, report: &mut Report<'_>) {
    for reader in readers(merged, "servicediscovery") {
        if let Some(content) = content(&reader, report) {
            configuration.plugins.insert(reader.name().into(), Arc::clone(content));
        }
    }
    for reader in readers(merged, "monitor_scripts") {
        if let Some(content) = content(&reader, report) {
            configuration.monitor_scripts.insert(reader.name().into(), Arc::clone(content));
        }
    }
    for reader in readers(merged, "extra_files") {
        if let Some(content) = content(&reader, report) {
            configuration.extra_files.insert(reader.name().into(), Arc::clone(content));
        }
    }
    for reader in readers(merged, "ssl/cas") {
        let Some(content) = content(&reader, report) else { continue };
        match std::str::from_utf8(content) {
            Ok(text) => {
                configuration.certificate_authorities.insert(reader.name().into(), text.into());
            }
            Err(_) => reader.object_fault(report, "the certificates are not PEM text; left out".to_owned()),
        }
    }
}

/// Content of an object. Factory objects come without: their programs belong to the original product.
pub(super) fn content<'a>(reader: &Reader<'a>, report: &mut Report<'_>) -> Option<&'a Arc<[u8]>> {
    let content = reader.content();
    if content.is_none() {
        reader.object_fault(report, "the object has no content and is left out".to_owned());
    }
    content
}
