//! The line a person reads: time, level, message, then every field as `key=value`, spans' fields after the event's.
//!
//! Nothing a field holds can end the line or colour the terminal: control characters are written escaped.

use std::fmt::{self, Debug, Write};

use jiff::Timestamp;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, format::Writer},
    registry::LookupSpan,
};

/// The whole line.
#[derive(Clone, Copy, Debug)]
pub(super) struct OneLine;

/// The fields of an event or a span.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields;

impl<S, N> FormatEvent<S, N> for OneLine
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(out, "{:.3} {:>5} ", Timestamp::now(), event.metadata().level())?;
        context.field_format().format_fields(out.by_ref(), event)?;
        for span in context.event_scope().into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>()
                && !fields.is_empty()
            {
                write!(out, " {fields}")?;
            }
        }
        writeln!(out)
    }
}

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, out: Writer<'w>, fields: R) -> fmt::Result {
        let mut line = Line { out: Escaped(out), message: false, fields: String::new(), result: Ok(()) };
        fields.record(&mut line);
        let Line { mut out, message, fields, result } = line;
        result?;
        out.0.write_str(if message { &fields } else { fields.trim_start() })
    }
}

/// Collects fields: the message at once, the others behind it.
struct Line<'w> {
    out: Escaped<Writer<'w>>,
    message: bool,
    fields: String,
    result: fmt::Result,
}

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        // Quotes only where the value would not read as one word.
        if value.is_empty() || value.contains([' ', '"', '=']) {
            self.record_debug(field, &value);
        } else {
            self.record_debug(field, &format_args!("{value}"));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let result = if field.name() == "message" {
            self.message = true;
            write!(self.out, "{value:?}")
        } else {
            write!(Escaped(&mut self.fields), " {}={value:?}", field.name())
        };
        self.result = self.result.and(result);
    }
}

/// Writes control characters escaped.
struct Escaped<W>(W);

impl<W: Write> Write for Escaped<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !text.contains(char::is_control) {
            return self.0.write_str(text);
        }
        for c in text.chars() {
            if c.is_control() { write!(self.0, "{}", c.escape_default())? } else { self.0.write_char(c)? }
        }
        Ok(())
    }
}
