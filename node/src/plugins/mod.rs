//! The plugins that a configuration can name, one file each, and their registry.
