//! The log on disk.

mod child;
mod conformance;
mod crash;
mod damage;
mod disk;
mod failing;
mod machine;
mod model;
mod operation;
mod power;
mod tools;
