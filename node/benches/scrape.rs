//! What scraping costs: 16 endpoints with pages of 40 KB, each asked every 50 ms over loopback.
//!
//! `cargo bench -p convoy-node --bench scrape`. The servers run in a process of their own, so that
//! the figure is the picker's alone; it is CPU time as the scheduler counts it, kernel included.

use std::{
    error::Error,
    fmt::Write as _,
    hint::black_box,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use convoy_node::{
    clock,
    config::MetricsReading,
    endpoints::{Member, PublishedView},
    plugins::{FileDiscovery, MetricsExtractor, MetricsSource},
    scrape::{self, Limits, Wanted},
    supervision::{self, Settings},
};
use prometheus_client::registry::Registry;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ENDPOINTS: u32 = 16;
const INTERVAL: Duration = Duration::from_millis(50);
const PAGE_BYTES: usize = 40 * 1024;
const MEASURED: Duration = Duration::from_secs(10);

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    match std::env::args().nth(1).as_deref() {
        Some("serve") => serve(),
        Some("--bench") => measure(),
        // `cargo test --benches` runs this too.
        _ => Ok(()),
    }
}

/// A page as vLLM writes it: a few gauges among many histograms.
fn page() -> Outcome<String> {
    let labels = "engine=\"0\",model_name=\"meta-llama/Llama-3.1-8B-Instruct\"";
    let mut page = String::from(
        "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds 1.72e+09\n\
         # TYPE vllm:cache_config_info gauge\n\
         vllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"27546\"} 1.0\n",
    );
    for name in ["num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"] {
        writeln!(page, "# HELP vllm:{name} Of the engine.\n# TYPE vllm:{name} gauge")?;
        writeln!(page, "vllm:{name}{{{labels}}} 0.5")?;
    }
    for family in 0.. {
        let name = format!("vllm:request_metric_{family}_seconds");
        writeln!(page, "# HELP {name} A histogram in seconds.\n# TYPE {name} histogram")?;
        for bucket in 0..20 {
            let bound = f64::from(bucket) * 0.3;
            writeln!(page, "{name}_bucket{{{labels},le=\"{bound}\"}} {}.0", bucket * 17)?;
        }
        writeln!(page, "{name}_count{{{labels}}} 340.0\n{name}_sum{{{labels}}} 100.4")?;
        if PAGE_BYTES <= page.len() {
            break;
        }
    }
    Ok(page)
}

fn measure() -> Outcome<()> {
    measure_page()?;
    let servers = Servers::start()?;
    for (name, mut runtime) in [
        ("one thread", tokio::runtime::Builder::new_current_thread()),
        ("two threads", tokio::runtime::Builder::new_multi_thread()),
    ] {
        let runtime = runtime.worker_threads(2).enable_all().build()?;
        let cores = runtime.block_on(measure_scraping(&servers))?;
        let scrapes = f64::from(ENDPOINTS) / INTERVAL.as_secs_f64();
        say(&format!(
            "{ENDPOINTS} endpoints, {INTERVAL:?}, {name}: {cores:.4} cores, {:.1} us per page",
            cores * 1e6 / scrapes
        ));
    }
    Ok(())
}

fn measure_page() -> Outcome<()> {
    let page = page()?;
    let engine = MetricsExtractor::default();
    let wanted = Wanted::new(engine.engines.get("vllm").ok_or("no vllm")?);
    let rounds = 20_000;
    let begun = clock::now();
    for _ in 0..rounds {
        black_box(scrape::read(black_box(page.as_bytes()), &wanted));
    }
    let each = begun.elapsed() / rounds;
    say(&format!("page of {} bytes, {} lines: {each:?}", page.len(), page.lines().count()));
    Ok(())
}

async fn measure_scraping(servers: &Servers) -> Outcome<f64> {
    let mut file = tempfile::NamedTempFile::new()?;
    writeln!(file, "endpoints:")?;
    for (n, port) in servers.ports.iter().enumerate() {
        writeln!(file, "- {{name: server-{n}, address: 127.0.0.1, port: '{port}'}}")?;
    }
    let settings = Settings {
        pool: "bench".to_owned(),
        discovery: FileDiscovery { path: file.path().to_owned(), watch: true },
        metrics: Some(MetricsReading {
            source: MetricsSource::default(),
            extractor: MetricsExtractor::default(),
        }),
        refresh_interval: INTERVAL,
        limits: Limits::default(),
        load_age_max: Duration::from_secs(2),
    };
    let view = PublishedView::new();
    let tree = supervision::start(settings, view, Vec::new(), &mut Registry::default()).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (begun, before) = (clock::now(), cpu_seconds()?);
    tokio::time::sleep(MEASURED).await;
    let used = (cpu_seconds()? - before) / begun.elapsed().as_secs_f64();
    let view = tree.view().load_full();
    let is_heard = |member: &Member| {
        member.load(clock::now(), 2 * INTERVAL).is_some_and(|load| load.waiting_requests.is_some())
    };
    if !view.members.iter().all(is_heard) || view.members.len() != servers.ports.len() {
        return Err("an endpoint was not scraped in time".into());
    }
    tree.shutdown(Duration::from_secs(1)).await;
    Ok(used)
}

/// CPU time of all threads, in nanoseconds as the scheduler counts it, not in ticks.
fn cpu_seconds() -> Outcome<f64> {
    let mut total = 0.0;
    for thread in std::fs::read_dir("/proc/self/task")? {
        let stat = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        let running = stat.split(' ').next().ok_or("no schedstat")?;
        total += running.parse::<f64>()? / 1e9;
    }
    Ok(total)
}

/// The process that serves the pages; it ends with this one.
struct Servers {
    process: Child,
    ports: Vec<u16>,
}

impl Servers {
    fn start() -> Outcome<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = BufReader::new(process.stdout.take().ok_or("no output")?).lines();
        let ports = lines.take(ENDPOINTS as usize).map(|line| Ok(line?.parse()?));
        Ok(Self { ports: ports.collect::<Outcome<_>>()?, process })
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn serve() -> Outcome<()> {
    let page = page()?;
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{page}", page.len());
    let answer: &'static [u8] = answer.into_bytes().leak();
    for _ in 0..ENDPOINTS {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        say(&listener.local_addr()?.port().to_string());
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                std::thread::spawn(move || answer_requests(socket, answer));
            }
        });
    }
    // Until the parent is gone.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// One request is one read here: nobody pipelines, and a request is short.
fn answer_requests(mut socket: TcpStream, answer: &[u8]) {
    let mut request = [0; 4096];
    while socket.read(&mut request).is_ok_and(|bytes| 0 < bytes) {
        if socket.write_all(answer).is_err() {
            return;
        }
    }
}

#[expect(clippy::print_stdout, reason = "the figures are this program's output")]
fn say(line: &str) {
    println!("{line}");
}
