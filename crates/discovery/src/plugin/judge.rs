//! What a run means: how the program ended and what it wrote become an [`Outcome`]. The JSON decides; the exit
//! status only matters where both contradict each other. Pure.

use std::{sync::Arc, time::Duration};

use super::output::{self, Output};
use crate::{
    options::Policy,
    schedule::{Coverage, FailureKind, Outcome, Verdict},
};

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this exit status.
    Exit(i32),
    /// By this signal.
    Signal(i32),
    /// By its time limit, which was this.
    TimedOut(Duration),
    /// Because it wrote more than [`output::MAX_OUTPUT`].
    TooMuch,
    /// It never began: why.
    NotStarted(String),
}

/// The judgement on a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What it means.
    pub outcome: Outcome,
    /// Something that deserves a look.
    pub warning: Option<Arc<str>>,
    /// Nodes named more than once.
    pub duplicates: u64,
}

impl Judged {
    fn failed(kind: FailureKind, why: String) -> Self {
        Self { outcome: Outcome::failed(kind, why), warning: None, duplicates: 0 }
    }
}

/// Judges one run. `second` is the unit of `interval_override`.
pub fn judge(ended: &Ended, stdout: &[u8], policy: &Policy, second: Duration) -> Judged {
    let status = match ended {
        Ended::Exit(status) => *status,
        Ended::Signal(signal) => {
            return Judged::failed(FailureKind::Source, format!("the plugin was ended by signal {signal}"));
        }
        Ended::TimedOut(limit) => {
            let why = format!(
                "the plugin was ended because it took longer than {limit:?}; see service_discovery!timeout"
            );
            return Judged::failed(FailureKind::Source, why);
        }
        Ended::TooMuch => {
            let why = format!("the plugin was ended because it wrote more than {} bytes", output::MAX_OUTPUT);
            return Judged::failed(FailureKind::Source, why);
        }
        Ended::NotStarted(why) => {
            return Judged::failed(FailureKind::Source, format!("the plugin could not be started: {why}"));
        }
    };
    match output::read(stdout, policy.lenient_plugins) {
        Ok(output) => of_output(status, output, policy, second),
        Err(error) => Judged::failed(
            FailureKind::Source,
            format!("the plugin ended with exit status {status}, and {error}"),
        ),
    }
}

fn of_output(status: i32, output: Output, policy: &Policy, second: Duration) -> Judged {
    let said = match &output.error {
        Some(error) => format!("code {}: {error}", output.code),
        None => format!("code {} without an error text", output.code),
    };
    let (exactly, mut warning) = match output.interval_override {
        Some(Ok(seconds)) => (Some(output::override_time(seconds, second)), None),
        Some(Err(why)) => (None, Some(why)),
        None => (None, None),
    };
    let mut duplicates = 0;
    let verdict = match output.code {
        200 if status != 0 && !policy.lenient_plugins => {
            return Judged::failed(
                FailureKind::Source,
                format!("the plugin gave code 200 with exit status {status}"),
            );
        }
        200 => match output.nodes {
            Ok(Some(listed)) => {
                duplicates = listed.duplicates;
                if listed.nodes.len() > policy.max_nodes {
                    let why = format!(
                        "the plugin gave {} nodes, more than the {} a pool may have; the list is refused whole",
                        listed.nodes.len(),
                        policy.max_nodes
                    );
                    return Judged::failed(FailureKind::Source, why);
                }
                match listed.dropped.first() {
                    Some(first) => {
                        let why = format!("{} nodes were left out; {first}", listed.dropped.len());
                        Verdict::Found { nodes: listed.nodes, coverage: Coverage::Partial(why.into()) }
                    }
                    None if listed.nodes.is_empty() => Verdict::Empty("code 200 with no nodes".into()),
                    None => Verdict::Found { nodes: listed.nodes, coverage: Coverage::Complete },
                }
            }
            Ok(None) => {
                return Judged::failed(
                    FailureKind::Source,
                    "the plugin gave code 200 without \"nodes\"".to_owned(),
                );
            }
            Err(why) => {
                return Judged::failed(
                    FailureKind::Source,
                    format!("the plugin's list is refused whole: {why}"),
                );
            }
        },
        204 => Verdict::Empty(said.into()),
        // The public scripts refuse to run twice at once, and say so as success.
        400 if status == 0 && output.error.as_deref().is_some_and(is_busy) => {
            return Judged::failed(FailureKind::Busy, said);
        }
        400..=499 => return Judged::failed(FailureKind::Configuration, format!("the plugin reports {said}")),
        _ => return Judged::failed(FailureKind::Source, format!("the plugin reports {said}")),
    };
    if warning.is_none() && duplicates > 0 {
        warning = Some(format!("{duplicates} nodes stand in the plugin's list more than once"));
    }
    Judged { outcome: Outcome { verdict, ttl: None, exactly }, warning: warning.map(Into::into), duplicates }
}

fn is_busy(error: &str) -> bool {
    error.to_ascii_lowercase().contains("another copy")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(status: i32, stdout: &str) -> Outcome {
        judge(&Ended::Exit(status), stdout.as_bytes(), &Policy::default(), Duration::from_secs(1)).outcome
    }

    fn kind(outcome: &Outcome) -> Option<FailureKind> {
        match &outcome.verdict {
            Verdict::Failed(failure) => Some(failure.kind),
            _ => None,
        }
    }

    fn why(outcome: &Outcome) -> String {
        match &outcome.verdict {
            Verdict::Failed(failure) => failure.why.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn codes_and_exit_statuses() {
        let source = Some(FailureKind::Source);
        let node = r#""nodes":[{"ip":"192.0.2.1","port":80}]"#;
        assert!(matches!(
            run(0, &format!(r#"{{"version":1,"code":200,{node}}}"#)).verdict,
            Verdict::Found { .. }
        ));
        // p4
        let outcome = run(1, r#"{"version":1,"code":500,"error":"no route"}"#);
        assert_eq!(kind(&outcome), source);
        assert!(why(&outcome).contains("no route"));
        // p5
        assert_eq!(
            kind(&run(1, r#"{"version":1,"code":400,"error":"x"}"#)),
            Some(FailureKind::Configuration)
        );
        // p6
        let busy = r#"{"version":1,"code":400,"error":"Another copy of this script is running"}"#;
        assert_eq!(kind(&run(0, busy)), Some(FailureKind::Busy));
        assert_eq!(kind(&run(1, busy)), Some(FailureKind::Configuration));
        // p7, p8
        assert!(matches!(run(0, r#"{"version":1,"code":204,"error":"none"}"#).verdict, Verdict::Empty(_)));
        assert!(matches!(run(0, r#"{"version":1,"code":200,"nodes":[]}"#).verdict, Verdict::Empty(_)));
        // p9
        assert_eq!(kind(&run(0, r#"{"version":1,"code":200}"#)), source);
        let contradiction = run(3, &format!(r#"{{"version":1,"code":200,{node}}}"#));
        assert!(why(&contradiction).contains("exit status 3"));
        for code in [100, 202, 302, 600] {
            assert_eq!(kind(&run(0, &format!(r#"{{"version":1,"code":{code}}}"#))), source);
        }
        assert!(why(&run(127, "")).contains("exit status 127"));
    }

    #[test]
    fn lenient_takes_what_is_good() {
        let policy = Policy { lenient_plugins: true, ..Policy::default() };
        let text =
            r#"{"version":1,"code":200,"nodes":[{"ip":"192.0.2.1","port":80},{"ip":"null","port":80}]}"#;
        let judged = judge(&Ended::Exit(1), text.as_bytes(), &policy, Duration::from_secs(1));
        assert!(matches!(judged.outcome.verdict, Verdict::Found { coverage: Coverage::Partial(_), .. }));
    }

    #[test]
    fn a19_too_many_nodes_are_refused_whole() {
        let nodes: Vec<String> = (0..11).map(|n| format!(r#"{{"ip":"192.0.2.{n}","port":80}}"#)).collect();
        let text = format!(r#"{{"version":1,"code":200,"nodes":[{}]}}"#, nodes.join(","));
        let policy = Policy { max_nodes: 10, ..Policy::default() };
        let judged = judge(&Ended::Exit(0), text.as_bytes(), &policy, Duration::from_secs(1));
        assert!(why(&judged.outcome).contains("11 nodes"));
    }
}
