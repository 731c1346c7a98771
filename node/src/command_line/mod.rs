//! The command line of the picker that Convoy replaces, and Convoy's own flags.
