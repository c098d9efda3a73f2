//! Settings of distributed tracing, in the names of the OpenTelemetry specification.
//!
//! Tracing is off unless an endpoint is given. A variable that is for traces alone wins over the one for everything.

use std::{str::FromStr, time::Duration};

use clap::Args;
use tidegate_telemetry::traces::{Endpoint, MAX_BATCH, MAX_QUEUE, Options, Resource, Sampler};

use super::{Environment, SettingsError, path, variable};

/// `service.name` unless set.
const SERVICE: &str = "tidegate";
/// Longest time for a request, and between two looks for spans, milliseconds.
const MAX_TIME: usize = 3_600_000;

/// Options of distributed tracing.
#[derive(Debug, Default, Args)]
pub(crate) struct TracesOptions {
    /// Collector of traces (OTLP over HTTP, protobuf), such as http://collector:4318, to which /v1/traces is added; or
    /// `off`. [default: off]
    /// [env: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT (the path counts as it is), OTEL_EXPORTER_OTLP_ENDPOINT; with either of
    /// these or the flag also OTEL_EXPORTER_OTLP_HEADERS, _TIMEOUT, _COMPRESSION, _CERTIFICATE and _PROTOCOL, also with
    /// TRACES_ before the last part, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_BSP_SCHEDULE_DELAY,
    /// OTEL_BSP_MAX_QUEUE_SIZE, OTEL_BSP_MAX_EXPORT_BATCH_SIZE; OTEL_SDK_DISABLED=true and OTEL_TRACES_EXPORTER=none
    /// switch tracing off]
    #[arg(long, value_name = "URL")]
    pub(crate) traces_endpoint: Option<TracesEndpoint>,

    /// Part of the requests without a caller's decision that is traced, from 0 to 1; callers that have decided are
    /// followed. [default: 1] [env: OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG, which know more ways]
    #[arg(long, value_name = "RATIO")]
    pub(crate) traces_sample: Option<Ratio>,
}

/// Where spans go, by flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TracesEndpoint {
    /// Nowhere.
    Off,
    /// There.
    On(Endpoint),
}

impl FromStr for TracesEndpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().eq_ignore_ascii_case("off") {
            return Ok(Self::Off);
        }
        Endpoint::of_all(text).map(Self::On)
    }
}

/// A sampler by its ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ratio(Sampler);

impl FromStr for Ratio {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Sampler::of_ratio(text).map(Self).ok_or("a number from 0 to 1 is expected")
    }
}

/// `None`: tracing is off.
pub(super) fn resolve(
    options: TracesOptions,
    environment: &Environment,
) -> Result<Option<Options>, SettingsError> {
    let Some(endpoint) = endpoint(options.traces_endpoint, environment)? else { return Ok(None) };
    if is_switched_off(environment)? {
        return Ok(None);
    }
    let environment = Reader(environment);
    environment.of_signal("PROTOCOL", |value| match value {
        "http/protobuf" => Ok(()),
        _ => Err("http/protobuf is expected, the only protocol there is"),
    })?;
    let defaults = Options::new(endpoint);
    let milliseconds = |value: usize| Duration::from_millis(value as u64);
    Ok(Some(Options {
        headers: environment.of_signal("HEADERS", pairs)?.unwrap_or_default(),
        timeout: environment
            .of_signal("TIMEOUT", |value| number(value, 1, MAX_TIME))?
            .map_or(defaults.timeout, milliseconds),
        gzip: environment
            .of_signal("COMPRESSION", |value| match value {
                "gzip" => Ok(true),
                "none" => Ok(false),
                _ => Err("gzip or none is expected"),
            })?
            .unwrap_or_default(),
        authorities: path(
            None,
            environment.0,
            &["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"],
        ),
        sampler: match options.traces_sample {
            Some(Ratio(sampler)) => sampler,
            None => sampler(environment.0)?,
        },
        resource: resource(&environment)?,
        delay: environment
            .parsed("OTEL_BSP_SCHEDULE_DELAY", |value| number(value, 1, MAX_TIME))?
            .map_or(defaults.delay, milliseconds),
        queue: environment
            .parsed("OTEL_BSP_MAX_QUEUE_SIZE", |value| number(value, 1, MAX_QUEUE))?
            .unwrap_or(defaults.queue),
        batch: environment
            .parsed("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", |value| number(value, 1, MAX_BATCH))?
            .unwrap_or(defaults.batch),
        endpoint: defaults.endpoint,
    }))
}

fn endpoint(
    flag: Option<TracesEndpoint>,
    environment: &Environment,
) -> Result<Option<Endpoint>, SettingsError> {
    let environment = Reader(environment);
    match flag {
        Some(TracesEndpoint::Off) => return Ok(None),
        Some(TracesEndpoint::On(endpoint)) => return Ok(Some(endpoint)),
        None => {}
    }
    match environment.parsed("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", Endpoint::of_traces)? {
        Some(endpoint) => Ok(Some(endpoint)),
        None => environment.parsed("OTEL_EXPORTER_OTLP_ENDPOINT", Endpoint::of_all),
    }
}

fn is_switched_off(environment: &Environment) -> Result<bool, SettingsError> {
    let environment = Reader(environment);
    // As the specification has it, nothing but "true" is true.
    let disabled =
        environment.parsed("OTEL_SDK_DISABLED", |value| match value.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("true or false is expected"),
        })?;
    let none = environment.parsed("OTEL_TRACES_EXPORTER", |value| match value {
        "otlp" => Ok(false),
        "none" => Ok(true),
        _ => Err("otlp or none is expected"),
    })?;
    Ok(disabled.unwrap_or_default() || none.unwrap_or_default())
}

fn sampler(environment: &Environment) -> Result<Sampler, SettingsError> {
    const NAME: &str = "OTEL_TRACES_SAMPLER";
    const ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";
    let Some(name) = variable(environment, NAME) else { return Ok(Sampler::default()) };
    let argument = variable(environment, ARGUMENT);
    Sampler::named(name.trim(), argument).map_err(|(at_argument, expected)| {
        let (variable, value) =
            if at_argument { (ARGUMENT, argument.unwrap_or_default()) } else { (NAME, name) };
        SettingsError(format!("{variable} is `{value}`, but {expected}"))
    })
}

/// Who sends the spans: `OTEL_SERVICE_NAME` wins over a `service.name` among the attributes.
fn resource(environment: &Reader<'_>) -> Result<Resource, SettingsError> {
    let given = environment.parsed("OTEL_RESOURCE_ATTRIBUTES", pairs)?.unwrap_or_default();
    let mut attributes = vec![
        ("service.name".to_owned(), SERVICE.to_owned()),
        ("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let host = rustix::system::uname();
    if let Ok(host) = host.nodename().to_str().map(str::to_owned)
        && !host.is_empty()
    {
        attributes.push(("host.name".to_owned(), host));
    }
    let service = variable(environment.0, "OTEL_SERVICE_NAME");
    let service = service.map(|name| ("service.name".to_owned(), name.to_owned()));
    for (name, value) in given.into_iter().chain(service) {
        match attributes.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => attributes.push((name, value)),
        }
    }
    Ok(Resource(attributes))
}

/// Variables by name, their faults told with it.
struct Reader<'a>(&'a Environment);

impl Reader<'_> {
    fn parsed<T, E: ToString>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, SettingsError> {
        let Some(value) = variable(self.0, name) else { return Ok(None) };
        let parsed = parse(value.trim()).map_err(|error| {
            // Headers hold secrets.
            let shown = if name.ends_with("HEADERS") { "set".to_owned() } else { format!("`{value}`") };
            SettingsError(format!("{name} is {shown}, but {}", error.to_string()))
        });
        parsed.map(Some)
    }

    /// A variable of the exporter: that of traces, else that of everything.
    fn of_signal<T, E: ToString>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, SettingsError> {
        match self.parsed(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}"), &parse)? {
            Some(value) => Ok(Some(value)),
            None => self.parsed(&format!("OTEL_EXPORTER_OTLP_{name}"), &parse),
        }
    }
}

fn number(text: &str, least: usize, most: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("a whole number from {least} to {most} is expected")),
    }
}

/// `name=value,name=value`, values percent-encoded where need be.
fn pairs(text: &str) -> Result<Vec<(String, String)>, &'static str> {
    const EXPECTED: &str = "name=value,name=value is expected, with %XX for what may not stand in a value";
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let name = name.trim();
        (!name.is_empty()).then_some(())?;
        Some((name.to_owned(), decoded(value.trim())?))
    });
    pairs.collect::<Option<_>>().ok_or(EXPECTED)
}

/// Takes percent-encoding off; `None` = it is faulty, or hides what is no text.
fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        out.push((digit()? * 16 + digit()?) as u8);
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318");

    fn of(flags: TracesOptions, pairs: &[(&str, &str)]) -> Result<Option<Options>, SettingsError> {
        let environment =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        resolve(flags, &environment)
    }

    fn with(pairs: &[(&str, &str)]) -> Options {
        of(TracesOptions::default(), &[&[ALL], pairs].concat()).unwrap().unwrap()
    }

    fn flags(endpoint: Option<&str>, sample: Option<&str>) -> TracesOptions {
        TracesOptions {
            traces_endpoint: endpoint.map(|text| text.parse().unwrap()),
            traces_sample: sample.map(|text| text.parse().unwrap()),
        }
    }

    #[test]
    fn off_unless_an_endpoint_is_given() {
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://own/x");
        type Row<'a> = (Option<&'a str>, &'a [(&'a str, &'a str)], Option<&'a str>);
        let table: [Row<'_>; 9] = [
            (None, &[], None),
            (None, &[("OTEL_SERVICE_NAME", "x")], None),
            (None, &[ALL], Some("http://all:4318/v1/traces")),
            (None, &[ALL, own], Some("http://own/x")),
            (Some("http://flag:1"), &[ALL, own], Some("http://flag:1/v1/traces")),
            (Some("off"), &[ALL, own], None),
            (None, &[ALL, ("OTEL_SDK_DISABLED", "TRUE")], None),
            (Some("http://flag:1"), &[("OTEL_SDK_DISABLED", "true")], None),
            (None, &[ALL, ("OTEL_TRACES_EXPORTER", "none")], None),
        ];
        for (flag, environment, expected) in table {
            let options = of(flags(flag, None), environment).unwrap();
            let shown = options.map(|options| options.endpoint.to_string());
            assert_eq!(shown.as_deref(), expected, "{flag:?} {environment:?}");
        }
        assert!(of(flags(None, None), &[ALL, ("OTEL_SDK_DISABLED", "false")]).unwrap().is_some());
    }

    #[test]
    fn samplers() {
        assert_eq!(with(&[]).sampler, Sampler::default());
        let named = |name, argument| Sampler::named(name, argument).unwrap();
        let environment = [ALL, ("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.5")];
        let sampler = |flag| of(flags(None, flag), &environment).unwrap().unwrap().sampler;
        assert_eq!(sampler(None), named("traceidratio", Some("0.5")));
        assert_eq!(sampler(Some("0.01")), named("parentbased_traceidratio", Some("0.01")));
        assert!("1.5".parse::<Ratio>().is_err());
    }

    #[test]
    fn every_variable_is_read() {
        let options = with(&[
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=secret%20one, x = y"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
            ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "10"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5"),
        ]);
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(options.headers, [header("api-key", "secret one"), header("x", "y")]);
        assert!(!format!("{options:?}").contains("secret"));
        assert_eq!((options.timeout.as_millis(), options.gzip), (2500, true));
        assert_eq!(options.authorities, Some("/ca.pem".into()));
        assert_eq!((options.delay.as_millis(), options.queue, options.batch), (100, 10, 5));
    }

    #[test]
    fn the_sender_has_a_name() {
        let value = |pairs: &[(&str, &str)], name: &str| {
            let Resource(attributes) = with(pairs).resource;
            let mut values = attributes.into_iter().filter(|(own, _)| own == name).map(|(_, value)| value);
            let value = values.next();
            assert_eq!(values.next(), None, "{name} stands twice");
            value
        };
        assert_eq!(value(&[], "service.name").as_deref(), Some("tidegate"));
        assert_eq!(value(&[], "service.version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
        let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=edge,k8s.pod.name=a%2Cb");
        assert_eq!(value(&[attributes], "service.name").as_deref(), Some("edge"));
        assert_eq!(value(&[attributes], "k8s.pod.name").as_deref(), Some("a,b"));
        let named = [attributes, ("OTEL_SERVICE_NAME", "own")];
        assert_eq!(value(&named, "service.name").as_deref(), Some("own"));
    }

    #[test]
    fn a_value_that_makes_no_sense_names_its_variable() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4318"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=%secret"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_SDK_DISABLED", "1"),
            ("OTEL_RESOURCE_ATTRIBUTES", "=x"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a=%ff"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "many"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "9000"),
        ] {
            let error = of(flags(None, None), &[ALL, (name, value)]).unwrap_err();
            assert!(error.0.contains(name) && !error.0.contains("secret"), "{error}");
        }
        let pairs = [ALL, ("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "lots")];
        let error = of(flags(None, None), &pairs).unwrap_err();
        assert!(error.0.contains("OTEL_TRACES_SAMPLER_ARG is `lots`"), "{error}");
    }
}
