//! Arguments of the built-in plugins, read the way Perl's long options are: `--key=value` or `--key value`,
//! one dash or two, unique abbreviations, any letter case, `--no-key` for switches that can be negated.

use std::fmt;

/// One option a built-in knows.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Its name, lower case.
    pub name: &'static str,
    /// Other names for it, lower case; one letter or a whole word.
    pub aliases: &'static [&'static str],
    /// What follows it.
    pub kind: Kind,
}

/// What follows an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value.
    Text,
    /// Nothing; `--no-name` turns it off.
    Switch,
}

/// One option as given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// `--name=value`.
    Text(&'static str, String),
    /// `--name` or `--no-name`.
    Switch(&'static str, bool),
}

/// Why the words are not arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgumentError {
    /// No option begins like this.
    Unknown(String),
    /// Several do.
    Ambiguous(String, Vec<&'static str>),
    /// The value is missing.
    NoValue(&'static str),
    /// A switch was given a value.
    ValueForSwitch(&'static str),
    /// A word that belongs to no option.
    Stray(String),
}

impl fmt::Display for ArgumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(word) => write!(f, "unknown option {word}"),
            Self::Ambiguous(word, names) => write!(f, "option {word} may mean --{}", names.join(" or --")),
            Self::NoValue(name) => write!(f, "option --{name} needs a value"),
            Self::ValueForSwitch(name) => write!(f, "option --{name} takes no value"),
            Self::Stray(word) => write!(f, "unexpected word {word:?}: options begin with --"),
        }
    }
}

/// Reads `words` by `specs`, in order.
pub fn read(words: &[String], specs: &[Spec]) -> Result<Vec<Given>, ArgumentError> {
    let mut given = Vec::new();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let Some(body) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
            return Err(ArgumentError::Stray(word.clone()));
        };
        if body.is_empty() {
            return match words.next() {
                Some(rest) => Err(ArgumentError::Stray(rest.clone())),
                None => Ok(given),
            };
        }
        let (key, value) = match body.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (body, None),
        };
        let (spec, on) = find(key, specs)?;
        given.push(match (spec.kind, value) {
            (Kind::Switch, None) => Given::Switch(spec.name, on),
            (Kind::Switch, Some(_)) => return Err(ArgumentError::ValueForSwitch(spec.name)),
            (Kind::Text, Some(value)) => Given::Text(spec.name, value.to_owned()),
            (Kind::Text, None) => match words.next_if(|next| !next.starts_with("--")) {
                Some(value) => Given::Text(spec.name, value.clone()),
                None => return Err(ArgumentError::NoValue(spec.name)),
            },
        });
    }
    Ok(given)
}

/// The option `key` means, and whether it is meant on.
fn find<'a>(key: &str, specs: &'a [Spec]) -> Result<(&'a Spec, bool), ArgumentError> {
    let key = key.to_ascii_lowercase();
    let names = |spec: &'a Spec| {
        let negations = match spec.kind {
            Kind::Switch => vec![format!("no{}", spec.name), format!("no-{}", spec.name)],
            Kind::Text => Vec::new(),
        };
        std::iter::once((spec.name.to_owned(), true))
            .chain(spec.aliases.iter().map(|alias| ((*alias).to_owned(), true)))
            .chain(negations.into_iter().map(|name| (name, false)))
    };
    let mut candidates: Vec<(&Spec, bool)> = Vec::new();
    for spec in specs {
        for (name, on) in names(spec) {
            if name == key {
                return Ok((spec, on));
            }
            if name.starts_with(&key) && !candidates.iter().any(|(s, o)| s.name == spec.name && *o == on) {
                candidates.push((spec, on));
            }
        }
    }
    match candidates.as_slice() {
        [] => Err(ArgumentError::Unknown(format!("--{key}"))),
        [one] => Ok(*one),
        several => Err(ArgumentError::Ambiguous(
            format!("--{key}"),
            several.iter().map(|(spec, _)| spec.name).collect(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECS: &[Spec] = &[
        Spec { name: "servicename", aliases: &[], kind: Kind::Text },
        Spec { name: "service", aliases: &[], kind: Kind::Text },
        Spec { name: "port", aliases: &["p"], kind: Kind::Text },
        Spec { name: "protocol", aliases: &[], kind: Kind::Text },
        Spec { name: "search", aliases: &[], kind: Kind::Switch },
        Spec { name: "search-domain", aliases: &[], kind: Kind::Text },
    ];

    fn parse(line: &str) -> Result<Vec<Given>, ArgumentError> {
        read(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>(), SPECS)
    }

    #[test]
    fn shapes() {
        let text = |name, value: &str| Given::Text(name, value.to_owned());
        assert_eq!(parse("--port=80"), Ok(vec![text("port", "80")]));
        assert_eq!(parse("--PORT 80"), Ok(vec![text("port", "80")]));
        assert_eq!(parse("-p 80"), Ok(vec![text("port", "80")]));
        assert_eq!(parse("--po=80 --pr=tcp"), Ok(vec![text("port", "80"), text("protocol", "tcp")]));
        assert_eq!(parse("--service=a"), Ok(vec![text("service", "a")]));
        assert_eq!(parse("--servicen=a=b"), Ok(vec![text("servicename", "a=b")]));
        assert_eq!(parse("--no-search"), Ok(vec![Given::Switch("search", false)]));
        assert_eq!(parse("--nosea"), Ok(vec![Given::Switch("search", false)]));
        assert_eq!(
            parse("--search --search-d x"),
            Ok(vec![Given::Switch("search", true), text("search-domain", "x")])
        );
        assert_eq!(parse("--"), Ok(vec![]));
    }

    #[test]
    fn refusals() {
        assert!(matches!(parse("--bogus=1"), Err(ArgumentError::Unknown(_))));
        assert!(matches!(parse("--serv=1"), Err(ArgumentError::Ambiguous(..))));
        assert_eq!(parse("--port"), Err(ArgumentError::NoValue("port")));
        assert_eq!(parse("--port --search"), Err(ArgumentError::NoValue("port")));
        assert_eq!(parse("--search=1"), Err(ArgumentError::ValueForSwitch("search")));
        assert!(matches!(parse("word"), Err(ArgumentError::Stray(_))));
    }
}
