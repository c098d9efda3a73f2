//! `persistence`.

use std::sync::Arc;

use tidegate_model::{
    Configuration, PersistenceClass,
    persistence::{FailureMode, Method},
};

use super::{Reader, readers};
use crate::{diagnostic::Report, merge::Merged};

/// Builds the persistence classes.
pub(crate) fn build(merged: &Merged, configuration: &mut Configuration, report: &mut Report<'_>) {
    for reader in readers(merged, "persistence") {
        let Some(method) = method(&reader, report) else { continue };
        let class = PersistenceClass {
            name: reader.name().into(),
            method,
            failure_mode: failure_mode(&reader, report),
            delete: reader.flag("basic", "delete"),
        };
        configuration.persistence.insert(reader.name().into(), Arc::new(class));
    }
}

fn method(reader: &Reader<'_>, report: &mut Report<'_>) -> Option<Method> {
    let prefix = |key: &str| u8::try_from(reader.number("basic", key)).unwrap_or_default();
    Some(match &*reader.text("basic", "type") {
        "transparent" => Method::Transparent {
            directives: directives(reader, report),
            always_set: reader.flag("basic", "transparent_always_set_cookie"),
        },
        "cookie" => {
            let name = reader.text("basic", "cookie");
            if !is_cookie_name(&name) {
                let message = "the class needs the name of a cookie and is left out".to_owned();
                let hint =
                    Some("set basic.cookie to the name the application uses, such as JSESSIONID".to_owned());
                reader.fault(report, "basic", "cookie", message, hint);
                return None;
            }
            Method::Cookie { name }
        }
        "universal" => Method::Universal,
        "named" => Method::Named,
        "j2ee" => Method::J2ee,
        "asp" => Method::Asp,
        "ssl" => Method::Ssl,
        "x_zeus" => Method::XZeus,
        _ => Method::Ip {
            prefix_v4: prefix("subnet_prefix_length_v4"),
            prefix_v6: prefix("subnet_prefix_length_v6"),
        },
    })
}

/// Attributes for the cookie. They go into a header, so a line break in them must not get there.
fn directives(reader: &Reader<'_>, report: &mut Report<'_>) -> Arc<str> {
    let directives = reader.text("basic", "transparent_directives");
    if directives.chars().any(char::is_control) {
        let message = "cookie attributes hold a control character; none are added".to_owned();
        reader.fault(report, "basic", "transparent_directives", message, None);
        return Arc::from("");
    }
    directives
}

fn failure_mode(reader: &Reader<'_>, report: &mut Report<'_>) -> FailureMode {
    match &*reader.text("basic", "failure_mode") {
        "close" => FailureMode::Close,
        "url" => {
            let url = reader.text("basic", "url");
            if url.is_empty() || url.chars().any(|c| c.is_control() || c == ' ') {
                let message = "the failure mode “url” needs a URL; “new_node” is used".to_owned();
                let hint = Some("set basic.url to the address to redirect to".to_owned());
                reader.fault(report, "basic", "url", message, hint);
                return FailureMode::NewNode;
            }
            FailureMode::Url(url)
        }
        _ => FailureMode::NewNode,
    }
}

/// A token of RFC 9110 section 5.6.2, as RFC 6265 section 4.1.1 asks of cookie names.
fn is_cookie_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
