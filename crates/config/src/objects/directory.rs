//! `locations` and `rule_authenticators`: what rules ask of others by name.

use std::sync::Arc;

use tidegate_model::{
    Authenticator, CaName, Configuration, Location,
    directory::{DirectorySecurity, Filter},
};

use super::{Reader, readers};
use crate::{
    diagnostic::{Report, quote},
    merge::Merged,
};

/// Builds both catalogues. Certificate authorities are there already.
pub(crate) fn build(merged: &Merged, configuration: &mut Configuration, report: &mut Report<'_>) {
    for reader in readers(merged, "locations") {
        if reader.is_complete(report) {
            let location = Location {
                name: reader.name().into(),
                latitude: degrees(&reader, report, "latitude", 90.0),
                longitude: degrees(&reader, report, "longitude", 180.0),
            };
            configuration.locations.insert(reader.name().into(), Arc::new(location));
        }
    }
    for reader in readers(merged, "rule_authenticators") {
        if let Some(authenticator) = authenticator(&reader, configuration, report) {
            configuration.authenticators.insert(reader.name().into(), Arc::new(authenticator));
        }
    }
}

/// Degrees within ±`most`; 0 otherwise, which is told.
fn degrees(reader: &Reader<'_>, report: &mut Report<'_>, key: &str, most: f64) -> f64 {
    let degrees = reader.decimal("basic", key);
    if degrees.abs() <= most {
        return degrees;
    }
    let message = format!("{key} lies between -{most} and {most} degrees; 0 is used");
    reader.fault(report, "basic", key, message, None);
    0.0
}

/// `None` if nobody could be asked; that is told.
fn authenticator(
    reader: &Reader<'_>,
    configuration: &Configuration,
    report: &mut Report<'_>,
) -> Option<Authenticator> {
    let Some(host) = reader.some_text("basic", "host") else {
        let message = "the directory has no host; the authenticator is left out".to_owned();
        let hint = Some("set basic.host to the name or the address of an LDAP server".to_owned());
        reader.fault(report, "basic", "host", message, hint);
        return None;
    };
    let port = u16::try_from(reader.number("basic", "port")).ok().filter(|port| *port > 0);
    let Some(port) = port else {
        let message = "0 is not a port; the authenticator is left out".to_owned();
        reader.fault(report, "basic", "port", message, None);
        return None;
    };
    let written = reader.text("ldap", "filter");
    let filter = match Filter::read(&written) {
        Ok(filter) => filter,
        Err(why) => {
            let message = if written.is_empty() {
                "the directory cannot be searched without a filter; the authenticator is left out".to_owned()
            } else {
                format!("{} is not an LDAP filter: {why}; the authenticator is left out", quote(&written))
            };
            let hint = Some("write it as in (uid=%u), where %u is the name of the user".to_owned());
            reader.fault(report, "ldap", "filter", message, hint);
            return None;
        }
    };
    if !filter.names_user() {
        let message = "the filter does not depend on the user; every user is the same to it".to_owned();
        reader.fault(report, "ldap", "filter", message, Some("write %u where the name goes".to_owned()));
    }
    let security = match (reader.flag("ldap", "ssl_enabled"), &*reader.text("ldap", "ssl_type")) {
        (false, _) => DirectorySecurity::None,
        (true, "starttls") => DirectorySecurity::StartTls,
        (true, _) => DirectorySecurity::Tls,
    };
    let authority = match reader.some_text("ldap", "ssl_cert") {
        Some(name) if configuration.certificate_authorities.contains_key(&*name) => Some((&*name).into()),
        Some(name) => {
            let known = configuration.certificate_authorities.keys().map(CaName::as_str);
            // To trust others instead could hand passwords to the wrong server.
            let then = "the authenticator is left out";
            reader.missing(report, ("ldap", "ssl_cert"), "ssl/cas", &name, (known, then));
            return None;
        }
        None => None,
    };
    Some(Authenticator {
        name: reader.name().into(),
        host: host.trim().trim_matches(['[', ']']).into(),
        port,
        attributes: reader.list("ldap", "attributes").to_vec(),
        bind_dn: reader.text("ldap", "bind_dn"),
        bind_password: reader.text("ldap", "bind_password"),
        filter,
        base_dn: reader.text("ldap", "filter_base_dn"),
        security,
        authority,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Compiled, Document, Input, References, compile};

    struct NoFiles;

    impl References for NoFiles {
        fn read(&self, _: &str) -> Result<Vec<u8>, String> {
            Err("there are no files".to_owned())
        }
    }

    fn compiled(text: &str) -> Compiled {
        let documents = [Document { name: "a".to_owned(), text: text.as_bytes().to_vec() }];
        compile(&Input { watched: &documents, ..Input::default() }, &NoFiles)
    }

    fn authenticators(properties: &str) -> (Configuration, Vec<String>) {
        let text = format!("rule_authenticators:\n- name: ldap\n  properties: {properties}\n");
        let compiled = compiled(&text);
        (compiled.configuration.unwrap(), compiled.diagnostics.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn an_authenticator() {
        let (configuration, told) = authenticators(
            "{basic: {host: '[::1]', port: 636}, ldap: {filter: '(uid=%u)', filter_base_dn: dc=example, \
             bind_dn: cn=reader, bind_password: secret, attributes: [mail, cn], ssl_enabled: true, ssl_type: \
             starttls}}",
        );
        assert_eq!(told, [""; 0]);
        let found = &*configuration.authenticators["ldap"];
        assert_eq!((&*found.host, found.port, found.security), ("::1", 636, DirectorySecurity::StartTls));
        assert_eq!(
            (&*found.base_dn, &*found.bind_dn, &*found.bind_password),
            ("dc=example", "cn=reader", "secret")
        );
        assert_eq!((found.attributes.len(), &found.authority), (2, &None));
        assert!(!format!("{found:?}").contains("secret"));

        let (configuration, told) = authenticators("{basic: {host: ldap.test}, ldap: {filter: 'uid=%u'}}");
        assert_eq!(told, [""; 0]);
        let found = &*configuration.authenticators["ldap"];
        assert_eq!((found.port, found.security), (389, DirectorySecurity::None));
    }

    #[test]
    fn what_cannot_be_asked() {
        for (properties, part) in [
            ("{ldap: {filter: '(uid=%u)'}}", "has no host"),
            ("{basic: {host: h, port: 0}, ldap: {filter: '(uid=%u)'}}", "not a port"),
            ("{basic: {host: h}}", "without a filter"),
            ("{basic: {host: h}, ldap: {filter: '(uid=%u'}}", "not an LDAP filter"),
            ("{basic: {host: h}, ldap: {filter: '(uid=%u)', ssl_cert: none}}", "certificate authority"),
        ] {
            let (configuration, told) = authenticators(properties);
            assert!(configuration.authenticators.is_empty(), "{properties}");
            assert!(told.len() == 1 && told[0].contains(part), "{properties}: {told:?}");
        }
        let (configuration, told) = authenticators("{basic: {host: h}, ldap: {filter: '(uid=ada)'}}");
        assert_eq!(configuration.authenticators.len(), 1);
        assert!(told.len() == 1 && told[0].contains("does not depend on the user"), "{told:?}");
    }

    #[test]
    fn locations() {
        let found = compiled(
            "locations:\n- {name: here, properties: {basic: {id: 1, latitude: 51.5, longitude: -0.25}}}\n\
             - {name: there, properties: {basic: {id: 2, latitude: 91}}}\n\
             - {name: nowhere, properties: {basic: {latitude: 1}}}\n",
        );
        let locations = found.configuration.unwrap().locations;
        let at = |name: &str| locations.get(name).map(|location| (location.latitude, location.longitude));
        assert_eq!((at("here"), at("there"), at("nowhere")), (Some((51.5, -0.25)), Some((0.0, 0.0)), None));
        assert_eq!(found.diagnostics.len(), 2);
    }
}
