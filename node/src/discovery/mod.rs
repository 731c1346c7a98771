//! Where endpoints come from: events from a source, here a watched file.
