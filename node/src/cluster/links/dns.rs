//! What a DNS name means at the moment, by way of the system's resolver.

use std::io;

use convoy_raft::peers::{Address, Resolve};
use futures_util::future::BoxFuture;
use tokio::net::lookup_host;

/// The system's resolver.
#[derive(Clone, Copy, Debug)]
pub struct Dns;

impl Resolve for Dns {
    fn resolve(&self, name: &Address) -> BoxFuture<'static, io::Result<Vec<Address>>> {
        let (host, port) = (name.host().to_owned(), name.port());
        Box::pin(async move {
            let found = lookup_host((host, port)).await?;
            Ok(found.map(Address::from).collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_is_resolved_to_addresses_with_its_port() {
        let name = "localhost:9010".parse().unwrap();
        let found = Dns.resolve(&name).await.unwrap();
        assert!(found.iter().all(|address| address.port() == 9010) && !found.is_empty());
    }
}
