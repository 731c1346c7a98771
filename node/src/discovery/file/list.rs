//! The file's format: a list of endpoints in YAML, read strictly.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use crate::{
    discovery::ListedEndpoint,
    document::{Document, Fault, Mapping, Node},
    endpoints::EndpointKey,
};

/// The namespace of an endpoint that names none.
const NAMESPACE: &str = "default";

/// Reads the file's text.
///
/// ```yaml
/// endpoints:
///   - name: vllm-0
///     address: "10.0.0.1"       # or IPv6, without brackets
///     port: "8000"              # text, as in a Kubernetes Service
///     namespace: default        # from here on optional
///     metricsHost: 10.0.0.1:9400
///     labels: { llm-d.ai/role: decode }
///     ready: true
///     incarnation: "7"          # change it when the server was restarted
/// ```
///
/// Two endpoints of one name, or at one address, are a fault.
pub fn parse(text: &str) -> Result<Vec<ListedEndpoint>, Fault> {
    let document = Document::parse(text)?;
    let mut root = document.root().mapping()?;
    let entries = match root.node("endpoints") {
        Some(_) => root.list("endpoints")?,
        None => {
            return root.required("endpoints", None, "a list of endpoints, [] if there are none");
        }
    };
    root.finish()?;
    let mut names = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    let mut listed = Vec::with_capacity(entries.len());
    for entry in entries {
        let mut mapping = entry.mapping()?;
        let endpoint = read_endpoint(&mut mapping)?;
        let EndpointKey { namespace, name, address } = endpoint.key.clone();
        if !addresses.insert(address) {
            let expected = format!("an address and port of its own ({address} is listed before)");
            return Err(mapping.refuse("address", expected));
        }
        if !names.insert((namespace, name)) {
            return Err(mapping.refuse("name", "a name of its own (it is listed before)"));
        }
        mapping.finish()?;
        listed.push(endpoint);
    }
    Ok(listed)
}

fn read_endpoint(entry: &mut Mapping<'_>) -> Result<ListedEndpoint, Fault> {
    let address = read_address(entry)?;
    Ok(ListedEndpoint {
        key: EndpointKey {
            namespace: read_name(entry, "namespace")?.unwrap_or_else(|| NAMESPACE.to_owned()),
            name: {
                let name = read_name(entry, "name")?;
                entry.required("name", name, "the endpoint's name")?
            },
            address,
        },
        metrics_host: read_metrics_host(entry, address)?,
        labels: read_labels(entry)?,
        ready: entry.flag("ready")?.unwrap_or(true),
        incarnation: read_name(entry, "incarnation")?,
    })
}

/// Names go into metadata, metrics and logs; longer ones than Kubernetes allows are a mistake.
const NAME_BYTES_MAX: usize = 253;

fn read_name(entry: &mut Mapping<'_>, key: &'static str) -> Result<Option<String>, Fault> {
    let Some(name) = entry.text(key)? else { return Ok(None) };
    let is_name = !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_name {
        let expected = format!("1 to {NAME_BYTES_MAX} letters, digits and signs, without blanks");
        return Err(entry.refuse(key, expected));
    }
    Ok(Some(name.to_owned()))
}

fn read_address(entry: &mut Mapping<'_>) -> Result<SocketAddr, Fault> {
    let text = entry.text("address")?;
    let text = entry.required("address", text, "an IPv4 or IPv6 address")?;
    let ip: IpAddr = text.parse().map_err(|_| {
        entry.refuse("address", "an IPv4 or IPv6 address (names are not resolved; no brackets)")
    })?;
    if ip.is_unspecified() || ip.is_multicast() {
        return Err(entry.refuse("address", "an address that one server listens on"));
    }
    let expected = "a port from 1 to 65535, in quotes";
    let port = match entry.node("port") {
        None => return entry.required("port", None, expected),
        Some(port) => port.text().map_err(|_| port.refuse(expected))?,
    };
    let is_plain = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|&port: &u16| is_plain && port != 0);
    let port = port.ok_or_else(|| entry.refuse("port", expected))?;
    Ok(SocketAddr::new(ip, port))
}

fn read_metrics_host(entry: &mut Mapping<'_>, address: SocketAddr) -> Result<String, Fault> {
    let Some(text) = entry.text("metricsHost")? else {
        return Ok(address.to_string());
    };
    let refused = || entry.refuse("metricsHost", "host or host:port (IPv6 in brackets)");
    let authority: http::uri::Authority = text.parse().map_err(|_| refused())?;
    if authority.host().is_empty() || authority.as_str().contains('@') {
        return Err(refused());
    }
    let port = match authority.port() {
        Some(port) if port.as_u16() == 0 => return Err(refused()),
        Some(port) => port.as_u16(),
        // A colon without a number behind it reads as no port at all.
        None if text.ends_with(':') => return Err(refused()),
        None => address.port(),
    };
    Ok(format!("{}:{port}", authority.host()))
}

fn read_labels(entry: &mut Mapping<'_>) -> Result<BTreeMap<String, String>, Fault> {
    let label = |(key, value): (&str, Node<'_>)| Ok((key.to_owned(), value.text()?.to_owned()));
    entry.mapping("labels")?.into_entries().map(label).collect()
}

#[cfg(test)]
mod tests;
