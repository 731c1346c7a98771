//! The cluster: the other replicas, and how this one speaks with them.

pub mod links;
