//! Log lines, in the form that the picker that Convoy replaces writes: zap's field names.

use std::{
    fmt::{self, Write as _},
    io, panic,
    panic::PanicHookInfo,
    thread,
    time::{Duration, UNIX_EPOCH},
};

use serde_json::{Map, Value};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime as _, SystemTime as Rfc3339},
    },
    layer::SubscriberExt as _,
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

use crate::clock;

mod outlet;

pub use outlet::Outlet;

/// How a line is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoder {
    Json,
    #[default]
    Console,
}

/// How a line's time is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeEncoding {
    Epoch,
    Millis,
    Nano,
    #[default]
    Rfc3339,
}

/// What is logged and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    pub encoder: Encoder,
    pub time: TimeEncoding,
    pub level: Level,
}

/// The log. Dropping it waits a little until what was logged is written.
#[derive(Debug)]
pub struct Log(Outlet);

/// A log that is not taken keeps the process from ending for so long at most.
const LAST_WORDS_WITHIN: Duration = Duration::from_millis(300);

/// Starts logging to standard error. Call it once, first.
pub fn start(settings: LogSettings) -> io::Result<Log> {
    let outlet = Outlet::start(io::stderr(), |lines| {
        tracing::warn!(lines, "standard error was not taken in time: log lines were dropped");
    })?;
    // Libraries speak at their own levels; only what they warn of concerns an operator.
    let filter = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("convoy", LevelFilter::from_level(settings.level))
        .with_target("epp", LevelFilter::from_level(settings.level));
    let lines = tracing_subscriber::fmt::layer()
        .event_format(Line { encoder: settings.encoder, time: settings.time })
        .with_writer(outlet.clone())
        .with_filter(filter);
    // A second start is a defect of the caller that must not end a serving process.
    let _ = tracing_subscriber::registry().with(lines).try_init();
    // What std says of a panic goes to standard error at once, and may block there for ever.
    panic::set_hook(Box::new(log_panic));
    Ok(Log(outlet))
}

impl Log {
    /// Where the lines go.
    pub fn outlet(&self) -> Outlet {
        self.0.clone()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.0.flush(LAST_WORDS_WITHIN);
    }
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let thread = thread.name().unwrap_or_default();
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let reason = panic.payload_as_str().unwrap_or_default();
    tracing::error!(thread, place, reason, "a thread panicked");
}

struct Line {
    encoder: Encoder,
    time: TimeEncoding,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let logger = logger_name(metadata.target());
        match self.encoder {
            Encoder::Json => {
                // Field by field, since a map would sort them and a reader looks for these first.
                let level = level_name(*metadata.level());
                let (ts, msg) = (self.timestamp()?, Value::from(fields.message));
                write!(writer, r#"{{"level":"{level}","ts":{ts},"logger":"{logger}","msg":{msg}"#)?;
                for (name, value) in fields.rest {
                    write!(writer, ",{}:{value}", Value::from(name))?;
                }
                writeln!(writer, "}}")
            }
            Encoder::Console => {
                let ts = self.timestamp()?;
                let ts = ts.as_str().map_or_else(|| ts.to_string(), str::to_owned);
                let level = level_name(*metadata.level()).to_uppercase();
                write!(writer, "{ts}\t{level}\t{logger}\t{}", fields.message)?;
                if !fields.rest.is_empty() {
                    write!(writer, "\t{}", Value::Object(fields.rest))?;
                }
                writeln!(writer)
            }
        }
    }
}

impl Line {
    fn timestamp(&self) -> Result<Value, fmt::Error> {
        let since_epoch = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(match self.time {
            TimeEncoding::Epoch => since_epoch.as_secs_f64().into(),
            TimeEncoding::Millis => (since_epoch.as_secs_f64() * 1e3).into(),
            TimeEncoding::Nano => u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX).into(),
            TimeEncoding::Rfc3339 => {
                let mut text = String::new();
                Rfc3339.format_time(&mut Writer::new(&mut text))?;
                text.into()
            }
        })
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// `convoy_node::discovery::file` is `discovery.file`.
fn logger_name(target: &str) -> String {
    let inner = target.split_once("::").map_or(target, |(_package, inner)| inner);
    inner.replace("::", ".")
}

/// An event's message and fields.
#[derive(Default)]
struct Fields {
    message: String,
    rest: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.rest.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // Writing to a string cannot fail.
            let _ = write!(self.message, "{value:?}");
        } else {
            self.put(field, format!("{value:?}").into());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.put(field, value.into());
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, chain(value).into());
    }
}

/// An error and its causes on one line.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
