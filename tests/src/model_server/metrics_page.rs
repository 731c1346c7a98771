//! The `/metrics` page: the families that vLLM's API server exports, about 40 KB.
//!
//! Fixed text is written once, when the server starts; rendering copies it and fills in the
//! numbers that live. Families that routing does not read, and that a simulation does not have,
//! show zeros. Numbers look as Python's Prometheus client writes them.

use std::fmt::Write;
use std::time::Duration;

use super::counters::{Description, FAMILIES, Family};
use super::engine::Engine;
use super::settings::Settings;

/// A page, ready to be filled in.
#[derive(Debug)]
pub struct MetricsPage {
    parts: Vec<Part>,
    max_loras: usize,
}

/// What the page shows beside the engine.
#[derive(Clone, Copy, Debug)]
pub struct Vitals {
    /// Start of the process, since 1970.
    pub started: Duration,
    /// Time since then.
    pub uptime: Duration,
    /// Requests for text that were answered.
    pub answered: u64,
    pub scrapes: u64,
}

#[derive(Debug)]
enum Part {
    Text(String),
    Number(Number),
    /// All buckets of a histogram after the first, each with the text before its number.
    Buckets(Family, Vec<String>),
    AdapterUsages,
}

#[derive(Clone, Copy, Debug)]
enum Number {
    Running,
    Waiting,
    KvUsage,
    CacheQueries,
    CacheHits,
    Preemptions,
    PromptTokens,
    GenerationTokens,
    Stopped,
    CutAtLength,
    Aborted,
    Sum(Family),
    Count(Family),
    Started,
    CpuSeconds,
    Answered,
    Scrapes,
}

#[derive(Debug, Default)]
struct Writer {
    parts: Vec<Part>,
    text: String,
    labels: String,
}

impl MetricsPage {
    /// The page of a server with `settings`.
    pub fn new(settings: &Settings) -> Self {
        let labels = format!("engine=\"0\",model_name=\"{}\"", escape(&settings.model));
        let mut writer = Writer { labels, ..Writer::default() };
        writer.process();
        writer.scheduler(settings);
        writer.counters();
        for description in &FAMILIES {
            writer.histogram(description);
        }
        writer.adapters_and_cache(settings);
        writer.http();
        Self { parts: writer.finish(), max_loras: settings.engine.max_loras }
    }

    /// The page as it is now.
    pub fn render(&self, engine: &Engine, vitals: &Vitals) -> String {
        let mut page = String::with_capacity(48 << 10);
        for part in &self.parts {
            match part {
                Part::Text(text) => page.push_str(text),
                Part::Number(number) => push_number(&mut page, value(*number, engine, vitals)),
                Part::Buckets(family, texts) => {
                    let counts = engine.counters().histogram(*family).cumulative();
                    for (text, count) in texts.iter().zip(counts) {
                        page.push_str(text);
                        push_count(&mut page, count);
                    }
                }
                Part::AdapterUsages => self.push_usages(&mut page, engine, vitals),
            }
        }
        page
    }

    fn push_usages(&self, page: &mut String, engine: &Engine, vitals: &Vitals) {
        for (usage, at) in engine.usages().iter() {
            let (running, waiting) = (escape(&usage.running), escape(&usage.waiting));
            let max_loras = self.max_loras;
            let row = format_args!(
                "vllm:lora_requests_info{{max_lora=\"{max_loras}\",\
                 running_lora_adapters=\"{running}\",waiting_lora_adapters=\"{waiting}\"}} "
            );
            page.write_fmt(row).expect("a String takes all text");
            push_number(page, (vitals.started + *at).as_secs_f64());
            page.push('\n');
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a page's numbers are floats")]
fn value(number: Number, engine: &Engine, vitals: &Vitals) -> f64 {
    let counters = engine.counters();
    let count = match number {
        Number::Running => engine.running() as u64,
        Number::Waiting => engine.waiting() as u64,
        Number::CacheQueries => counters.cache_queries,
        Number::CacheHits => counters.cache_hits,
        Number::Preemptions => counters.preemptions,
        Number::PromptTokens => counters.prompt_tokens,
        Number::GenerationTokens => counters.generation_tokens,
        Number::Stopped => counters.stopped,
        Number::CutAtLength => counters.cut_at_length,
        Number::Aborted => counters.aborted,
        Number::Count(family) => counters.histogram(family).cumulative().last().unwrap_or(0),
        Number::Answered => vitals.answered,
        Number::Scrapes => vitals.scrapes,
        Number::KvUsage => {
            return engine.cache().used() as f64 / engine.cache().capacity().max(1) as f64;
        }
        Number::Sum(family) => return counters.histogram(family).sum(),
        Number::Started => return vitals.started.as_secs_f64(),
        Number::CpuSeconds => return vitals.uptime.as_secs_f64() * 0.37,
    };
    count as f64
}

/// Appends `count` as a float, fast for the numbers below a million that pages are full of.
fn push_count(page: &mut String, count: u64) {
    #[expect(clippy::cast_precision_loss, reason = "a page's numbers are floats")]
    if count < 1_000_000 {
        page.write_fmt(format_args!("{count}.0")).expect("a String takes all text");
    } else {
        push_number(page, count as f64);
    }
}

/// Appends `value` as Python's client does, which imitates Go from seven digits on: `1e+06`.
fn push_number(page: &mut String, value: f64) {
    let written = if (1e6..1e17).contains(&value) {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        page.write_fmt(format_args!("{mantissa}e+{exponent:0>2}"))
    } else {
        page.write_fmt(format_args!("{value:?}"))
    };
    written.expect("a String takes all text");
}

/// A label's value, escaped.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

impl Writer {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn family(&mut self, name: &str, help: &str, kind: &str) {
        self.line(&format!("# HELP {name} {help}"));
        self.line(&format!("# TYPE {name} {kind}"));
    }

    fn part(&mut self, part: Part) {
        self.parts.push(Part::Text(std::mem::take(&mut self.text)));
        self.parts.push(part);
    }

    fn number(&mut self, series: &str, number: Number) {
        self.text.push_str(series);
        self.text.push(' ');
        self.part(Part::Number(number));
        self.text.push('\n');
    }

    fn finish(mut self) -> Vec<Part> {
        self.parts.push(Part::Text(self.text));
        self.parts
    }

    fn gauge(&mut self, name: &str, help: &str, number: Number) {
        self.family(name, help, "gauge");
        let series = format!("{name}{{{}}}", self.labels);
        self.number(&series, number);
    }

    fn counter(&mut self, name: &str, help: &str, number: Number) {
        self.family(&format!("{name}_total"), help, "counter");
        let series = format!("{name}_total{{{}}}", self.labels);
        self.number(&series, number);
        self.created(name, help);
    }

    /// The gauge that Python's client adds to each counter and histogram.
    fn created(&mut self, name: &str, help: &str) {
        let created = format!("{name}_created");
        self.family(&created, help, "gauge");
        let series = format!("{created}{{{}}}", self.labels);
        self.number(&series, Number::Started);
    }

    fn histogram(&mut self, description: &Description) {
        let Description { family, name, help, bounds } = *description;
        self.family(name, help, "histogram");
        let labels = self.labels.replacen(',', ",le=\"LE\",", 1);
        let mut texts = Vec::with_capacity(bounds.len() + 1);
        for bound in bounds.iter().map(|bound| format!("{bound:?}")).chain(["+Inf".to_owned()]) {
            let newline = if texts.is_empty() { "" } else { "\n" };
            let labels = labels.replacen("LE", &bound, 1);
            texts.push(format!("{newline}{name}_bucket{{{labels}}} "));
        }
        self.part(Part::Buckets(family, texts));
        self.text.push('\n');
        let (count, sum) =
            (format!("{name}_count{{{}}}", self.labels), format!("{name}_sum{{{}}}", self.labels));
        self.number(&count, Number::Count(family));
        self.number(&sum, Number::Sum(family));
        self.created(name, help);
    }
}

mod families;

#[cfg(test)]
mod tests;
