//! The report for people.

use std::fmt::{self, Display, Formatter};

use super::{CostReport, Latency, LoadReport, ProcessReport, Report};

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        self.requests(f)?;
        self.latencies(f)?;
        self.processes(f)?;
        self.faults(f)
    }
}

impl Report {
    fn head(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let profile = &self.profile;
        write!(f, "{} over {} connections", self.target, self.connections)?;
        writeln!(f, "{}", if self.plaintext { ", plaintext" } else { ", TLS" })?;
        match self.load {
            LoadReport::Open { rate, arrivals } => write!(f, "{rate} requests/s, {arrivals}")?,
            LoadReport::Closed { concurrency } => write!(f, "{concurrency} at a time")?,
        }
        match profile.input_tokens {
            Some(tokens) => write!(f, "; {tokens} tokens in, {} out", profile.output_tokens)?,
            None => f.write_str("; without body")?,
        }
        if 0.0 < profile.token_gap_us {
            write!(f, ", {} ms apart", profile.token_gap_us / 1e3)?;
        }
        writeln!(f, "; measured for {} s, seed {}\n", self.window_s, self.seed)
    }

    fn requests(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let requests = &self.requests;
        writeln!(
            f,
            "requests   {} of {} answered as they should be; {:.1}/s ended",
            requests.completed, requests.due, requests.per_second
        )?;
        let notes = [
            (requests.failed, "failed"),
            (requests.not_sent, "not sent, too many in flight"),
            (requests.sent_late, "sent more than 1 ms late"),
            (requests.unobserved, "left to their answers by the picker"),
        ];
        for (count, what) in notes.iter().filter(|(count, _)| 0 < *count) {
            writeln!(f, "           {count} {what}")?;
        }
        writeln!(
            f,
            "messages   {} sent ({} bytes), {} received ({} bytes)",
            self.messages.sent, self.bytes.sent, self.messages.received, self.bytes.received
        )?;
        writeln!(f, "picks      {} endpoints, of which the busiest got {}", self.picks.len(), {
            self.picks.values().max().unwrap_or(&0)
        })
    }

    fn latencies(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let latencies = &self.latency_us;
        let rows = [
            ("pick", &latencies.pick),
            ("pick since due", &latencies.pick_since_due),
            ("exchange", &latencies.exchange),
            ("token", &latencies.token),
            ("send delay", &latencies.send_delay),
        ];
        writeln!(
            f,
            "\n{:<15}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
            "ms", "mean", "p50", "p90", "p99", "p99.9", "max"
        )?;
        for (name, latency) in rows {
            let Some(Latency { mean, p50, p90, p99, p99_9, max, .. }) = *latency else { continue };
            write!(f, "{name:<15}")?;
            for micros in [mean, p50, p90, p99, p99_9, max] {
                write!(f, "{:>10.3}", micros / 1e3)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    fn processes(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{:<25}{:>12}{:>12}{:>10}{:>10}{:>10}{:>10}",
            "process", "us/request", "above idle", "cores", "idle", "RSS MiB", "peak"
        )?;
        for process in self.processes.iter().chain(&self.generator) {
            let ProcessReport { pid, command, cost } = process;
            write!(f, "{:<25}", format!("{command} ({pid})"))?;
            match cost {
                Some(cost) => row(f, cost)?,
                None => writeln!(f, "  ended before the window did")?,
            }
        }
        Ok(())
    }

    fn faults(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if 0 < self.warm_up_errors {
            writeln!(f, "\n{} requests failed before the window", self.warm_up_errors)?;
        }
        for (kind, errors) in &self.errors {
            writeln!(f, "\n{} x {kind}; the first: {}", errors.count, errors.first)?;
        }
        // Arrivals are drawn, so those that were due are the measure and not the rate.
        let ended = self.requests.per_second * self.window_s;
        #[expect(clippy::cast_precision_loss, reason = "a window has fewer requests than 2^52")]
        let due = self.requests.due as f64;
        if let LoadReport::Open { .. } = self.load
            && ended < 0.9 * due
        {
            writeln!(
                f,
                "\nFewer requests ended than were due: the picker or this machine cannot keep up, or the \
                 warm-up was shorter than an answer plays."
            )?;
        }
        Ok(())
    }
}

fn row(f: &mut Formatter<'_>, cost: &CostReport) -> fmt::Result {
    let optional = |number: Option<f64>, digits: usize| {
        number.map_or_else(|| "-".to_owned(), |number| format!("{number:.digits$}"))
    };
    writeln!(
        f,
        "{:>12}{:>12}{:>10.3}{:>10}{:>10}{:>10}",
        optional(cost.cpu_us_per_request, 1),
        optional(cost.cpu_us_per_request_above_idle, 1),
        cost.cores,
        optional(cost.idle_cores, 3),
        cost.rss_bytes >> 20,
        cost.rss_peak_bytes >> 20,
    )
}
