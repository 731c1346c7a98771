//! gRPC health: what the process says of itself to probes and load balancers.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use convoy_proto::health::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
    health_check_response::ServingStatus, health_server,
};
use tonic::{Request, Response, Status};

/// The name under which gateways ask for the ext_proc service itself.
pub const EXT_PROC_SERVICE: &str = "envoy.service.ext_proc.v3.ExternalProcessor";

/// Probes that ask for this name are told whether the process is alive, not whether it is ready.
const LIVENESS: &str = "liveness";

/// Where in its life the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifePhase {
    /// Ports are bound, but what picks need is not loaded.
    Starting,
    Serving,
    /// Requests are still served; load balancers are told to send no new ones.
    Draining,
}

/// The process's phase, shared by all who answer probes.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<AtomicU8>);

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(AtomicU8::new(0)))
    }
}

impl Readiness {
    pub fn set(&self, phase: LifePhase) {
        let code = match phase {
            LifePhase::Starting => 0,
            LifePhase::Serving => 1,
            LifePhase::Draining => 2,
        };
        self.0.store(code, Ordering::Release);
    }

    pub fn phase(&self) -> LifePhase {
        match self.0.load(Ordering::Acquire) {
            0 => LifePhase::Starting,
            1 => LifePhase::Serving,
            _ => LifePhase::Draining,
        }
    }

    /// The answer to a probe for `service`. Any name but `liveness` asks for readiness, because
    /// charts and controllers each use a name of their own.
    pub fn status_of(&self, service: &str) -> ServingStatus {
        if service == LIVENESS || self.phase() == LifePhase::Serving {
            return ServingStatus::Serving;
        }
        ServingStatus::NotServing
    }
}

#[tonic::async_trait]
impl health_server::Health for Readiness {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let status = self.status_of(&request.into_inner().service);
        Ok(Response::new(HealthCheckResponse { status: status.into() }))
    }

    async fn list(
        &self,
        _request: Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, Status> {
        let statuses = [LIVENESS, "readiness", EXT_PROC_SERVICE]
            .map(|service| {
                let status = self.status_of(service).into();
                (service.to_owned(), HealthCheckResponse { status })
            })
            .into();
        Ok(Response::new(HealthListResponse { statuses }))
    }

    type WatchStream = tonic::codegen::BoxStream<HealthCheckResponse>;

    async fn watch(
        &self,
        _request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("Watch is not served; call Check"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_serving_replica_is_ready_and_every_replica_is_alive() {
        let readiness = Readiness::default();
        let check = |phase: LifePhase, ready: ServingStatus| {
            assert_eq!(readiness.phase(), phase);
            for service in ["", "readiness", EXT_PROC_SERVICE, "a chart's own"] {
                assert_eq!(readiness.status_of(service), ready, "{phase:?} {service}");
            }
            assert_eq!(readiness.status_of(LIVENESS), ServingStatus::Serving, "{phase:?}");
        };
        check(LifePhase::Starting, ServingStatus::NotServing);
        readiness.set(LifePhase::Serving);
        check(LifePhase::Serving, ServingStatus::Serving);
        readiness.clone().set(LifePhase::Draining);
        check(LifePhase::Draining, ServingStatus::NotServing);
    }
}
