//! The start: every part made, joined and served, in the order in which each may be relied on.

use std::{io, num::NonZeroUsize, sync::Arc, thread};

use convoy_prefix_index::{HashParams, HashVersion};
use convoy_proto::health::health_server::HealthServer;
use prometheus_client::registry::Registry;
use rustls::crypto::ring;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;

use super::{DiscoveryRefused, Replica, ReplicaError, ports::Ports, summary::Summary};
use crate::{
    command_line::{Serving, Settings, Tls},
    config::{self, Checked, Discovery},
    endpoints::PublishedView,
    extproc::{Behaviour, Service},
    health::Readiness,
    http2::Limits,
    logging::{Outlet, chain},
    metrics::{self, PickMetrics, RequestMetrics, StreamMetrics},
    plugins::PrefixSettings,
    prefix::{self, Prefixes},
    scrape,
    server::{
        self, Server,
        bounds::Bounds,
        renewal,
        tls::{Certificate, server_config},
    },
    supervision::{self, ChildSpec, Policy, Tree},
};

/// Memory that the prefix index may take, all endpoints together, in bytes.
const INDEX_BYTES_MAX: u64 = 1 << 30;

/// What one holding costs at most, all of the index's own structures counted, in bytes.
const HOLDING_BYTES_MAX: u64 = 32;

/// Sightings that wait for the index's writer at most. It applies far more in a millisecond than
/// any gateway asks in that time.
const SIGHTINGS_WAITING_MAX: usize = 8192;

/// Memory of the chains of requests under way, in bytes: 8,192 requests of 131,072 tokens, or
/// 200,000 of 3,000.
const SIGHTINGS_BYTES_MAX: usize = 128 << 20;

/// Starts a replica. When this returns every port is accepting; whether to say so is left to the
/// caller.
pub(super) async fn start(settings: Settings, log: &Outlet) -> Result<Replica, ReplicaError> {
    // Only this call installs a provider, so a refusal means that it is there.
    let _ = ring::default_provider().install_default();
    let checked = config::load(&settings.configuration, &settings.scraping.overrides)?;
    for notice in settings.notices.iter().chain(&checked.notices) {
        tracing::warn!(notice, "a setting deserves a look");
    }
    let tls = settings.serving.tls.as_ref();
    let certificate = tls.map(|tls| Certificate::load(tls.certificate.clone())).transpose()?;
    let ports = Ports::bind(&settings.serving)?;
    let addresses = ports.addresses()?;

    let mut registry = Registry::default();
    metrics::register_build(&mut registry);
    log.register(&mut registry);
    let streams = StreamMetrics::register(&mut registry);
    let picks = PickMetrics::register(&mut registry);
    let requests = RequestMetrics::register(&mut registry);
    let bounds = Bounds::new(settings.bounds);
    bounds.register(&mut registry);
    let view = PublishedView::new();
    let mut children = Vec::new();
    let prefixes = match checked.prefix {
        Some(prefix) => {
            let (prefixes, applier) = index(prefix, &view, (&mut registry, picks.clone()))?;
            children.push(applier);
            Some(prefixes)
        }
        None => None,
    };
    if let (Some(tls), Some(certificate)) = (tls, &certificate)
        && tls.reload
    {
        children.push(renewal::child(Arc::clone(certificate), Policy::ESSENTIAL));
    }
    let tree = start_tree(&settings, &checked, view.clone(), children, &mut registry).await?;
    let summary = Summary::new(&settings, &checked);

    let service = Arc::new(Service {
        view,
        prefixes,
        behaviour: behaviour(&settings, &checked),
        parsers: checked.parsers,
        scheduler: checked.scheduler,
        bounds,
        streams,
        picks: picks.clone(),
        requests: requests.clone(),
    });
    let readiness = Readiness::default();
    let serving = server_settings(&settings.serving, certificate)?;
    let server = Server::start(ports.extproc, serving, Arc::clone(&service), readiness.clone())?;
    let page = metrics::Page::new(registry, picks, requests);
    serve_beside(ports.health, ports.metrics, readiness.clone(), page);
    summary.say(addresses);
    Ok(Replica { server, service, readiness, tree })
}

async fn start_tree(
    settings: &Settings,
    checked: &Checked,
    view: PublishedView,
    children: Vec<ChildSpec>,
    registry: &mut Registry,
) -> Result<Tree, ReplicaError> {
    let discovery = match &checked.discovery {
        Discovery::File(file) => file.clone(),
        Discovery::Kubernetes { refusal } => {
            return Err(DiscoveryRefused::new(&settings.configuration, refusal).into());
        }
    };
    let tree = supervision::Settings {
        pool: settings.pool.name.clone().unwrap_or_default(),
        discovery,
        metrics: checked.metrics.clone(),
        refresh_interval: settings.scraping.interval,
        limits: scrape::Limits::default(),
        load_age_max: settings.scraping.load_age_max,
    };
    Ok(supervision::start(tree, view, children, registry).await?)
}

/// The index, as picks see it, and its writer. The key is drawn anew at every start: the index is
/// this process's own, and nobody else needs to name its blocks.
fn index(
    settings: PrefixSettings,
    view: &PublishedView,
    (registry, picks): (&mut Registry, PickMetrics),
) -> Result<(Prefixes, ChildSpec), ReplicaError> {
    let mut key = [0; 16];
    ring::default_provider()
        .secure_random
        .fill(&mut key)
        .map_err(|_no_random| io::Error::other("no random bytes"))?;
    let params =
        HashParams::new(key, settings.block_bytes(), HashVersion::V1).map_err(io::Error::other)?;
    let bounds = prefix::Bounds {
        memberships_max: INDEX_BYTES_MAX / HOLDING_BYTES_MAX,
        sightings_waiting_max: SIGHTINGS_WAITING_MAX,
        sightings_bytes_max: SIGHTINGS_BYTES_MAX,
    };
    let applier = prefix::Arguments::new(params, settings, bounds, view.clone(), (registry, picks));
    Ok((applier.prefixes(), applier.child(Policy::ESSENTIAL)))
}

fn behaviour(settings: &Settings, checked: &Checked) -> Behaviour {
    Behaviour {
        load_age_max: settings.scraping.load_age_max,
        observation: settings.response_observation,
        request_deadline: settings.serving.request_deadline,
        heed_subset: settings.respect_subset,
        emit_scores: settings.emit_endpoint_scores,
        tell_served: checked.report_served_endpoint,
    }
}

fn server_settings(
    serving: &Serving,
    certificate: Option<Arc<Certificate>>,
) -> Result<server::Settings, ReplicaError> {
    let tls = match (&serving.tls, certificate) {
        (Some(Tls { oldest_version, cipher_suites, .. }), Some(certificate)) => {
            Some(server_config(certificate, *oldest_version, cipher_suites)?)
        }
        _ => None,
    };
    let message_bytes_max = serving.message_bytes_max;
    Ok(server::Settings {
        tls,
        limits: Limits { message_bytes_max, ..Limits::default() },
        serves_health: serving.health_on_grpc_port,
        connection_age_max: serving.connection_age_max,
        threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
    })
}

/// Serves health and metrics, for as long as the process lives.
#[expect(clippy::disallowed_methods, reason = "they hold no state, and end with the process")]
fn serve_beside(
    health: TcpListener,
    metrics: TcpListener,
    readiness: Readiness,
    page: metrics::Page,
) {
    let incoming = TcpIncoming::from(health);
    tokio::spawn(async move {
        let health = tonic::transport::Server::builder().add_service(HealthServer::new(readiness));
        if let Err(error) = health.serve_with_incoming(incoming).await {
            tracing::error!(error = chain(&error), "health is served no more");
        }
    });
    tokio::spawn(async move {
        if let Err(error) = metrics::serve(metrics, page).await {
            tracing::error!(error = chain(&error), "metrics are served no more");
        }
    });
}
