//! Instructions of calls: of subs, of imported subs, of the functions of the library.

use std::rc::Rc;

use super::{Body, import::Module};
use crate::{
    library::{self, ANY, Function, Site, Status},
    note::Severity,
    pattern::{Flags, Pattern},
    program::{CallSite, Op, UNKNOWN_LEVEL},
    syntax::{Id, Place, Span, foreign_function, miscased},
};

/// Most arguments of a call.
const MAX_ARGUMENTS: usize = 1_000;

/// What a name in front of a bracket is.
enum Callee {
    Sub(Rc<Module>, usize),
    Function(&'static Function),
}

/// The name that is nearest to a misspelt one, if one is near.
pub(super) fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let wanted = name.to_ascii_lowercase();
    let most = (wanted.len() / 3).clamp(1, 5);
    names
        .filter(|known| known.len().abs_diff(wanted.len()) <= most)
        .map(|known| (strsim::damerau_levenshtein(&wanted, &known.to_ascii_lowercase()), known))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// The functions that have this name behind that of their family: `getHeader` for `http.getHeader`.
fn of_family(name: &str) -> Option<String> {
    /// More of them are no help.
    const SHOWN: usize = 3;
    let known = library::names()
        .filter(|known| known.rsplit_once('.').is_some_and(|(_, last)| last.eq_ignore_ascii_case(name)));
    let known: Vec<_> = known.take(SHOWN).collect();
    (!known.is_empty()).then(|| known.join(" or "))
}

impl Body<'_, '_> {
    /// A call with its arguments.
    pub(super) fn call(&mut self, name: Span, arguments: &[Id], place: Place) {
        let Some(callee) = self.callee(name) else {
            // Their errors are told as well.
            for argument in arguments {
                self.value(*argument);
            }
            return;
        };
        if arguments.len() > MAX_ARGUMENTS {
            self.error(place, format!("more than {MAX_ARGUMENTS} arguments"), None);
            return;
        }
        match callee {
            Callee::Sub(module, index) => {
                for argument in arguments {
                    self.value(*argument);
                }
                self.call_sub(&module, index, arguments.len(), place);
            }
            Callee::Function(function) => {
                let mut changes = None;
                for (at, argument) in arguments.iter().enumerate() {
                    if at == 0 && function.traits.changes_first {
                        let known = self.is_place(*argument);
                        changes = Some(if known { self.vivify(*argument) } else { UNKNOWN_LEVEL });
                        if !known {
                            self.value(*argument);
                        }
                    } else {
                        self.value(*argument);
                    }
                }
                let site = Site { line: place.line, pattern: self.pattern(function, arguments) };
                self.named(function, arguments);
                self.call_function(function, arguments.len(), site, changes, place);
            }
        }
    }

    /// A call whose arguments are on the stack already.
    pub(super) fn call_prepared(&mut self, name: Span, count: usize, place: Place) {
        match self.callee(name) {
            None => _ = self.emit(Op::Pop(1), place),
            Some(Callee::Sub(module, index)) => self.call_sub(&module, index, count, place),
            Some(Callee::Function(function)) => {
                let site = Site { line: place.line, pattern: None };
                self.call_function(function, count, site, None, place);
            }
        }
    }

    /// What a name means: a sub of this rule, a sub of an imported one, a function.
    fn callee(&mut self, span: Span) -> Option<Callee> {
        let written = self.name(span);
        let name = written.to_ascii_lowercase();
        if let Some(index) = self.module.subs.get(&name) {
            return Some(Callee::Sub(Rc::clone(&self.module), *index));
        }
        let mut rule = None;
        for (dot, _) in name.match_indices('.') {
            let (alias, sub) = (name.get(..dot).unwrap_or_default(), name.get(dot + 1..).unwrap_or_default());
            let key = (self.module.index, alias.to_owned());
            let Some(module) = self.compiler.aliases.get(&key).and_then(|at| self.compiler.modules.get(*at))
            else {
                continue;
            };
            if let Some(index) = module.subs.get(sub) {
                return Some(Callee::Sub(Rc::clone(module), *index));
            }
            rule = Some((Rc::clone(module), sub.to_owned(), alias.to_owned()));
        }
        if let Some(function) = library::find(&name) {
            return Some(Callee::Function(function));
        }
        let (message, hint) = if let Some((module, sub, alias)) = rule {
            let hint = nearest(&sub, module.subs.keys().map(String::as_str));
            let hint = hint.map(|near| format!("{alias}.{near}"));
            (format!("the imported rule `{}` has no sub {sub}", module.name), hint)
        } else {
            let subs = self.module.subs.keys().map(String::as_str);
            let hint = nearest(&name, library::names().chain(subs)).map(ToOwned::to_owned);
            (format!("unknown function {written}"), hint)
        };
        let foreign = || foreign_function(&name).map(ToOwned::to_owned);
        let near = || hint.or_else(|| of_family(&name)).map(|near| format!("did you mean {near}?"));
        let hint = miscased(&written).or_else(foreign).or_else(near);
        self.error(span.place, message, hint);
        None
    }

    fn call_sub(&mut self, module: &Rc<Module>, index: usize, count: usize, place: Place) {
        let Some(sub) = module.tree.subs.get(index) else { return };
        let wanted = sub.parameters.len();
        if wanted != count {
            let name = module.str(sub.name);
            let message = format!("{name} takes {}, not {count}", arguments_text(wanted, wanted));
            self.error(place, message, None);
        }
        let number = self.compiler.sub_index(module, index);
        self.emit(Op::Sub(number), place);
    }

    fn call_function(
        &mut self,
        function: &'static Function,
        count: usize,
        site: Site,
        changes: Option<u8>,
        place: Place,
    ) {
        let (fewest, most) = (usize::from(function.arity.0), usize::from(function.arity.1));
        if count < fewest || (function.arity.1 != ANY && count > most) {
            let most = if function.arity.1 == ANY { usize::MAX } else { most };
            let message = format!("{} takes {}, not {count}", function.name, arguments_text(fewest, most));
            let hint = format!("{}({})", function.name, function.arguments);
            self.error(place, message, Some(hint));
        }
        let module = Rc::clone(&self.module);
        self.compiler.used(&module, function, place);
        let does = match function.status {
            Status::Works(does) => does,
            Status::Deprecated { instead, does } => {
                let message = format!("{} is deprecated", function.name);
                let but = if function.summary.is_empty() { "" } else { "; unlike it, the old name " };
                let hint = format!("please use {instead} instead{but}{}", function.summary);
                self.note(place, Severity::Warning, message, Some(hint));
                does
            }
            Status::Switch { does, waits_for } => {
                let message = format!("{} has no effect yet: it waits for {waits_for}", function.name);
                self.note(place, Severity::Note, message, None);
                does
            }
            Status::Planned(waits_for) => {
                let message = format!("{} is not supported yet", function.name);
                self.error(place, message, Some(format!("it waits for {waits_for}")));
                return;
            }
            Status::Never(reason) => {
                let message = format!("{} is not supported", function.name);
                self.error(place, message, Some(reason.to_owned()));
                return;
            }
        };
        let number = self.compiler.sites.len() as u32;
        self.compiler.sites.push(CallSite {
            site,
            does,
            arguments: count as u16,
            changes,
            subject: function.subject(),
            name: function.name,
        });
        self.emit(Op::Native(number), place);
    }

    /// The compiled pattern of a call, if it is constant.
    fn pattern(&mut self, function: &'static Function, arguments: &[Id]) -> Option<Pattern> {
        let (at, flags_at) = function.traits.pattern?;
        let argument = *arguments.get(usize::from(at))?;
        let text = self.literal(argument)?;
        let flags = match flags_at.and_then(|at| arguments.get(usize::from(at))) {
            Some(flags) => self.literal(*flags)?,
            None => Vec::new(),
        };
        let flags = Flags { caseless: flags.contains(&b'i') };
        match Pattern::compile(&text, flags, self.compiler.options.limits.match_steps) {
            Ok(pattern) => Some(pattern),
            Err(message) => {
                self.error(self.node(argument).place, format!("not a regular expression: {message}"), None);
                None
            }
        }
    }

    /// The pool or the bandwidth class that a call names.
    fn named(&mut self, function: &'static Function, arguments: &[Id]) {
        if function.traits.bandwidth
            && let Some(class) = arguments.first().and_then(|argument| self.literal(*argument))
        {
            let class = String::from_utf8_lossy(&class).into_owned();
            let known = &mut self.compiler.uses.bandwidth;
            if !class.is_empty() && !known.contains(&class) {
                known.push(class);
            }
        }
        let Some(argument) = function.traits.pool.and_then(|at| arguments.get(usize::from(at))) else {
            return;
        };
        match self.literal(*argument) {
            Some(pool) => {
                let pool = String::from_utf8_lossy(&pool).into_owned();
                if !self.compiler.uses.pools.contains(&pool) {
                    self.compiler.uses.pools.push(pool);
                }
            }
            None if self.compiler.options.variable_pool_use => {}
            None => {
                let message = format!("the pool of {} is not a string literal", function.name);
                let hint = "write its name here, or switch the setting trafficscript!variable_pool_use on";
                self.error(self.node(*argument).place, message, Some(hint.to_owned()));
            }
        }
    }
}

fn arguments_text(fewest: usize, most: usize) -> String {
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    if fewest == most {
        format!("{fewest} argument{}", plural(fewest))
    } else if most == usize::MAX {
        format!("at least {fewest} argument{}", plural(fewest))
    } else {
        format!("{fewest} to {most} arguments")
    }
}
