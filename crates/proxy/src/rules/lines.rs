//! Lines that rules write to the event log (`log.*`, `event.emit`). Clients decide how many there are: so many of a second
//! are written, the others are counted, and the next line tells their number.

use std::{num::NonZero, time::Duration};

use tidegate_telemetry::{events::RULE_LINES, logging::EventLimit};
use tidegate_trafficscript::host::Level;

use super::{process::printable, seen::Seen};

/// Lines of all rules that are written in a second.
const MOST_LINES: u32 = 1000;

static LINES: EventLimit = EventLimit::of(MOST_LINES, Duration::from_secs(1));

/// `log.info`, `log.warn`, `log.error`.
pub(super) fn log(seen: &Seen<'_, '_>, level: Level, message: &[u8]) {
    let Some(held_back) = LINES.admit(seen.client.worker.recent()) else { return };
    let held_back = NonZero::new(held_back).map(NonZero::get);
    let (server, rule) = (seen.exchange.server.name(), seen.rule.program.name());
    let message = printable(message);
    match level {
        Level::Info => {
            tracing::info!(target: RULE_LINES, event = "rulelogmsginfo", virtual_server = %server, rule, held_back, "{message}");
        }
        Level::Warn => {
            tracing::warn!(target: RULE_LINES, event = "rulelogmsgwarn", virtual_server = %server, rule, held_back, "{message}");
        }
        Level::Error => {
            tracing::error!(target: RULE_LINES, event = "rulelogmsgserious", virtual_server = %server, rule, held_back, "{message}");
        }
    }
}

/// `event.emit`.
pub(super) fn event(seen: &Seen<'_, '_>, id: &[u8], message: &[u8]) {
    let Some(held_back) = LINES.admit(seen.client.worker.recent()) else { return };
    let held_back = NonZero::new(held_back).map(NonZero::get);
    let (server, rule) = (seen.exchange.server.name(), seen.rule.program.name());
    let (id, message) = (printable(id), printable(message));
    tracing::info!(target: RULE_LINES, event = id.as_str(), virtual_server = %server, rule, held_back, "{message}");
}
