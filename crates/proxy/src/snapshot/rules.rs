//! Rules in executable form. A rule that did not change keeps its program and its counters over every build.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tidegate_model::{Configuration, RuleEntry, RuleName, VirtualServer};
use tidegate_telemetry::{
    counters::{RuleCounters, Sharded},
    logging::EventLimit,
};
use tidegate_trafficscript::{Limits, Program};

/// The rules of a virtual server that run, in their order: enabled ones that compiled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) request: Vec<Arc<RunningRule>>,
    pub(crate) response: Vec<Arc<RunningRule>>,
    pub(crate) completion: Vec<Arc<RunningRule>>,
    /// Response rules read bodies without their coding.
    pub(crate) read_answers: bool,
}

/// A rule in executable form.
#[derive(Debug)]
pub(crate) struct RunningRule {
    pub(crate) program: Arc<Program>,
    pub(crate) limits: Limits,
    /// A run that takes longer is an event (`trafficscript.execution_time_warning`).
    pub(crate) time_warning: Option<Duration>,
    /// When it makes a connection hold more bytes, that is an event (`trafficscript.memory_warning`).
    pub(crate) memory_warning: Option<usize>,
    pub(crate) counters: Arc<Sharded<RuleCounters>>,
    /// Clients decide how often it goes wrong.
    pub(crate) warnings: EventLimit,
}

/// Every rule that compiled.
pub(crate) type Catalogue = BTreeMap<RuleName, Arc<RunningRule>>;

/// The rules of a configuration, for so many workers.
pub(crate) fn catalogue(
    configuration: &Configuration,
    previous: Option<&Catalogue>,
    workers: usize,
) -> Catalogue {
    let settings = &configuration.global.rules;
    let (time_warning, memory_warning) = (settings.execution_time_warning, settings.memory_warning);
    let run = |rule: &Arc<tidegate_model::Rule>| {
        let program = rule.program.as_ref()?;
        let previous = previous.and_then(|previous| previous.get(&rule.name));
        let same = previous.filter(|previous| {
            Arc::ptr_eq(&previous.program, program)
                && previous.limits == rule.options.limits
                && (previous.time_warning, previous.memory_warning) == (time_warning, memory_warning)
        });
        let running = same.map_or_else(
            || {
                let counters = previous.map(|previous| Arc::clone(&previous.counters));
                Arc::new(RunningRule {
                    program: Arc::clone(program),
                    limits: rule.options.limits,
                    time_warning,
                    memory_warning,
                    counters: counters.unwrap_or_else(|| Arc::new(Sharded::new(workers))),
                    warnings: EventLimit::new(),
                })
            },
            Arc::clone,
        );
        Some((rule.name.clone(), running))
    };
    configuration.rules.values().filter_map(run).collect()
}

impl Rules {
    /// Those of a virtual server.
    pub(crate) fn of(settings: &VirtualServer, catalogue: &Catalogue) -> Self {
        let run = |entries: &[RuleEntry]| {
            let enabled = entries.iter().filter(|entry| entry.enabled);
            enabled.filter_map(|entry| catalogue.get(&entry.rule).cloned()).collect()
        };
        let response: Vec<Arc<RunningRule>> = run(&settings.response_rules);
        let read_answers = response.iter().any(|rule| {
            let uses = rule.program.uses();
            uses.calls("http.getResponseBody") || uses.calls("http.getResponseBodyLines")
        });
        Self {
            request: run(&settings.request_rules),
            response,
            read_answers,
            completion: run(&settings.completion_rules),
        }
    }

    /// Whether they are the same rules in the same order.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let same = |a: &[Arc<RunningRule>], b: &[Arc<RunningRule>]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b))
        };
        same(&self.request, &other.request)
            && same(&self.response, &other.response)
            && same(&self.completion, &other.completion)
    }

    /// Whether there are any.
    pub(crate) fn are_some(&self) -> bool {
        !(self.request.is_empty() && self.response.is_empty() && self.completion.is_empty())
    }
}
